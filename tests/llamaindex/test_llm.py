"""What the cascade adds to an LLM: decisions, one answer a stream, agreement on tool calls, true counts."""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ThinkingBlock, ToolCallBlock
from llama_index.core.rate_limiter import BaseRateLimiter
from pydantic import BaseModel

from llamaindex_semcascade import SemCascade
from semcascade import Candidate, CascadeError, ConfigError, InputError, ScriptedTransport, ToolCall
from semcascade.errors import ServerError
from tests.llamaindex.helpers import (
    ASKED,
    CHAT,
    CLOCK,
    COMPLETE,
    WEATHER,
    WITH_TOOLS,
    Weather,
    recorded_events,
    replies,
    said,
    user,
)
from tests.llamaindex.models import MEMBERS, PRICES, scripted, served
from tests.support.openai_server import OpenAIServer, Reply, Stall

SCATTERED = {"cheap-1": "Lyon", "cheap-2": "Nice", "cheap-3": "Lille", "big": "The capital is Paris."}


def decision_of(response):
    return response.additional_kwargs["semcascade"]


class TestDecision:
    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_it_is_plain_data_beside_the_answer(self, method):
        llm = scripted(dict.fromkeys(MEMBERS, "Paris"))
        last = (await replies(llm, method, [user("Capital?")] if "chat" in method else "Capital?"))[-1]
        decision = decision_of(last)
        assert json.loads(json.dumps(decision)) == decision == last.raw["semcascade"]
        assert (decision["tier"], decision["member"], decision["accepted"]) == ("ensemble", "cheap-1", True)
        assert [candidate["text"] for candidate in decision["candidates"]] == ["Paris"] * 3

    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_it_is_one_event_in_the_span_of_the_call(self, method):
        llm = scripted(SCATTERED)
        with recorded_events() as events:
            await replies(llm, method, [user("Capital?")] if "chat" in method else "Capital?")
        (event,) = events.named("SemCascadeDecisionEvent")
        start = [event for event in events.events if event.class_name().endswith("StartEvent")]
        assert [event.span_id] == [other.span_id for other in start]
        assert (event.decision.member, event.decision.accepted) == ("big", False)
        assert event.model_dump()["decision"]["tier"] == "target"

    @pytest.mark.parametrize("method", CHAT)
    async def test_a_failure_is_an_event_too(self, method):
        llm = scripted({**SCATTERED, "big": ServerError("down", member="big")}, max_retries=0)
        with recorded_events() as events, pytest.raises(CascadeError, match="big: down"):
            await replies(llm, method, [user("Capital?")])
        (event,) = events.named("SemCascadeDecisionEvent")
        assert event.decision.member == ""
        assert len(event.decision.tiers[0].candidates) == 3

    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_a_named_model_is_the_only_one_asked(self, method):
        llm = scripted(SCATTERED)
        last = (await replies(llm, method, [user("Capital?")] if "chat" in method else "Capital?", model="cheap-2"))[-1]
        assert said(last) == "Nice"
        assert [name for name, _ in llm.cascade._transports.default.requests] == ["cheap-2"]
        assert decision_of(last)["reason"] == "cheap-2 was asked for by name"

    def test_the_ledger_adds_up(self):
        llm = scripted(SCATTERED)
        llm.complete("Capital?")
        list(llm.stream_complete("Capital?"))
        assert llm.cascade.ledger.summary().calls == 8


