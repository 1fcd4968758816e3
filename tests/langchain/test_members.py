"""Members that are existing chat models: asked with their own settings, heard of once."""

from __future__ import annotations

import asyncio
import copy
import pickle
import warnings

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain_core import exceptions as core
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel, FakeListChatModel, GenericFakeChatModel
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_semcascade import ChatInputError, ChatSemCascade
from langchain_semcascade.replies import to_candidate
from semcascade import ConfigError, ScriptedTransport, ToolCall
from tests.langchain.models import HttpChat
from tests.support.openai_server import Stall, Status

ASK = "Repeat me"
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


@pytest.fixture
async def chat(server):
    """Make a chat model of the tests' own that asks the loopback service."""
    made = []

    def make(name, **settings):
        made.append(HttpChat(model=name, base_url=server.base_url, **settings))
        return made[-1]

    yield make
    for model in made:
        await model.aclose()


@pytest.fixture
def mixed(server, chat):
    """Two chat models and one model id, before a chat model."""
    ensemble = [chat("cheap-1"), {"model": chat("cheap-2"), **PRICES}, server.member("cheap-3")]
    return ChatSemCascade(ensemble=ensemble, target=chat("large"), max_retries=0)


async def ask(model, how, question=ASK, config=None):
    if how == "invoke":
        return model.invoke(question, config)
    if how == "ainvoke":
        return await model.ainvoke(question, config)
    stream = model.stream(question, config) if how == "stream" else [c async for c in model.astream(question, config)]
    chunks = list(stream)
    return sum(chunks[1:], start=chunks[0])


def differ(server):
    server.script.update(
        {"cheap-1": "It is Paris", "cheap-2": "42", "cheap-3": "Nobody knows", "large": "one two three"}
    )


MODES = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("accepted", [True, False])
async def test_they_answer_as_any_member_does(server, mixed, how, accepted):
    if not accepted:
        differ(server)
    usage = UsageMetadataCallbackHandler()
    message = await ask(mixed, how, config={"callbacks": [usage]})
    decision = message.response_metadata["semcascade"]
    assert message.text == ("You asked: Repeat me" if accepted else "one two three")
    assert decision["accepted"] is accepted
    assert [c["member"] for c in decision["candidates"]][:3] == ["openai/cheap-1", "openai/cheap-2", "openai/cheap-3"]
    answered = "cheap-1" if accepted else "large"
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == server.tokens(answered)
    assert usage.usage_metadata == {f"openai/{answered}": message.usage_metadata}, "one run, once"
    asked, said = server.tokens("cheap-2")
    assert decision["candidates"][1]["cost"] == pytest.approx(asked * 1e-6 + said * 2e-6)
    assert len(server.asked()) == (3 if accepted else 4)


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_the_target_streams_piece_by_piece(server, mixed, how):
    differ(server)
    pieces = [c.text for c in mixed.stream(ASK)] if how == "stream" else [c.text async for c in mixed.astream(ASK)]
    assert "".join(pieces) == "one two three"
    assert len([piece for piece in pieces if piece]) == 3


async def test_their_own_settings_are_untouched_and_the_call_wins(server, chat):
    models = [chat("cheap-1", temperature=0.7), chat("cheap-2")]
    before = [model.model_dump() for model in models]
    model = ChatSemCascade(ensemble=models, target=chat("large"))
    model.invoke(ASK)
    assert [request.body.get("temperature") for request in server.asked()] in ([0.7, None], [None, 0.7])
    model.invoke(ASK, temperature=0.1, stop=["END"])
    assert [(r.body["temperature"], r.body["stop"]) for r in server.asked()[2:]] == [(0.1, ["END"])] * 2
    assert [model.model_dump() for model in models] == before


async def test_a_model_is_asked_on_the_loop_it_is_used_on_elsewhere(server, chat):
    """Its connections belong to this loop; from the engine's own they would break."""
    shared = chat("cheap-1")
    model = ChatSemCascade(ensemble=[shared, chat("cheap-2")], target=chat("large"))
    for _ in range(3):
        alone, together = await asyncio.gather(shared.ainvoke(ASK), model.ainvoke(ASK))
        assert alone.text == together.text == "You asked: Repeat me"
        assert model.invoke(ASK).text == "You asked: Repeat me", "a synchronous call within a running loop"


