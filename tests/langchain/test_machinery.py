"""The chat model in LangChain's machinery: chains, batches, callbacks, caches, configurable fields."""

from __future__ import annotations

import copy

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage, SystemMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField

from langchain_semcascade import ChatSemCascade
from semcascade import ScriptedTransport
from tests.langchain.conftest import ASK, DIFFER, summed


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
            summed(model.stream(ASK, config))
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
    summed(scripted(DIFFER, "one two").stream(ASK, config))
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