class TestStreams:
    @pytest.mark.parametrize("method", [*CHAT[2:], *COMPLETE[2:]])
    async def test_a_rejected_answer_is_never_shown(self, method):
        shown = await replies(scripted(SCATTERED), method, [user("Capital?")] if "chat" in method else "Capital?")
        assert [answer.delta for answer in shown] == ["The ", "capital ", "is ", "Paris.", ""]
        assert all("L" not in said(answer) and "N" not in said(answer) for answer in shown)

    @pytest.mark.parametrize("method", [*CHAT[2:], *COMPLETE[2:]])
    async def test_an_accepted_answer_comes_whole(self, method):
        llm = scripted(dict.fromkeys(MEMBERS, "It is Paris."))
        shown = await replies(llm, method, [user("Capital?")] if "chat" in method else "Capital?")
        assert [answer.delta for answer in shown] == ["It is Paris.", ""]
        assert [bool(answer.raw) for answer in shown] == [False, True]

    @pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
    async def test_the_last_piece_equals_the_whole_answer(self, method):
        call = ToolCall("add", '{"a": 1, "b": [2, 3]}', "call_1")
        llm = scripted({**SCATTERED, "big": Candidate("", text="Let me see.", reasoning="hm", tool_calls=(call,))})
        whole, pieces = llm.chat([user("x")]), await replies(llm, method, [user("x")])
        assert pieces[-1].message == whole.message
        assert pieces[-1].raw["usage"] == whole.raw["usage"]

    @pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
    async def test_pieces_of_a_tool_call_grow(self, method):
        written = '{"city": "Rome", "days": 3}'
        with OpenAIServer({**SCATTERED, "big": Reply(tool_calls=[("weather", {"city": "Rome", "days": 3})])}) as server:
            pieces = await replies(served(server), method, [user("x")], tools=[WEATHER])
        arguments = [piece.message.additional_kwargs["tool_calls"][0]["function"]["arguments"] for piece in pieces]
        assert len(set(arguments)) > 2
        assert all(written.startswith(so_far) for so_far in arguments[1:-1])
        blocks = [piece.message.blocks[-1] for piece in pieces]
        assert len({block.tool_call_id for block in blocks}) == 1
        assert all(isinstance(block.tool_kwargs, dict) for block in blocks)
        assert blocks[-1].tool_kwargs == {"city": "Rome", "days": 3}

    @pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
    async def test_reasoning_is_a_block_of_its_own(self, method):
        with OpenAIServer({**SCATTERED, "big": Reply("It is Paris.", reasoning="France, then.")}) as server:
            pieces = await replies(served(server), method, [user("Capital?")])
            thinking = server.asked("big")[0].usage["completion_tokens_details"]["reasoning_tokens"]
        assert "".join(piece.additional_kwargs.get("thinking_delta", "") for piece in pieces) == "France, then."
        assert "".join(piece.delta for piece in pieces) == said(pieces[-1]) == "It is Paris."
        (thought,) = [block for block in pieces[-1].message.blocks if isinstance(block, ThinkingBlock)]
        assert thought.content == "France, then."
        assert thought.num_tokens == thinking > 0

    async def test_who_stops_listening_ends_the_request(self):
        stall = Stall(after=2)
        with OpenAIServer(SCATTERED) as server:
            server.fail("big", stall)
            stream = served(server).stream_chat([user("Capital?")])
            next(stream)
            stream.close()
            server.wait_until(lambda: server.asked("big")[0].disconnected)
            astream = await served(server).astream_complete("Capital?")
            await anext(astream)
            await astream.aclose()
            await asyncio.to_thread(server.wait_until, lambda: server.asked("big")[-1].disconnected)
            stall.release()

    async def test_bad_input_is_refused_when_the_stream_is_asked_for(self):
        llm = scripted()
        with pytest.raises(InputError, match="prompt: the list of messages is empty"):
            llm.stream_chat([])
        with pytest.raises(InputError, match="prompt: the list of messages is empty"):
            await llm.astream_chat([])


