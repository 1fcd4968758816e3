"""What a user of the chat model sees."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import HumanMessage, SystemMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField

from langchain_semcascade import ChatInputError, ChatSemCascade
from semcascade import Candidate, ConfigError, ScriptedTransport, Usage
from semcascade.errors import ServerError
from semcascade.evaluation import read_rows

DIFFER = ("Paris", "Rome", "Oslo")
ASK = "What is 2 + 2?"


# --- the answer and its decision


def test_an_accepted_answer_and_its_decision(scripted):
    message = scripted("4").invoke(ASK)
    decision = message.response_metadata["semcascade"]
    assert message.content == "4"
    assert (decision["accepted"], decision["tier"], decision["score"]) == (True, "ensemble", 1.0)
    assert [c["member"] for c in decision["candidates"]] == ["m/cheap-1", "m/cheap-2", "m/cheap-3"]
    assert message.response_metadata["model_name"] == "m/cheap-1"
    assert message.response_metadata["model_provider"] == "semcascade"
    assert message.response_metadata["finish_reason"] == "stop"
    assert json.loads(json.dumps(decision)) == decision, "plain data"


def test_a_deferred_answer_and_its_decision(scripted):
    message = scripted(DIFFER).invoke(ASK)
    decision = message.response_metadata["semcascade"]
    assert message.content == "four, says the large one"
    assert (decision["accepted"], decision["tier"]) == (False, "target")
    assert [c["tier"] for c in decision["candidates"]] == ["ensemble"] * 3 + ["target"]
    assert message.response_metadata["model_name"] == "m/large"


def test_usage_is_that_of_the_answer_not_the_sum(scripted):
    answers = tuple(Candidate("", text=text, usage=Usage(10, 1)) for text in DIFFER)
    large = Candidate("", text="x", usage=Usage(10, 7, cached_tokens=4, reasoning_tokens=2))
    message = scripted(answers, large).invoke(ASK)
    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 7,
        "total_tokens": 17,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 2},
    }


def test_reasoning_becomes_a_content_block(scripted):
    answer = Candidate("", text="4", reasoning="2 and 2", finish_reason="stop")
    for message in (scripted(answer).invoke(ASK), _sum(scripted(answer).stream(ASK))):
        assert message.content == "4"
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


@pytest.mark.parametrize("cheap", ["4", DIFFER])
def test_invoke_and_stream_say_the_same(scripted, cheap):
    model = scripted(cheap)
    whole, chunks = model.invoke(ASK), list(model.stream(ASK))
    streamed = _sum(chunks)
    assert streamed.content == whole.content
    assert streamed.usage_metadata == whole.usage_metadata
    assert _timeless(streamed) == _timeless(whole)
    assert [chunk.chunk_position for chunk in chunks].index("last") == len(chunks) - 1
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert sum(bool(chunk.response_metadata.get("semcascade")) for chunk in chunks) == 1


async def test_a_deferred_query_streams_the_target_piece_by_piece(scripted):
    model = scripted(DIFFER, "one two three")
    assert [chunk.content for chunk in model.stream(ASK)] == ["one ", "two ", "three", ""]
    assert [chunk.content async for chunk in model.astream(ASK)] == ["one ", "two ", "three", ""]


async def test_rejected_text_is_never_emitted(scripted):
    model = scripted(DIFFER, "the answer")
    said = "".join([chunk.text for chunk in model.stream(ASK)] + [chunk.text async for chunk in model.astream(ASK)])
    assert said == "the answer" * 2
    events = [event async for event in model.astream_events(ASK, version="v2")]
    assert not any(
        rejected in repr(e["data"].get("chunk", "")).split("semcascade")[0] for e in events for rejected in DIFFER
    )


async def test_sync_calls_inside_a_running_loop(scripted):
    assert scripted().invoke(ASK).text == (await scripted().ainvoke(ASK)).text == "4"


# --- what is asked


def test_parameters_reach_every_member_and_the_call_wins(scripted):
    model = scripted(DIFFER, temperature=0.1, max_tokens=50, stop=["END"], model_kwargs={"top_p": 0.5})
    model.invoke(ASK, temperature=0.9, seed=7)
    for _, request in model.transport.requests:
        assert request.params == {"temperature": 0.9, "max_tokens": 50, "stop": ["END"], "top_p": 0.5, "seed": 7}
    model.invoke(ASK, stop=["OTHER"])
    assert model.transport.requests[-1][1].params["stop"] == ["OTHER"]


def test_switches_of_streaming_are_no_request_parameters(scripted):
    model = scripted()
    model.invoke(ASK, stream=False, stream_usage=True, stream_options={"include_usage": True})
    assert model.transport.requests[0][1].params == {}


@pytest.mark.parametrize("name", ["n", "timeout", "max_retries", "api_key", "api_base", "base_url"])
def test_what_a_call_does_not_take_is_refused_not_dropped(scripted, name):
    model = scripted()
    with pytest.raises(ChatInputError, match=f"{name}: not an argument of a call"):
        model.invoke(ASK, **{name: 2})
    with pytest.raises(ChatInputError, match=name):
        list(model.stream(ASK, **{name: 2}))
    assert model.transport.requests == []


def test_a_model_named_in_the_call_is_the_only_one_asked(scripted):
    model = scripted()
    message = model.invoke(ASK, model="m/cheap-2")
    assert [name for name, _ in model.transport.requests] == ["m/cheap-2"]
    assert message.response_metadata["model_name"] == "m/cheap-2"
    assert _sum(model.bind(model="m/large").stream(ASK)).content == "four, says the large one"


def test_two_members_of_one_model_are_told_apart(scripted):
    twice = [{"model": "m/cheap-1", "name": "plain"}, {"model": "m/cheap-1", "name": "terse", "temperature": 0.0}]
    model = scripted(ensemble=twice)
    message = model.invoke(ASK)
    assert message.response_metadata["semcascade"]["member"] == "plain"
    assert message.response_metadata["model_name"] == "m/cheap-1"
    assert model.invoke(ASK, model="terse").response_metadata["semcascade"]["member"] == "terse"


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


# --- LangChain's machinery


def test_in_a_chain(scripted):
    chain = (
        ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{question}")])
        | scripted()
        | StrOutputParser()
    )
    assert chain.invoke({"question": ASK}) == "4"
    assert "".join(chain.stream({"question": ASK})) == "4"


async def test_batches_keep_their_order_and_their_failures_apart(scripted):
    def answer(request):
        text = request.messages[-1]["content"]
        return ValueError("no") if text == "bad" else f"about {text}"

    model = scripted(answer, answer)
    asked = ["one", "bad", "two"]
    done = await model.abatch(asked, {"max_concurrency": 2}, return_exceptions=True)
    for results in (done, model.batch(asked, return_exceptions=True)):
        assert [getattr(result, "text", None) for result in results] == ["about one", None, "about two"]
        assert isinstance(results[1], Exception)
    completed = dict(model.batch_as_completed(["one", "two"]))
    assert {index: message.text for index, message in completed.items()} == {0: "about one", 1: "about two"}


async def test_callbacks_count_tokens_once_and_by_model(scripted):
    model = scripted(DIFFER)
    whole = model.invoke(ASK).usage_metadata
    for handler in (usage := UsageMetadataCallbackHandler(), streamed := UsageMetadataCallbackHandler()):
        config = {"callbacks": [handler]}
        if handler is usage:
            await model.ainvoke(ASK, config)
        else:
            _sum(model.stream(ASK, config))
    assert usage.usage_metadata == streamed.usage_metadata == {"m/large": whole}


def test_callbacks_see_one_run_and_each_token_once(scripted):
    class Heard(BaseCallbackHandler):
        def __init__(self):
            self.starts, self.tokens = [], []

        def on_chat_model_start(self, serialized, messages, **kwargs):
            self.starts.append((kwargs["tags"], kwargs["metadata"], kwargs["invocation_params"]))

        def on_llm_new_token(self, token, **kwargs):
            self.tokens.append(token)

    heard = Heard()
    config = {"callbacks": [heard], "tags": ["t"], "metadata": {"who": "me"}}
    _sum(scripted(DIFFER, "one two").stream(ASK, config))
    assert heard.tokens == ["one ", "two", ""]
    ((tags, metadata, params),) = heard.starts
    assert tags == ["t"]
    assert metadata["who"] == "me"
    assert metadata["ls_provider"] == "semcascade"
    assert metadata["ls_model_name"] == "m/cheap-1+m/cheap-2+m/cheap-3->m/large"
    assert params["_type"] == "semcascade"


def test_streaming_true_streams_inside_invoke(scripted):
    model = scripted(DIFFER, "one two", streaming=True)
    message = model.invoke(ASK)
    assert message.text == "one two"
    assert message.usage_metadata["output_tokens"] > 0
    assert message.response_metadata["semcascade"]["first_token_s"] is not None, "it was streamed"


def test_the_rate_limiter_counts_calls_not_members(scripted):
    class Counting(InMemoryRateLimiter):
        acquired = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.acquired += 1
            return True

    limiter = Counting()
    scripted(DIFFER, rate_limiter=limiter).invoke(ASK)
    assert limiter.acquired == 1


async def test_caching(scripted):
    cache = InMemoryCache()
    model = scripted(cache=cache)
    first, again = model.invoke(ASK), await model.ainvoke(ASK)
    assert first.text == again.text
    assert len(model.transport.requests) == 3
    model.invoke(ASK, temperature=0.3)
    model.temperature = 0.5
    model.invoke(ASK)
    assert len(model.transport.requests) == 9, "another question is another entry"


async def test_the_global_cache_and_no_cache(scripted):
    set_llm_cache(InMemoryCache())
    try:
        model = scripted()
        first, again = await model.ainvoke(ASK), model.invoke(ASK)
        assert first.text == again.text
        assert len(model.transport.requests) == 3
        assert again.usage_metadata["total_tokens"] == first.usage_metadata["total_tokens"]
        scripted().invoke(ASK)
        apart = scripted(cache=False, transport=model.transport)
        apart.invoke(ASK)
        assert len(model.transport.requests) == 6, "a model told to use no cache uses none"
    finally:
        set_llm_cache(None)


def test_a_model_configured_otherwise_has_the_profile_of_its_members():
    settings = {"ensemble": ["openai/gpt-5-nano", "openai/gpt-5-mini"], "target": "openai/gpt-5"}
    other = ChatSemCascade(**settings).configurable_fields(target=ConfigurableField(id="target"))
    model, _ = other._prepare({"configurable": {"target": "openai/my-own"}})
    assert "max_input_tokens" not in (model.profile or {})
    own = ChatSemCascade(**settings, profile={"tool_calling": False})
    fixed, _ = own.configurable_fields(target=ConfigurableField(id="target"))._prepare(
        {"configurable": {"target": "a"}}
    )
    assert fixed.profile == {"tool_calling": False}


def test_two_configurations_never_share_a_cache_entry(scripted):
    members = {"ensemble": ["m/a", "m/b"], "target": "m/c"}
    variants = [
        {},
        {"threshold": 0.5},
        {"similarity": "exact"},
        {"temperature": 0.0},
        {"model_kwargs": {"seed": 1}},
        {"ensemble": ["m/b", "m/a"]},
        {"ensemble": ["m/a", {"model": "m/b", "temperature": 1}]},
        {"transport": ScriptedTransport({"*": "x"})},
        {"transport": ScriptedTransport({"*": "y"})},
    ]
    keys = [ChatSemCascade(**{**members, **variant})._get_llm_string() for variant in variants]
    assert len(set(keys)) == len(keys)
    assert ChatSemCascade(**members)._get_llm_string() == keys[0]


def test_retries_fallbacks_and_configurable_fields(scripted):
    broken = scripted(ValueError("no"), ValueError("no"))
    assert broken.with_fallbacks([scripted()]).invoke(ASK).text == "4"
    flaky = scripted(ValueError("no"), [ValueError("no"), "second try"])
    assert flaky.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(ASK).text == "second try"
    model = scripted(("4", "4", "5"), threshold=0.4).configurable_fields(threshold=ConfigurableField(id="threshold"))
    assert model.invoke(ASK).text == "4"
    strict = model.with_config(configurable={"threshold": 0.95})
    assert strict.invoke(ASK).response_metadata["semcascade"]["accepted"] is False


def test_equal_settings_share_a_ledger_however_often_they_are_configured(scripted):
    """LangChain rebuilds the model at every call; what was spent must not be forgotten over it."""
    model = scripted(("4", "4", "5"), threshold=0.4)
    fields = {"threshold": ConfigurableField(id="threshold"), "temperature": ConfigurableField(id="temperature")}
    configurable = model.configurable_fields(**fields)
    for _ in range(3):
        configurable.with_config(configurable={"threshold": 0.95}).invoke(ASK)
    configurable.with_config(configurable={"temperature": 0.5}).invoke(ASK)
    strict = model.model_copy(update={"threshold": 0.95})
    assert (strict.cascade.ledger.summary().queries, model.cascade.ledger.summary().queries) == (3, 1)
    assert copy.deepcopy(strict).cascade.ledger.summary().queries == 0, "a copy keeps its own accounts"


def test_an_escalation_rate_remembers_when_it_is_configured(scripted):
    configurable = scripted(("4", "4", "5")).configurable_fields(escalation_rate=ConfigurableField(id="rate"))
    half = configurable.with_config(configurable={"rate": 0.5})
    deferred = [not half.invoke(ASK).response_metadata["semcascade"]["accepted"] for _ in range(20)]
    assert deferred == [True] * 10 + [False] * 10, "ten scores below the first threshold, then the rate is made up for"


def test_configurable_alternatives(scripted):
    model = scripted("4").configurable_alternatives(
        ConfigurableField(id="model"), default_key="all", strict=scripted(DIFFER)
    )
    assert model.invoke(ASK).text == "4"
    assert model.with_config(configurable={"model": "strict"}).invoke(ASK).text == "four, says the large one"


def test_tokens_are_counted_without_a_tokenizer_from_the_network(scripted):
    model = scripted()
    assert model.get_num_tokens("x" * 40) == 10
    talk = [SystemMessage("s"), HumanMessage("long " * 50), HumanMessage("short")]
    kept = trim_messages(talk, max_tokens=20, token_counter=model, include_system=True)
    assert [message.text for message in kept] == ["s", "short"]


# --- copies, dumps, secrets

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


def _sum(chunks):
    chunks = list(chunks)
    return sum(chunks[1:], start=chunks[0])


def _timeless(message):
    """Drop what differs from call to call."""
    plain = copy.deepcopy(message.response_metadata)
    decision = plain["semcascade"]
    for record in (decision, *decision["candidates"], *decision["tiers"]):
        for key in ("latency_s", "first_token_s"):
            record.pop(key, None)
    return plain


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


def test_decisions_are_logged_and_no_dump_says_where(tmp_path):
    path = tmp_path / "log.jsonl"
    model = ChatSemCascade(ensemble=["a", "b"], target="t", log=str(path), transport=ScriptedTransport({"*": "x"}))
    model.invoke("?")
    model.cascade.close()
    (row,) = read_rows(path)
    assert (row.messages, row.decision["accepted"]) == (({"role": "user", "content": "?"},), True)
    assert "log.jsonl" not in dumps(model)
