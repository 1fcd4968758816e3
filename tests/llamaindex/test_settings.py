"""What it is given, what it refuses, and what it says of itself."""

import logging

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool

from llamaindex_semcascade import SemCascade
from semcascade import CascadeConfig, CascadeError, ConfigError, InputError, ScriptedTransport
from semcascade.errors import AuthenticationError, MemberError
from semcascade.evaluation import read_rows
from tests.llamaindex.helpers import WEATHER, said, user
from tests.llamaindex.models import MEMBERS, scripted, served
from tests.support.openai_server import OpenAIServer, Status


def decision_of(response):
    return response.additional_kwargs["semcascade"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, "ensemble: no members"),
            ({"ensemble": [], "target": "big"}, "ensemble: no members"),
            ({"ensemble": ["a", "b"]}, "target: no member"),
            ({"ensemble": ["a", "a"], "target": "big"}, "ensemble.*a"),
            ({"ensemble": ["a", "b"], "target": "big", "threshold": 1.5}, "threshold: .*less than or equal to 1"),
            ({"ensemble": ["a", "b"], "target": "big", "treshold": 0.5}, "treshold: .*did you mean 'threshold'"),
            ({"ensemble": ["a", "b"], "target": "big", "similarity": "rogue"}, "similarity"),
            ({"ensemble": ["a", "b"], "target": "big", "config": {}, "preset": "local"}, "preset: it and config"),
            ({"ensemble": ["a", "b"], "target": "big", "budget": {"query": {"call": 3}}}, r"budget\.query\.call: .*'calls'"),
            ({"ensemble": ["a", "b"], "target": "big", "budget": {"query": {"cost": 1}}}, r"budget\.query\.cost: .*price"),
            ({"config": "/nowhere/cascade.toml"}, "config: cannot read /nowhere/cascade.toml"),
            (
                {"ensemble": ["openai/a", "anthropic/b"], "target": "openai/big", "api_key": "sk-1"},
                "api_key: .*anthropic, openai.*give each member its own",
            ),
        ],
    )  # fmt: skip
    def test_settings(self, settings, message):
        with pytest.raises(ConfigError, match=message) as raised:
            SemCascade(**settings)
        assert isinstance(raised.value, ValueError)
        assert "sk-1" not in str(raised.value)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda llm: llm.complete(""), "prompt: .*empty|prompt: no message has any content"),
            (lambda llm: llm.complete("  \n"), "prompt: .*empty|prompt: no message has any content"),
            (lambda llm: llm.chat([]), "prompt: the list of messages is empty"),
            (lambda llm: llm.chat([user("x")], model="gpt-9"), "model: 'gpt-9' is no member.*cheap-1, cheap-2"),
            (lambda llm: llm.chat([user("x")], timeout=3), r"timeout: .*give it to SemCascade\(\.\.\.\)"),
            (lambda llm: llm.chat([user("x")], api_key="sk-1"), "api_key: it cannot be given per call"),
            (lambda llm: llm.chat([user("x")], stream=True), "stream: it cannot be given per call"),
            (lambda llm: llm.chat([user("x")], tools=[lambda a: a]), r"tools\[0\]: .*FunctionTool.from_defaults"),
            (lambda llm: llm.chat([user("x")], tools=[{"name": "x"}]), r"tools\[0\]: expected {'type': 'function'"),
            (lambda llm: llm.chat_with_tools([WEATHER], "x", tool_choice="clock"), "tool_choice: .*weather"),
            (lambda llm: llm.chat([user("x")], response_format="json"), "response_format: expected a pydantic class"),
            (lambda llm: llm.chat([ChatMessage(role="tool", content="x")]), r"messages\[0\]\.additional_kwargs"),
        ],
    )  # fmt: skip
    def test_calls(self, call, message):
        llm = scripted()
        with pytest.raises(InputError, match=message) as raised:
            call(llm)
        assert isinstance(raised.value, ValueError)
        assert "sk-1" not in str(raised.value)
        assert not llm.cascade._transports.default.requests

    def test_additional_arguments_are_checked_at_construction(self):
        with pytest.raises(InputError, match=r"additional_kwargs\.timeout"):
            scripted(additional_kwargs={"timeout": 3})

    def test_a_tool_without_a_name(self):
        tool = FunctionTool.from_defaults(lambda a: a, name="x")
        tool.metadata.name = None
        with pytest.raises(InputError, match=r"tools\[0\]\.metadata\.name: the tool has no name"):
            scripted().chat([user("x")], tools=[tool])

    def test_a_missing_key_is_named(self):
        llm = SemCascade(ensemble=["openai/a", "openai/b"], target="openai/big")
        with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
            llm.complete("x")

    def test_one_failed_member_of_three(self):
        with OpenAIServer(dict.fromkeys(MEMBERS, "Paris")) as server:
            server.fail("cheap-2", Status(500))
            response = served(server).complete("Capital?")
        assert response.text == "Paris"
        assert "cheap-2" in decision_of(response)["candidates"][1]["error"]

    def test_every_failure_is_told(self):
        llm = scripted({"*": MemberError("down", member="x")}, max_retries=0)
        with pytest.raises(CascadeError) as raised:
            llm.complete("x")
        assert len(raised.value.failures) == 4