class TestToolAgreement:
    SAME = ToolCall("weather", '{"city": "Rome", "days": 3}')
    ALSO = ToolCall("weather", '{ "days":3, "city": "Rome" }')
    OTHER = ToolCall("weather", '{"city": "Oslo", "days": 3}')
    BIG = ToolCall("clock", '{"city": "Rome"}')

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_the_same_call_is_taken_from_the_cheap_members(self, method):
        llm = scripted({"cheap-1": self.SAME, "cheap-2": self.ALSO, "cheap-3": self.ALSO, "big": self.BIG})
        last = (await replies(llm, method, [WEATHER, CLOCK], user_msg="x"))[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert (call.tool_name, call.tool_kwargs) == ("weather", {"city": "Rome", "days": 3})
        assert decision_of(last)["accepted"]
        assert "big" not in [name for name, _ in llm.cascade._transports.default.requests]

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_different_calls_are_deferred(self, method):
        llm = scripted({"cheap-1": self.SAME, "cheap-2": self.OTHER, "cheap-3": "No tool.", "big": self.BIG})
        last = (await replies(llm, method, [WEATHER, CLOCK], user_msg="x"))[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert (call.tool_name, call.tool_kwargs) == ("clock", {"city": "Rome"})
        assert not decision_of(last)["accepted"]

    @pytest.mark.parametrize("method", ["chat_with_tools", "astream_chat_with_tools"])
    async def test_calls_without_ids_get_one(self, method):
        llm = scripted({"cheap-1": self.SAME, "cheap-2": self.OTHER, "cheap-3": self.BIG, "big": self.BIG})
        seen = await replies(llm, method, [WEATHER, CLOCK], user_msg="x")
        ids = {block.tool_call_id for answer in seen for block in answer.message.blocks if block.block_type != "text"}
        assert len(ids) == 1
        assert "" not in ids

    def test_one_of_two_equal_calls_is_kept(self):
        llm = scripted()
        block = ToolCallBlock(tool_call_id="1", tool_name="clock", tool_kwargs={})
        response = llm.chat([user("x")])
        response.message.blocks += [block, block]
        response.message.additional_kwargs["tool_calls"] = [{"id": "1"}, {"id": "1"}]
        kept = llm._validate_chat_with_tools_response(response, [CLOCK], allow_parallel_tool_calls=False)
        assert [block.block_type for block in kept.message.blocks] == ["text", "tool_call"]
        assert len(kept.message.additional_kwargs["tool_calls"]) == 1
        assert len(response.message.blocks) == 3

    def test_broken_arguments_call_with_none(self):
        broken = ToolCall("weather", '{"city": "Ro', "call_1")
        llm = scripted(dict.fromkeys([*MEMBERS, "big"], broken))
        (call,) = llm.get_tool_calls_from_response(llm.chat_with_tools([WEATHER], user_msg="x"))
        assert call.tool_kwargs == {}

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ({}, None), ({"tool_required": True}, "required"), ({"tool_choice": "any"}, "required"),
            ({"tool_choice": "none"}, "none"), ({"tool_choice": "auto", "tool_required": True}, "auto"),
            ({"tool_choice": "clock"}, {"type": "function", "function": {"name": "clock"}}),
            ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, {"type": "function", "function": {"name": "x"}}),
        ],
    )  # fmt: skip
    def test_tool_choice(self, given, sent):
        llm = scripted({"*": "x"})
        llm.chat_with_tools([WEATHER, CLOCK], user_msg="x", **given)
        assert llm.cascade._transports.default.requests[0][1].tool_choice == sent

    def test_parallel_calls_are_left_to_the_provider_or_forbidden(self):
        llm = scripted({"*": "x"})
        llm.chat_with_tools([WEATHER], user_msg="x", allow_parallel_tool_calls=True)
        llm.chat_with_tools([WEATHER], user_msg="x", allow_parallel_tool_calls=False, temperature=0.5)
        params = [request.params for _, request in llm.cascade._transports.default.requests]
        assert params[0] == {}
        assert params[-1] == {"parallel_tool_calls": False, "temperature": 0.5}


CLOCKS = {name: Reply(tool_calls=[("clock", {"city": f"{name}ville"})]) for name in MEMBERS}


