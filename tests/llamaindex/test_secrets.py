"""Keys are used, and never shown."""

import copy
import logging
import pickle

import pytest

from llamaindex_semcascade import SemCascade
from semcascade import CascadeError
from tests.llamaindex.helpers import recorded_events, user
from tests.support.openai_server import OpenAIServer, Status

KEY, HEADER = "sk-very-secret-000001", "Bearer very-secret-000002"


@pytest.fixture
def server():
    with OpenAIServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def llm(server):
    members = [server.member(name, extra_headers={"X-Auth": HEADER}) for name in ("a", "b")]
    return SemCascade(
        ensemble=members, target=server.member("big"), max_retries=0, additional_kwargs={"extra_headers": {"X": HEADER}}
    )


def hidden(shown):
    return KEY not in str(shown) and "very-secret" not in str(shown)


def test_dumps(llm):
    for shown in (repr(llm), str(llm), llm.to_dict(), llm.to_json(), llm.to_payload(), llm.model_dump(), llm.dict()):
        assert hidden(shown)
    assert hidden(pickle.dumps(llm))
    assert hidden(llm.metadata)


def test_traces_and_responses(llm, caplog):
    with caplog.at_level(logging.DEBUG), recorded_events() as events:
        response = llm.chat([user("sky")])
    assert response.message.content
    assert hidden(response.model_dump())
    assert hidden([event.model_dump() for event in events.events])
    assert hidden([record.getMessage() for record in caplog.records if record.name.startswith(("semcascade", "llama"))])


def test_errors(llm, server):
    server.fail("*", Status(401, message=f"Incorrect API key provided: {KEY}"))
    with recorded_events() as events, pytest.raises(CascadeError) as raised:
        llm.chat([user("sky")])
    assert hidden(raised.value)
    assert hidden(raised.value.failures)
    assert hidden([event.model_dump() for event in events.named("SemCascadeDecisionEvent")])


def test_a_copy_in_the_process_can_still_ask(llm):
    assert copy.deepcopy(llm).complete("sky").text
    assert copy.copy(llm).complete("sky").text
    assert llm.model_copy(deep=True).complete("sky").text


def test_a_pickle_has_no_key_but_keeps_its_name(server, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_KEY", KEY)
    home = {"api_base": server.base_url, "api_key_env": "MY_SERVICE_KEY"}
    llm = SemCascade(
        ensemble=[{"model": f"openai/{name}", **home} for name in "ab"], target={"model": "openai/c", **home}
    )
    again = pickle.loads(pickle.dumps(llm))
    assert again.complete("sky").text
    assert {request.key for request in server.asked()} == {KEY}