class TestMetadata:
    def test_the_least_window_of_all_members(self):
        members = [{"model": "a", "context_window": 9000}, {"model": "b", "context_window": 7000}]
        llm = SemCascade(
            ensemble=members, target={"model": "c", "context_window": 99000}, transport=ScriptedTransport({})
        )
        assert llm.metadata.context_window == 7000
        assert llm.metadata.model_name == "semcascade(a+b -> c)"

    def test_litellms_table_is_asked(self):
        import litellm

        llm = SemCascade(ensemble=["openai/gpt-4o-mini", "openai/gpt-4"], target="openai/gpt-4o")
        known = litellm.get_model_info("openai/gpt-4")["max_input_tokens"]
        assert llm.metadata.context_window == known != 2048
        assert llm.metadata.is_function_calling_model

    def test_an_unknown_window_is_assumed_aloud(self, caplog):
        members = ["a", {"model": "b", "context_window": 4000}]
        llm = SemCascade(ensemble=members, target="c", transport=ScriptedTransport({}))
        with caplog.at_level(logging.WARNING):
            assert llm.metadata.context_window == 4000
            assert llm.metadata.context_window == 4000
        assert [record.getMessage() for record in caplog.records] == [
            "context window of a, c is unknown, assuming 8192 tokens; set context_window"
        ]
        assert scripted().metadata.context_window == 8192
        assert scripted(context_window=500).metadata.context_window == 500

    def test_tools_need_every_member(self):
        llm = SemCascade(ensemble=["openai/gpt-4o-mini", "perplexity/sonar"], target="openai/gpt-4o")
        assert not llm.metadata.is_function_calling_model
        assert scripted().metadata.is_function_calling_model
        assert not scripted(is_function_calling_model=False).metadata.is_function_calling_model

    def test_room_for_the_answer(self):
        assert scripted(max_tokens=100).metadata.num_output == 100


class TestConfiguration:
    def test_from_a_file(self, tmp_path):
        path = tmp_path / "cascade.toml"
        path.write_text('ensemble = ["a", "b"]\ntarget = "big"\nthreshold = 0.7\n')
        llm = SemCascade(config=path, deadline=9.0)
        assert (llm.config.threshold, llm.config.deadline) == (0.7, 9.0)

    def test_from_a_mapping_and_from_a_configuration(self):
        settings = {"ensemble": ["a", "b"], "target": "big", "threshold": 0.7}
        one, other = SemCascade(config=settings), SemCascade(config=CascadeConfig.build(settings), threshold=0.8)
        assert (one.config.threshold, other.config.threshold) == (0.7, 0.8)

    def test_from_tiers(self):
        llm = SemCascade(tiers=[{"members": ["a", "b"]}, {"members": ["c", "d"]}, {"members": ["e"]}])
        assert llm.model_name == "semcascade(a+b -> c+d -> e)"

    def test_from_a_dump(self):
        llm = scripted(temperature=0.5, threshold=0.9, system_prompt="Be brief.", additional_kwargs={"seed": 1})
        again = SemCascade.from_dict(llm.to_dict(), transport=llm.cascade._transports.default)
        assert again.to_dict() == llm.to_dict()
        assert again.config == llm.config
        assert said(again.chat([user("sky")])) == said(llm.chat([user("sky")]))
        assert SemCascade.from_json(llm.to_json()).config == llm.config

    def test_a_key_for_members_of_one_service(self):
        with OpenAIServer(api_key="sk-right-key-0001") as server:
            home = {"api_base": server.base_url}
            own = {"model": "openai/c", **home, "api_key": "sk-right-key-0001"}
            llm = SemCascade(
                ensemble=[{"model": "openai/a", **home}, {"model": "openai/b", **home}, own],
                target={"model": "openai/big", **home},
                api_key="sk-right-key-0001",
                max_retries=0,
            )
            assert said(llm.chat([user("sky")]))
            assert {request.key for request in server.asked()} == {"sk-right-key-0001"}

    def test_a_deepcopy_counts_for_itself(self):
        import copy

        llm = scripted(additional_kwargs={"metadata": {"a": 1}})
        llm.complete("x")
        other = copy.deepcopy(llm)
        other.additional_kwargs["metadata"]["a"] = 2
        assert llm.additional_kwargs == {"metadata": {"a": 1}}
        assert other.cascade.ledger.summary().queries == 0


def test_decisions_are_logged(tmp_path):
    path = tmp_path / "log.jsonl"
    llm = scripted(log={"path": path, "shadow": 0.5})
    llm.complete("?")
    llm._cascade.close()
    (row,) = read_rows(path)
    assert row.decision["member"] in row.answers
