"""Settings of the chat model: from the call, a file, a mapping; refused where they are wrong; those of the core like others."""

from __future__ import annotations

import json

import pytest
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage

from langchain_semcascade import ChatSemCascade
from semcascade import ConfigError, ScriptedTransport, save_policy
from semcascade.deferral.policy import Policy
from semcascade.errors import ServerError
from semcascade.evaluation import read_rows
from tests.langchain.conftest import ASK


def test_a_setting_changed_later_takes_effect(scripted):
    model = scripted(("4", "4", "5"), threshold=0.4)
    assert model.invoke(ASK).response_metadata["semcascade"]["accepted"]
    model.threshold = 0.9
    assert not model.invoke(ASK).response_metadata["semcascade"]["accepted"]
    assert model.model_copy(update={"threshold": 0.4}).invoke(ASK).response_metadata["semcascade"]["accepted"]


def test_configuration_from_a_file_and_a_mapping(tmp_path):
    file = tmp_path / "cascade.toml"
    file.write_text('ensemble = ["m/a", "m/b"]\ntarget = "m/c"\nthreshold = 0.7\n')
    for config in (file, str(file), {"ensemble": ["m/a", "m/b"], "target": "m/c", "threshold": 0.7}):
        assert ChatSemCascade(config=config).cascade.config.threshold == 0.7
        assert ChatSemCascade(config=config, threshold=0.2).cascade.config.threshold == 0.2


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "ensemble"),
        ({"ensemble": []}, "ensemble"),
        ({"ensemble": ["a", "b"]}, "target"),
        ({"ensemble": ["a", "a"], "target": "c"}, "ensemble"),
        ({"ensemble": ["a", "b"], "target": "c", "threshold": 1.5}, "threshold"),
        ({"ensemble": ["a", "b"], "target": "c", "treshold": 0.5}, "treshold"),
        ({"ensemble": ["a", "b"], "target": "c", "temperature": "hot"}, "temperature"),
        ({"ensemble": ["a", "b"], "target": "c", "similarity": "nope"}, "similarity"),
        ({"ensemble": ["p/a", "q/b"], "target": "p/c", "api_key": "one for all"}, "api_key"),
        ({"config": "/no/such/file.toml"}, "config"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, field):
    with pytest.raises(ConfigError) as caught:
        ChatSemCascade(**settings)
    assert caught.value.field == field
    assert "one for all" not in str(caught.value)


def test_caps_breaker_and_fallback_are_settings_like_others():
    settings = {"budget": {"query": {"calls": 9}}, "breaker": {"failures": 2}, "on_budget": "ensemble"}
    down = ServerError("down", member="big")
    script = ScriptedTransport({"a": "1", "b": "2", "big": down, "other": "3"})
    fallback = [{"model": "other", "api_key": "sk-very-secret-0123"}]
    model = ChatSemCascade(
        ensemble=["a", "b"], target="big", fallback=fallback, max_retries=0, transport=script, **settings
    )
    assert model.invoke("?").text == "3"
    config = model.cascade.config
    assert (config.budget.query.calls, config.breaker.failures, config.on_budget) == (9, 2, "ensemble")
    assert "sk-very-secret-0123" not in repr(model) + dumps(model) + str(model._identifying_params)
    assert ChatSemCascade(ensemble=["a", "b"], target="big", breaker=False).cascade.config.breaker.enabled is False


def test_a_conversation_may_stay_on_its_tier():
    script = ScriptedTransport({"a": ["1", "same"], "b": ["2", "same"], "big": "3"})
    model = ChatSemCascade(ensemble=["a", "b"], target="big", transport=script, sticky=True)
    said = [HumanMessage("?")]
    said += [model.invoke(said), HumanMessage("Sure?")]
    assert model.invoke(said).response_metadata["semcascade"]["reason"].startswith("straight to big: sticky")
    assert model.invoke("?", conversation="x").text == "same"


def test_a_query_may_go_straight_to_the_target():
    script = ScriptedTransport({"a": "1", "b": "1", "big": "2"})
    model = ChatSemCascade(ensemble=["a", "b"], target="big", transport=script, router={"complexity": 0.1})
    told = model.invoke("What is the capital of Norway?").response_metadata["semcascade"]
    assert told["route"]["skipped"] == ["ensemble"]
    assert told["reason"].startswith("straight to big: query complexity 0.")
    assert ChatSemCascade(ensemble=["a", "b"], target="big", router=False).cascade.config.router.enabled is False


def test_a_policy_is_named_by_its_path_or_given_as_it_is(tmp_path):
    tier = {"members": ["a", "b"], "similarity": "exact", "threshold": 0.9}
    policy = Policy.from_dict({"semcascade_policy": 1, "target": "t", "tiers": [tier]})
    path = tmp_path / "policy.json"
    save_policy(policy, path)
    settings = {"ensemble": ["a", "b"], "target": "t"}
    file = tmp_path / "cascade.json"
    file.write_text(json.dumps(settings))
    for way in (settings, {"config": file}):
        for given in (path, str(path), policy, policy.to_dict()):
            model = ChatSemCascade(**way, policy=given, transport=ScriptedTransport({"*": "4"}))
            assert model.cascade.policy.digest == policy.digest
            assert model.model_copy(update={"temperature": 0.5}).invoke(ASK).content == "4"
            assert json.dumps(model.model_dump()["policy"])
    with pytest.raises(ConfigError, match="policy: expected a policy's file, or the policy itself"):
        ChatSemCascade(**settings, policy=7)


def test_decisions_are_logged_and_no_dump_says_where(tmp_path):
    path = tmp_path / "log.jsonl"
    model = ChatSemCascade(ensemble=["a", "b"], target="t", log=str(path), transport=ScriptedTransport({"*": "x"}))
    model.invoke("?")
    model.cascade.close()
    (row,) = read_rows(path)
    assert (row.messages, row.decision["accepted"]) == (({"role": "user", "content": "?"},), True)
    assert "log.jsonl" not in dumps(model)
