"""The lean transport for what is its own: bytes, connections, addresses, keys. What it shares with LiteLLM is tested
against LiteLLM in `test_openai_differential`."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semcascade import Cascade
from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.errors import (
    BadRequestError,
    ConnectionFailedError,
    MalformedReplyError,
    MemberError,
    MemberTimeoutError,
    RateLimitError,
    ServerError,
)
from semcascade.messages import Request, ToolCall, Usage
from semcascade.transport import openai_http
from tests.support.openai_server import (
    EmptyChoices,
    Huge,
    OpenAIServer,
    Reply,
    Stall,
    Verbatim,
)
from tests.transport.lean import REQUEST, member, streamed, whole

BOTH = pytest.mark.parametrize("ask", [whole, streamed])


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "a", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}


def sse(*chunks: dict[str, Any], end: str = "data: [DONE]\n\n") -> bytes:
    events = "".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in chunks)
    return (events + end).encode()


# --- streams, byte by byte


STREAM = (
    b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\n"
    b"event: chunk\r\nid: 1\r\ndata: "
    + json.dumps(chunk({"role": "assistant", "content": ""})).encode()
    + b"\r\n\r\n: ping\n\n"
    + sse(chunk({"content": "東京, "}), chunk({"content": "日本 🎌"}), end="")
    + b'data: {"model": "a", "choices":\ndata: [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    + b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n\ndata: [DONE]\n\n'
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_reads_the_same_however_it_is_cut(server, transport, cuts: list[int]):
    server.heal()
    places = itertools.pairwise([0, *sorted(cuts), len(STREAM)])
    parts = [STREAM[start:end] for start, end in places if end > start]
    server.fail("a", Verbatim(parts))
    answer = streamed(transport, member(server))
    assert (answer.text, answer.finish_reason, answer.usage) == ("東京, 日本 🎌", "stop", Usage(3, 4))


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (sse(chunk({"content": "To"})), ConnectionFailedError, "ended before the answer did"),
        (sse(chunk({"content": "To"}), end=""), ConnectionFailedError, "ended before the answer did"),
        (sse(chunk({"content": "To"}), end="")[:-9], MalformedReplyError, "no JSON"),
        (b"data: {]\n\n", MalformedReplyError, "no JSON"),
        (b"data: 7\n\n", MalformedReplyError, "is a int"),
        (b"data: \xff\xfe\n\n", MalformedReplyError, "no JSON"),
        (b"<html>busy</html>", MalformedReplyError, "no events"),
        (b"", MalformedReplyError, "no events"),
        (b"data: " + b"[" * 100_000 + b"\n\n", MalformedReplyError, "no JSON"),
        (b'event: error\ndata: {"message": "overloaded"}\n\n', ServerError, "overloaded"),
        (b'data: {"error": {"message": "slow down", "code": 429}}\n\n', RateLimitError, "slow down"),
        (b'data: {"error": "down"}\n\n', ServerError, "down"),
        (sse(chunk({}, finish_reason="error")), ServerError, "broke the answer off"),
        (sse({"choices": [{"index": 0, "delta": {"tool_calls": [7]}}]}), MalformedReplyError, "shape"),
    ],
)
def test_what_is_no_whole_stream_is_told(server, transport, body: bytes, error: type[MemberError], said: str):
    server.fail("a", Verbatim([body]))
    with pytest.raises(error, match=said) as caught:
        streamed(transport, member(server))
    assert type(caught.value) is error


@pytest.mark.parametrize("end", ["", "data: [DONE]", "data: [DONE]\n\ndata: [DONE]\n\n"])
def test_how_a_finished_stream_ends_does_not_matter(server, transport, end: str):
    server.fail("a", Verbatim([sse(chunk({"content": "Tokyo"}), chunk({}, finish_reason="stop"), end=end)]))
    assert streamed(transport, member(server)).text == "Tokyo"


def test_a_service_that_does_not_stream_is_understood(server, transport):
    reply = {"choices": [{"index": 0, "message": {"content": "Tokyo", "tool_calls": [
        {"id": "c", "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4}}  # fmt: skip
    server.fail("a", Verbatim([json.dumps(reply).encode()], "application/json"))
    answer = streamed(transport, member(server))
    assert (answer.text, answer.tool_calls, answer.usage) == ("Tokyo", (ToolCall("f", "{}", "c"),), Usage(3, 4))


def test_chunks_may_say_nothing_and_arguments_may_be_an_object(server, transport):
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    server.fail("a", Verbatim([sse(None, chunk({"tool_calls": [call]}), None, chunk({}, finish_reason="tool_calls"))]))
    assert streamed(transport, member(server)).tool_calls == (ToolCall("f", '{"a": 1}', "c"),)


def piece(index: int | None, ident: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    call = {"index": index, "id": ident, "function": {"name": name, "arguments": arguments}}
    return chunk({"tool_calls": [{key: value for key, value in call.items() if value is not None}]})


@pytest.mark.parametrize(
    "pieces",
    [
        [(0, "c", "f", ""), (0, None, None, "{}"), (1, "d", "g", ""), (1, None, None, "{}")],
        [(0, "c", "f", "{}"), (0, "d", "g", "{}")],
        [(None, "c", "f", "{}"), (None, "d", "g", "{}")],
        [(0, "c", "f", "{"), (1, "d", "g", "{"), (0, "c", "f", "}"), (1, "d", "g", "}")],
        [(0, "c", "f", ""), (0, "c", "f", ""), (0, "", None, "{}"), (3, "d", "g", "{}")],
    ],
)
def test_calls_are_told_apart_however_services_number_them(server, transport, pieces: Sequence[Any]):
    chunks = [piece(*one) for one in pieces]
    server.fail("a", Verbatim([sse(*chunks, chunk({}, finish_reason="stop"))]))
    answer = streamed(transport, member(server))
    assert answer.tool_calls == (ToolCall("f", "{}", "c"), ToolCall("g", "{}", "d"))
    assert answer.finish_reason == "tool_calls"


# --- replies


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"<!doctype html><title>Sign in</title>", "text/html", "Sign in"),
        (b'{"id": "x", "choices": [{"mess', "application/json", "no JSON"),
        (b"[" * 100_000, "application/json", "no JSON"),
        (b"", "application/json", "no JSON"),
        (b"null", "application/json", "no choices"),
        (b"[]", "application/json", "no choices"),
        (b'{"choices": "many"}', "application/json", "shape"),
        (b'{"choices": [{"message": {"tool_calls": [{}]}}]}', "application/json", "shape"),
        (b'{"choices": [{"message": null}]}', "application/json", "no choices"),
    ],
)
def test_what_is_no_reply_is_told(server, transport, body: bytes, kind: str, said: str):
    server.fail("a", Verbatim([body], kind))
    with pytest.raises(MalformedReplyError, match=said):
        whole(transport, member(server))


def test_a_reply_is_read_whatever_its_type_says(server, transport):
    body = b'{"choices": [{"message": {"content": "Tokyo"}}]}'
    server.fail("a", Verbatim([body], "text/plain"))
    assert whole(transport, member(server)).text == "Tokyo"


@pytest.mark.parametrize(
    ("usage", "tokens", "cost"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "cost": 0.25}, Usage(5, 7), 0.25),
        ({"prompt_tokens": 5, "completion_tokens": 7, "cost": 0}, Usage(5, 7), 0.0),
        ({"prompt_tokens": 5, "completion_tokens": 7, "prompt_cache_hit_tokens": 4}, Usage(5, 7, 4), 19e-6),
        ({"prompt_tokens": 5, "completion_tokens": 7, "cached_tokens": 3}, Usage(5, 7, 3), 19e-6),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 22,
             "completion_tokens_details": {"reasoning_tokens": 10}},
            Usage(5, 17, 0, 10), 39e-6,
        ),
        ({"prompt_tokens": 5}, Usage(5), 5e-6),
        ({"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": "x", "completion_tokens_details": [1]},
         Usage(5, 7), 19e-6),
        ({"prompt_tokens": 5, "completion_tokens": 7, "cached_tokens": -9, "cost": 1e300}, Usage(5, 7), 19e-6),
        ({"prompt_tokens": -5, "completion_tokens": 7}, None, None),
        ({"prompt_tokens": 5, "completion_tokens": -7}, None, None),
        ({"prompt_tokens": 5, "completion_tokens": "many"}, None, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 7}, None, None),
        ({}, None, None),
        (None, None, None),
    ],
)  # fmt: skip
@BOTH
def test_tokens_are_counted_as_services_report_them(server, transport, ask, usage, tokens, cost):
    server.script["b"] = Reply("x", usage=usage or {})
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    answer = ask(transport, Member.model_validate({**server.member("b"), **prices}))
    assert answer.usage == tokens
    assert answer.cost == pytest.approx(cost)


@pytest.mark.parametrize("said", ["x", None, 1e308, -math.inf, math.nan], ids=str)
def test_what_is_no_log_probability_is_none(server, transport, said):
    tokens = [{"token": "4", "logprob": -0.5}, {"token": "2", "logprob": said}, "x"]
    reply = {"choices": [{"message": {"content": "42"}, "logprobs": {"content": tokens}}]}
    server.fail("a", Verbatim([json.dumps(reply).encode()], "application/json"))
    answer = whole(transport, member(server))
    assert (answer.text, answer.logprobs) == ("42", (-0.5,))


def test_visible_reasoning_is_kept_apart(server, transport):
    for message in ({"content": "42", "reasoning": "6·7"}, {"content": "<think>6·7</think>42"}):
        server.heal()
        server.fail("a", Verbatim([json.dumps({"choices": [{"message": message}]}).encode()], "application/json"))
        answer = whole(transport, member(server))
        assert (answer.text, answer.reasoning) == ("42", "6·7")


# --- limits


@BOTH
def test_huge_replies_are_refused(server, transport, ask, monkeypatch):
    monkeypatch.setattr(openai_http, "LARGEST_REPLY", 2**20)
    server.fail("a", Huge(2**21))
    with pytest.raises(MalformedReplyError, match="longer than 1 MiB"):
        ask(transport, member(server))


@BOTH
def test_time_is_bounded(server, transport, ask):
    stall = Stall()
    server.fail("a", stall)
    with pytest.raises(MemberTimeoutError, match=r"0\.2 s"):
        ask(transport, member(server), timeout=0.2)
    server.wait_until(lambda: server.asked("a")[0].disconnected)


def test_what_is_no_json_is_not_sent(server, transport):
    request = Request(REQUEST.messages, params={"temperature": float("nan")})
    with pytest.raises(BadRequestError, match="JSON"):
        whole(transport, member(server), request)
    with pytest.raises(BadRequestError, match="JSON"):
        whole(transport, member(server), Request(REQUEST.messages, params={"stop": object()}))
    assert server.asked() == []


# --- in a cascade


def lean_cascade(server: OpenAIServer, **settings: Any) -> Cascade:
    names = ("a", "b", "c", "t")
    ensemble = [{**server.member(name), "name": name, "transport": "openai"} for name in names]
    return Cascade(ensemble=ensemble[:3], target=ensemble[3], max_retries=0, **settings)


def test_a_cascade_of_lean_members_answers_and_defers(server):
    server.script |= {"a": "Tokyo", "b": "Tokyo.", "c": "tokyo", "t": "It is Tokyo, in Japan"}
    with lean_cascade(server) as cascade:
        assert cascade.complete("Where?").text == "Tokyo"
        server.script |= {"b": "Kyoto", "c": "Osaka"}
        items = list(cascade.stream("Where?"))
        assert "".join(item.text for item in items[:-1]) == items[-1].text == "It is Tokyo, in Japan"
        assert len(items) > 3
        assert cascade.ledger.summary().calls == len(server.asked()) == 7
        assert pickle.loads(pickle.dumps(cascade)).complete("Where?").text == "It is Tokyo, in Japan"
    server.script["a"] = "Tokyo it is"


def test_samples_come_by_one_request(server):
    server.script["a"] = Reply("Tokyo", others=["Tokyo", "Tokyo"])
    one = {**server.member("a"), "samples": 3, "transport": "openai"}
    with Cascade(ensemble=[one], target={**server.member("t"), "transport": "openai"}) as cascade:
        decision = cascade.complete("Where?").decision
    assert decision.accepted
    assert [request.body.get("n") for request in server.asked()] == [3]
    server.script["a"] = "Tokyo it is"


def test_an_empty_reply_to_several_is_an_error(server, transport):
    server.fail("a", EmptyChoices())
    with pytest.raises(MalformedReplyError):
        EngineLoop.shared().run(transport.complete_many(member(server), REQUEST, timeout=5, n=3))


LEAN_ONLY = """
import json, sys, warnings
from semcascade import Cascade
members = [{"model": f"openai/{name}", "api_base": sys.argv[1], "transport": "openai"} for name in "abct"]
cascade = Cascade(ensemble=members[:3], target=members[3])
text = cascade.complete("Where?").text
streamed = [item.text for item in cascade.stream("Where?")]
print(json.dumps([text, streamed[-1], [name for name in ("litellm", "openai", "httpx") if name in sys.modules]]))
"""


def test_no_litellm_is_imported_where_all_members_are_lean_and_the_end_is_quiet(server):
    server.script |= {"a": "Tokyo", "b": "Tokyo.", "c": "Kyoto", "t": "It is Tokyo"}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", LEAN_ONLY, server.base_url],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # a slow machine
    assert (done.returncode, complaints) == (0, [])
    assert json.loads(done.stdout) == ["It is Tokyo", "It is Tokyo", []]
    server.script["a"] = "Tokyo it is"