class TestCountsAndCosts:
    @pytest.mark.parametrize("script", [{}, SCATTERED], ids=["accepted", "deferred"])
    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_they_are_what_the_service_counted(self, method, script, counted_right):
        with OpenAIServer(script) as server:
            llm = served(server, **PRICES)
            last = (await replies(llm, method, [user("Capital?")] if "chat" in method else "Capital?"))[-1]
            counted_right(server, [decision_of(last)], f"{method}, {'deferred' if script else 'accepted'}")
            chosen = server.tokens("big" if script else "cheap-1")
        counts = last.additional_kwargs
        assert (counts["prompt_tokens"], counts["completion_tokens"]) == chosen

    @pytest.mark.parametrize("script", [{}, CLOCKS], ids=["accepted", "deferred"])
    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_with_tools_too(self, method, script, counted_right):
        with OpenAIServer(script) as server:
            last = (await replies(served(server, **PRICES), method, [WEATHER, CLOCK], user_msg=ASKED))[-1]
            counted_right(server, [decision_of(last)], f"{method}, {'deferred' if script else 'accepted'}")
            chosen = server.tokens("big" if script else "cheap-1")
        assert (last.additional_kwargs["prompt_tokens"], last.additional_kwargs["completion_tokens"]) == chosen
        assert decision_of(last)["accepted"] is not bool(script)

    @pytest.mark.parametrize("method", CHAT)
    async def test_structured_too(self, method, counted_right):
        with OpenAIServer() as server, recorded_events() as events:
            llm = served(server, **PRICES).as_structured_llm(Weather)
            await replies(llm, method, [user('the weather of "Oslo" for 2 days')])
            decisions = [event.decision.to_dict() for event in events.named("SemCascadeDecisionEvent")]
            counted_right(server, decisions, f"structured {method}")

    async def test_an_agents_turns_too(self, counted_right):
        with OpenAIServer() as server, recorded_events() as events:
            await FunctionAgent(tools=[WEATHER], llm=served(server, **PRICES)).run(ASKED)
            decisions = [event.decision.to_dict() for event in events.named("SemCascadeDecisionEvent")]
            counted_right(server, decisions, "FunctionAgent, two turns")
        assert len(decisions) == 2

    def test_request_parameters_reach_every_member(self):
        with OpenAIServer(SCATTERED) as server:
            llm = served(server, temperature=0.3, max_tokens=50, additional_kwargs={"top_p": 0.9, "seed": 1})
            llm.complete("Capital?", seed=2)
            bodies = [request.body for request in server.asked()]
        assert len(bodies) == 4
        for body in bodies:
            assert (body["temperature"], body["max_tokens"], body["top_p"], body["seed"]) == (0.3, 50, 0.9, 2)

    def test_logprobs_are_passed_on(self):
        with OpenAIServer({**SCATTERED, "big": Reply("It is Paris.", logprobs=[-0.5])}) as server:
            response = served(server).complete("Capital?", logprobs=True)
        assert [[token.logprob for token in step] for step in response.logprobs] == [[-0.5], [-0.5], [-0.5]]

    def test_the_rate_limiter_is_asked_once_a_query(self):
        class Limiter(BaseRateLimiter):
            acquired = 0

            def acquire(self, *args, **kwargs):
                self.acquired += 1

            async def async_acquire(self, *args, **kwargs):
                self.acquired += 1

        llm = scripted()
        llm.rate_limiter = Limiter()
        llm.complete("x")
        asyncio.run(llm.achat([user("x")]))
        assert llm.rate_limiter.acquired == 2


class TestConcurrency:
    async def test_the_callers_loop_goes_on(self):
        llm = SemCascade(ensemble=["a", "b"], target="big", transport=ScriptedTransport({"*": "x"}, latency_s=0.2))
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(llm.acomplete("x") for _ in range(5)))
        ticking.cancel()
        assert ticks >= 5

    async def test_synchronous_calls_work_inside_a_running_loop(self):
        assert said(scripted().chat([user("sky")]))


class TestStructured:
    async def test_a_class_stands_for_its_schema(self):
        class City(BaseModel):
            name: str

        with OpenAIServer() as server:
            llm = served(server)
            answer = await llm.achat([user('the city of "Oslo"')], response_format=City)
            sent = server.asked()[0].body["response_format"]
        assert City.model_validate_json(said(answer)) == City(name="Oslo")
        assert sent["json_schema"]["name"] == "City"

    def test_without_tools_the_text_is_parsed(self):
        class City(BaseModel):
            name: str

        llm = scripted({"*": '{"name": "Oslo"}'}, is_function_calling_model=False)
        structured = llm.as_structured_llm(City)
        assert structured.chat([user("x")]).raw == City(name="Oslo")
        assert list(structured.stream_chat([user("x")]))[-1].raw == City(name="Oslo")
        assert not llm.cascade._transports.default.requests[0][1].tools


@pytest.mark.parametrize(
    ("settings", "field"), [({"temperature": "hot"}, "temperature"), ({"max_tokens": -1}, "max_tokens")]
)
def test_wrong_parameters_are_refused_by_name(settings, field):
    with pytest.raises(ConfigError) as caught:
        SemCascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport({}), **settings)
    assert caught.value.field == field


def test_a_query_may_go_straight_to_the_target():
    llm = scripted({"cheap-1": "1", "cheap-2": "1", "cheap-3": "1", "big": "2"}, router={"complexity": 0.1})
    told = llm.complete("What is the capital of Norway?").additional_kwargs["semcascade"]
    assert told["route"]["skipped"] == ["ensemble"]
    assert told["reason"].startswith("straight to big: query complexity 0.")


def test_a_conversation_may_stay_on_its_tier():
    script = {"cheap-1": ["1", "same"], "cheap-2": ["2", "same"], "cheap-3": ["3", "same"], "big": "4"}
    llm = scripted(script, sticky=True)
    said = [user("?")]
    said += [llm.chat(said).message, user("Sure?")]
    assert llm.chat(said).additional_kwargs["semcascade"]["reason"].startswith("straight to big: sticky")
    assert llm.chat([user("?")], conversation="x").message.content == "same"