def test_a_model_that_is_only_synchronous():
    def fake():
        return GenericFakeChatModel(messages=iter([AIMessage("4")] * 4))

    model = ChatSemCascade(ensemble=[{"model": fake(), "name": "a"}, {"model": fake(), "name": "b"}], target=fake())
    assert model.invoke("2 + 2?").text == "4"
    assert asyncio.run(model.ainvoke("2 + 2?")).text == "4"
    assert "".join(chunk.text for chunk in model.stream("2 + 2?")) == "4"


class Whole(BaseChatModel):
    """A chat model that does not stream."""

    said: AIMessage

    @property
    def _llm_type(self) -> str:
        return "whole"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.said)])


def test_a_target_that_does_not_stream_answers_in_one_piece():
    call = {"name": "population", "args": {"city": "Bern"}, "id": "c1"}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    target = Whole(said=AIMessage("Let me look.", tool_calls=[call], usage_metadata=usage))
    ensemble = [{"model": Whole(said=AIMessage(text)), "name": text} for text in ("a", "b")]
    model = ChatSemCascade(ensemble=ensemble, target=target)
    for chunks in (list(model.stream("?")), asyncio.run(listed(model.astream("?")))):
        whole = sum(chunks[1:], start=chunks[0])
        assert whole.text == "Let me look."
        assert [(one["name"], one["args"], one["id"]) for one in whole.tool_calls] == [tuple(call.values())]
        assert whole.usage_metadata["output_tokens"] >= 2


async def listed(items):
    return [item async for item in items]


def test_a_model_that_has_nothing_left_to_say_keeps_nobody_waiting():
    members = [
        {"model": GenericFakeChatModel(messages=iter(said)), "name": str(n)}
        for n, said in enumerate((["x"], [], ["x"]))
    ]
    model = ChatSemCascade(ensemble=members, target=GenericFakeChatModel(messages=iter([])), early_exit="off")
    message = model.invoke("?")
    assert message.text == "x"
    failed = message.response_metadata["semcascade"]["candidates"][1]
    assert "StopIteration" in failed["error"]


# --- tools and schemas


@tool
def population(city: str) -> str:
    """Look up how many people live in a city."""
    return {"Bern": "134000"}.get(city, "unknown")


class City(BaseModel):
    """A city."""

    name: str


@pytest.mark.parametrize("how", MODES)
async def test_tools(server, mixed, how):
    message = await ask(mixed.bind_tools([population], tool_choice="any"), how, "Use population: 'Bern'?")
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("population", {"city": "Bern"})]
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert [request.body["tool_choice"] for request in server.asked()] == ["required"] * 3


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
async def test_structured_output(mixed, method):
    chain = mixed.with_structured_output(City, method=method)
    question = "As JSON, with the key 'name'."
    assert chain.invoke(question) == await chain.ainvoke(question) == City(name="name")
    assert list(chain.stream(question)) == [City(name="name")]


@pytest.mark.parametrize("how", MODES)
async def test_an_agents_schema_does_not_keep_them_from_its_tools(mixed, how):
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    model = mixed.with_structured_output(schema, method="json_schema", tools=[population], include_raw=True)
    runnable = model.steps[0].steps__["raw"]
    message = await ask(runnable, how, "What is the population of 'Bern'?")
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("population", {"city": "Bern"})]
    assert message.response_metadata["semcascade"]["accepted"]
    assert model.invoke("Name 'Bern'")["parsed"] == {"name": "Bern"}


def test_beside_a_schema_openais_client_is_given_strict_tools(server):
    class LikeOpenAIs(HttpChat):
        def bind_tools(self, tools, *, tool_choice=None, strict=None, response_format=None, **kwargs):
            assert response_format["json_schema"]["schema"]["title"] == "City"
            return super().bind_tools(tools, tool_choice=tool_choice, response_format=response_format, **kwargs)

    members = [LikeOpenAIs(model=name, base_url=server.base_url) for name in ("a", "b", "c")]
    model = ChatSemCascade(ensemble=members[:2], target=members[2])
    agent = create_agent(model, [population], response_format=ProviderStrategy(City))
    state = agent.invoke({"messages": "What is the population of 'Bern'?"})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["structured_response"].name == "Bern"
    assert all(request.body["tools"][0]["function"]["strict"] for request in server.asked())
    for member in members:
        member._client.close()


