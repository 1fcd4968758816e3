"""Copies and dumps of the chat model: they answer as it does, and hold no secret."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
from langchain_core.load import dumpd, dumps, load

from langchain_semcascade import ChatSemCascade
from tests.langchain.conftest import ASK

SECRETS = ("sk-top-secret-0123456789", "sk-member-secret-0123456789", "hdr-secret-0123456789")


@pytest.fixture
def secretive():
    return ChatSemCascade(
        ensemble=[
            {"model": "openai/a", "api_key": SECRETS[1]},
            {"model": "openai/b", "extra_headers": {"Authorization": SECRETS[2]}},
        ],
        target="openai/c",
        api_key=SECRETS[0],
        model_kwargs={"extra_headers": {"X": SECRETS[2]}, "top_p": 0.5},
    )


def test_secrets_show_up_nowhere(secretive):
    shown = [
        repr(secretive), str(secretive), dumps(secretive), str(secretive.asdict()), secretive._get_llm_string(),
        str(secretive._get_invocation_params()), str(secretive._get_ls_params()), str(pickle.dumps(secretive)),
        repr(secretive.cascade), repr(secretive.bind_tools([])),
    ]  # fmt: skip
    for text in shown:
        assert not any(secret in text for secret in SECRETS), text


@pytest.mark.parametrize("further", [{}, {"top_p": 0.5}])
def test_secrets_among_further_parameters_are_in_no_dump(scripted, further):
    model = scripted(model_kwargs={"extra_headers": {"X": SECRETS[2]}, **further})
    for dump in (dumps(model), str(model.model_dump()), model.model_dump_json(), str(pickle.dumps(model))):
        assert SECRETS[2] not in dump


def test_copies_answer_as_the_original_does(scripted, secretive):
    model = scripted(threshold=0.3, temperature=0.5)
    twin = copy.deepcopy(model)
    assert twin.invoke(ASK).text == "4"
    assert twin.asdict() == model.asdict()
    secrets = copy.deepcopy(secretive)
    assert [member.key() for member in secrets.cascade.config.members()] == [SECRETS[1], SECRETS[0], SECRETS[0]]
    thawed = pickle.loads(pickle.dumps(secretive))
    assert thawed.api_key is None
    assert thawed.cascade.config.to_dict() == secretive.cascade.config.to_dict()


def test_load_restores_what_dumps_wrote(secretive):
    data = dumpd(secretive)
    with warnings.catch_warnings(action="ignore"):  # that it is beta, which is said once a process
        restored = load(
            data,
            allowed_objects=[ChatSemCascade],
            valid_namespaces=["langchain_semcascade"],
            secrets_map={"SEMCASCADE_API_KEY": SECRETS[0]},
        )
    assert restored.asdict() == secretive.asdict()
    assert restored.api_key.get_secret_value() == SECRETS[0]
