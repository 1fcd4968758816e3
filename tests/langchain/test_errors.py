"""Errors are langchain-core's and semcascade's at once, and say what to do."""

from __future__ import annotations

import pickle
import traceback

import pytest
from langchain_core import exceptions as core

from langchain_semcascade import ChatSemCascade, errors
from langchain_semcascade.errors import translated
from semcascade import CascadeError, ConfigError, InputError, MissingDependencyError, ScriptedTransport
from semcascade.errors import (
    BadRequestError,
    ContentFilterError,
    ContextOverflowError,
    MalformedReplyError,
    MemberError,
)
from tests.support.openai_server import EmptyChoices, Malformed, Reset, Stall, Status, closed_address

KEY = "sk-secret-0123456789abcdef"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(400), core.ModelInvalidRequestError),
        (Status(400, message="maximum context length is 10 tokens", kind="context_length_exceeded"), core.ContextOverflowError),
        (Status(401), core.ModelAuthenticationError),
        (Status(403), core.ModelPermissionDeniedError),
        (Status(404), core.ModelNotFoundError),
        (Status(408), core.ModelTimeoutError),
        (Status(429), core.ModelRateLimitError),
        (Status(500), core.ModelAPIError),
        (Status(502), core.ModelAPIError),
        (Status(503), core.ModelAPIError),
        (Status(529), core.ModelAPIError),
        (Reset(), core.ModelConnectionError),
        (EmptyChoices(), core.ModelAPIError),
        (Malformed(), core.ModelAPIError),
    ],
)  # fmt: skip
async def test_what_providers_do_wrong(server, over_http, fault, kind):
    server.fail("*", fault)
    model = over_http(ensemble=[server.member(name, api_key=KEY) for name in ("cheap-1", "cheap-2")])
    raised = []
    with pytest.raises(kind) as caught:
        model.invoke("Hello")
    raised.append(caught.value)
    with pytest.raises(kind) as caught:
        await model.ainvoke("Hello")
    raised.append(caught.value)
    for error in raised:
        assert isinstance(error, CascadeError)
        assert len(error.failures) == 3
        assert error.__cause__ is error.failures[-1], "chained from the target's error"
        assert error.__cause__.__cause__ is not None or isinstance(fault, EmptyChoices), "and that from the provider's"
        assert error.is_retryable == kind.is_retryable
        assert KEY not in "".join(traceback.format_exception(error))
        assert "large" in str(error)


@pytest.mark.parametrize("fault", [Status(429), Reset(), Reset(after=2)])
async def test_streams_raise_the_same_errors(server, over_http, fault):
    server.script.update({"cheap-1": "one", "cheap-2": "two", "cheap-3": "three"})
    server.fail("large", fault)
    kind = core.ModelRateLimitError if isinstance(fault, Status) else core.ModelConnectionError
    with pytest.raises(kind):
        list(over_http().stream("Hello"))
    with pytest.raises(kind):
        async for _ in over_http().astream("Hello"):
            pass


def test_a_refused_connection(over_http):
    away = {"model": "openai/large", "api_base": closed_address()}
    with pytest.raises(core.ModelConnectionError, match="could not be reached"):
        over_http(target=away).invoke("Hello", model="openai/large")


def test_timeouts_and_deadlines(server, over_http):
    server.fail("large", Stall())
    with pytest.raises(core.ModelTimeoutError):
        over_http(timeout=0.2).invoke("Hello", model="openai/large")
    with pytest.raises(errors.ChatDeadlineError) as caught:
        over_http(deadline=0.2).invoke("Hello", model="openai/large")
    assert isinstance(caught.value, core.ModelTimeoutError | TimeoutError)


def test_a_missing_key_is_told_before_anything_is_spent():
    model = ChatSemCascade(ensemble=["openai/a", "openai/b"], target="openai/c")
    with pytest.raises(core.ModelAuthenticationError, match="OPENAI_API_KEY") as caught:
        model.invoke("Hello")
    assert caught.value.decision is None
    assert isinstance(caught.value, errors.ChatAuthenticationError)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("",), "no message has any content"),
        (([],), "empty"),
        (("Hello", None, "m/nobody"), "'m/nobody' is no member"),
    ],
)
def test_bad_input(scripted, arguments, text):
    prompt, *_, model_id = (*arguments, None) if len(arguments) == 1 else arguments
    model = scripted()
    with pytest.raises(core.ModelInvalidRequestError, match=text) as caught:
        model.invoke(prompt, **({"model": model_id} if model_id else {}))
    assert isinstance(caught.value, InputError | ValueError)
    assert caught.value.field
    assert model.transport.requests == []


def test_one_failed_member_of_three_stands_in_the_decision(server, over_http):
    server.fail("cheap-2", Status(500))
    message = over_http().invoke("Hello")
    decision = message.response_metadata["semcascade"]
    assert decision["accepted"]
    assert [bool(candidate["error"]) for candidate in decision["candidates"]] == [False, True, False]


def test_every_error_of_a_member_has_a_counterpart():
    def subclasses(kind):
        return {kind, *(deep for sub in kind.__subclasses__() for deep in subclasses(sub))}

    for kind in subclasses(MemberError):
        with pytest.raises(core.LangChainException), translated():
            raise kind("broken", member="m")
    for kind, expected in (
        (ContextOverflowError, core.ContextOverflowError),
        (ContentFilterError, core.ModelInvalidRequestError),
        (BadRequestError, core.ModelInvalidRequestError),
        (MalformedReplyError, core.ModelAPIError),
    ):
        with pytest.raises(expected), translated():
            raise kind("broken", member="m")


def test_errors_survive_pickling():
    with pytest.raises(errors.ChatRateLimitError) as caught, translated():
        raise CascadeError("nobody", failures=[errors.RateLimitError("slow down", member="m", retry_after=3.0)])
    thawed = pickle.loads(pickle.dumps(caught.value))
    assert type(thawed) is errors.ChatRateLimitError
    assert thawed.failures[0].retry_after == 3.0
    assert str(thawed) == str(caught.value) == "nobody; m: slow down"


def test_other_errors_pass_as_they_are():
    with pytest.raises(MissingDependencyError), translated():
        raise MissingDependencyError("x", extra="y", purpose="z")
    with pytest.raises(KeyError), translated():
        raise KeyError("k")


def test_a_cap_that_ends_a_query_is_an_error_of_its_own():
    settings = {"budget": {"query": {"calls": 1}}, "breaker": False, "on_budget": "raise"}
    script = ScriptedTransport({"a": "1", "b": "2", "big": "3"})
    model = ChatSemCascade(ensemble=["a", "b"], target="big", transport=script, **settings)
    assert model.invoke("?").text == "3"
    period = {"period": {"seconds": 60, "calls": 1}}
    model = ChatSemCascade(ensemble=["a", "b"], target="big", transport=script, budget=period)
    model.invoke("?")
    with pytest.raises(errors.ChatBudgetError) as caught:
        model.invoke("?")
    assert isinstance(caught.value, core.ModelError)
    assert 0 < caught.value.retry_after <= 61
    with pytest.raises(ConfigError) as wrong:
        ChatSemCascade(ensemble=["a", "b"], target="big", budget={"query": {"call": 1}})
    assert wrong.value.field == "budget.query.call"