async def test_in_an_agent_nobody_hears_of_them(mixed, server):
    heard = []

    class Heard(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            heard.append(kwargs["metadata"]["ls_provider"])

    agent, question = create_agent(mixed, [population]), {"messages": [HumanMessage("Use population: in 'Bern'?")]}
    with get_usage_metadata_callback() as usage:
        texts = [
            chunk.text
            async for chunk, _ in agent.astream(question, {"callbacks": [Heard()]}, stream_mode="messages")
            if isinstance(chunk, AIMessageChunk) and chunk.text
        ]
    assert heard == ["semcascade"] * 2, "one run a turn"
    assert len(texts) == 1
    assert "134000" in texts[0]
    assert sum(counted["input_tokens"] for counted in usage.usage_metadata.values()) == server.tokens("cheap-1")[0]


async def test_their_own_handlers_and_cache_are_heard(chat):
    class Heard(BaseCallbackHandler):
        ended = 0

        def on_llm_end(self, response, **kwargs):
            self.ended += 1

    own = Heard()
    members = [chat("cheap-1", callbacks=[own], cache=InMemoryCache()), chat("cheap-2")]
    model = ChatSemCascade(ensemble=members, target=chat("large"))
    model.invoke(ASK)
    await model.ainvoke(ASK)
    assert own.ended == 2


# --- when it goes wrong


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, core.ModelAuthenticationError), (429, core.ModelRateLimitError), (400, core.ModelInvalidRequestError)],
)
@pytest.mark.parametrize("how", MODES)
async def test_what_they_raise_is_langchains(server, mixed, status, kind, how):
    server.fail("*", Status(status))
    with pytest.raises(kind) as caught:
        await ask(mixed, how)
    assert len(caught.value.failures) == 4


def test_langchains_errors_keep_their_kind(scripted):
    inner = scripted(ValueError("no"), core.ModelRateLimitError("slow down"))
    assert inner.cascade  # a cascade as a member of another: its errors are LangChain's
    outer = ChatSemCascade(ensemble=["a", "b"], target=inner, transport=ScriptedTransport({"a": "1", "b": "2"}))
    with pytest.raises(core.ModelAPIError):
        outer.invoke(ASK)


def test_a_cascade_as_a_member_costs_what_all_of_it_costs(scripted):
    priced = [{"model": name, **PRICES} for name in ("m/cheap-1", "m/cheap-2", "m/cheap-3")]
    inner = scripted("4", ensemble=priced)
    outer = ChatSemCascade(ensemble=["a", "b"], target=inner, transport=ScriptedTransport({"a": "1", "b": "2"}))
    decision = outer.invoke("2 + 2?").response_metadata["semcascade"]
    assert decision["candidates"][-1]["cost"] == pytest.approx(inner.cascade.ledger.summary().cost)
    chunks = list(outer.stream("2 + 2?"))
    streamed = sum(chunks[1:], start=chunks[0])
    assert streamed.response_metadata["semcascade"]["candidates"][-1]["cost"] == decision["candidates"][-1]["cost"]


async def test_a_cancelled_call_ends_at_the_service(server, mixed):
    stall = Stall()
    server.fail("*", stall)
    task = asyncio.create_task(mixed.ainvoke(ASK))
    await asyncio.to_thread(server.wait_until, lambda: len(server.asked()) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_until, lambda: all(request.disconnected for request in server.asked()))


async def test_a_stream_that_is_left_ends_at_the_service(server, mixed):
    differ(server)
    server.fail("large", Stall(after=2))
    stream = mixed.astream(ASK)
    assert (await anext(stream)).text
    await stream.aclose()
    await asyncio.to_thread(server.wait_until, lambda: server.asked("large")[0].disconnected)


# --- what they are


def test_what_is_known_of_them(chat):
    model = ChatSemCascade(ensemble=[chat("gpt-4o-mini"), chat("gpt-4o")], target=chat("gpt-5"))
    assert [member.model for member in model.cascade.config.members()] == [
        "openai/gpt-4o-mini", "openai/gpt-4o", "openai/gpt-5",
    ]  # fmt: skip
    assert model.profile["tool_calling"] is True
    assert model.profile["max_input_tokens"] == 128000
    said = chat("gpt-4o", profile={"tool_calling": False, "max_input_tokens": 5000})
    model = ChatSemCascade(ensemble=[said, chat("gpt-4o-mini")], target=chat("gpt-5"))
    assert (model.profile["tool_calling"], model.profile["max_input_tokens"]) == (False, 5000)
    no_tools = GenericFakeChatModel(messages=iter(()))
    with pytest.raises(ChatInputError, match="cannot be offered tools"):
        ChatSemCascade(ensemble=["a", "b"], target=no_tools, unsupported="raise").bind_tools([population])


def test_two_of_the_same_model_need_names(chat):
    with pytest.raises(ConfigError, match="stands here twice"):
        ChatSemCascade(ensemble=[chat("a"), chat("a")], target=chat("b"))
    named = [chat("a"), {"model": chat("a", temperature=1.0), "name": "warm"}]
    assert ChatSemCascade(ensemble=named, target=chat("b")).model_name == "openai/a+warm->openai/b"


async def test_copies_dumps_and_caches(server, chat):
    def make(temperature=None, **settings):
        cheap = [chat("cheap-1", temperature=temperature), {"model": chat("cheap-2"), "priority": 1}]
        return ChatSemCascade(ensemble=cheap, target=chat("large"), **settings)

    model = make()
    assert copy.copy(model).invoke(ASK).text == model.model_copy(update={"threshold": 0.3}).invoke(ASK).text
    assert model._get_llm_string() == make()._get_llm_string() != make(temperature=0.5)._get_llm_string()
    with warnings.catch_warnings(action="ignore"):  # that it is beta, which is said once a process
        restored = load(
            dumpd(model),
            allowed_objects=[ChatSemCascade, HttpChat],
            valid_namespaces=["langchain_semcascade", "tests"],
        )
    assert restored.cascade.config == model.cascade.config
    assert restored.invoke(ASK).text == "You asked: Repeat me"
    for transport in restored.transports.values():
        await transport.model.aclose()


def test_a_deep_copy_asks_the_same_chat_models(mixed):
    copied = copy.deepcopy(mixed)
    assert copied.invoke(ASK).text == "You asked: Repeat me"
    assert copied.cascade.ledger.summary().queries == 1
    assert mixed.cascade.ledger.summary().queries == 0


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (lambda made: {"ensemble": ["a", made], "target": "b"}, r"ensemble\[1\]"),
        (lambda made: {"ensemble": ["a", {"model": made, "name": "c"}], "target": "b"}, r"ensemble\[1\].model"),
        (lambda made: {"tiers": [{"members": ["a", "c"]}, {"members": [made]}]}, r"tiers\[1\].members\[0\]"),
    ],
)
def test_what_is_made_of_a_chat_model_is_none(chat, settings, field):
    with pytest.raises(ConfigError, match=f"^{field}: a _ChatModelBinding is no chat model"):
        ChatSemCascade(**settings(chat("d").bind(temperature=1.0)))


def test_a_parameter_that_the_clients_refuse_is_bad_input_and_not_tried_again(scripted):
    class Strict(FakeListChatModel):
        def _call(self, messages, stop=None, run_manager=None):
            raise AssertionError("never with a parameter that it does not know")

    members = [{"model": Strict(responses=["4"]), "name": name} for name in ("a", "b", "c")]
    model = ChatSemCascade(ensemble=members[:2], target=members[2])
    with pytest.raises(core.ModelInvalidRequestError, match="temprature") as error:
        model.invoke(ASK, temprature=2)
    assert [failure.member for failure in error.value.failures] == ["a", "b", "c"], "asked once each"


def test_pickling_says_who_cannot(chat):
    fine = ChatSemCascade(
        ensemble=["a", "b"],
        target=FakeListChatModel(responses=["4"]),
        transport=ScriptedTransport({"*": "4"}),
    )
    assert pickle.loads(pickle.dumps(fine)).invoke("?").text == "4"
    with pytest.raises(pickle.PicklingError, match=r"HttpChat cannot be pickled.*give its model id"):
        pickle.dumps(ChatSemCascade(ensemble=["a", "b"], target=chat("large")))


def test_what_messages_hold_is_kept():
    message = AIMessage(
        [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "So"}],
        tool_calls=[{"name": "add", "args": {"a": "é"}, "id": "c1"}],
        invalid_tool_calls=[{"name": "add", "args": "{broken", "id": "c2", "error": None}],
        usage_metadata={
            "input_tokens": 9, "output_tokens": 5, "total_tokens": 14,
            "input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2},
        },
        response_metadata={"stop_reason": "tool_use", "model": "x", "logprobs": {"content": [{"logprob": -0.5}]}, "model_provider": "anthropic"},
    )  # fmt: skip
    candidate = to_candidate("m", message)
    assert (candidate.text, candidate.reasoning) == ("So", "hm")
    assert candidate.tool_calls == (ToolCall("add", '{"a": "é"}', "c1"), ToolCall("add", "{broken", "c2"))
    assert (candidate.finish_reason, candidate.model, candidate.logprobs) == ("tool_calls", "x", (-0.5,))
    assert (candidate.usage.cached_tokens, candidate.usage.reasoning_tokens) == (4, 2)
