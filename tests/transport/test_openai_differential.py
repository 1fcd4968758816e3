"""The lean transport against its reference: LiteLLM, asked the same by the same service, says the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.errors import MemberError
from semcascade.messages import Candidate, Request, Usage
from semcascade.model_table import price_of
from semcascade.transport.base import Transport, assemble
from semcascade.transport.litellm import LiteLLMTransport
from semcascade.transport.openai import OpenAITransport
from tests.support import openai_server as faults
from tests.support.openai_server import OpenAIServer, Reply, Status, brain

HI = ({"role": "user", "content": "What is the capital of Japan?"},)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
WAYS = ("whole", "streamed", "many")


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": "…", "parameters": schema}}


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(scope="module")
def transports() -> Iterator[tuple[Transport, Transport]]:
    lean = OpenAITransport()
    yield LiteLLMTransport(), lean
    EngineLoop.shared().run(lean.aclose())


async def asked(transport: Transport, member: Member, request: Request, way: str, timeout: float) -> list[Candidate]:
    if way == "whole":
        return [await transport.complete(member, request, timeout=timeout)]
    if way == "many":
        return await transport.complete_many(member, request, timeout=timeout, n=3)
    return [assemble(member, [delta async for delta in transport.stream(member, request, timeout=timeout)])]


def outcome(server: OpenAIServer, ask: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return what came back, as far as the two may not differ, and what the service was sent."""
    server.requests.clear()
    try:
        said: Any = [dataclasses.replace(answer, latency_s=0.0) for answer in EngineLoop.shared().run(ask)]
        for answer in said:
            for call in answer.tool_calls:
                assert call.id
        calls = [[dataclasses.replace(call, id="") for call in answer.tool_calls] for answer in said]
        said = [dataclasses.replace(answer, tool_calls=tuple(made)) for answer, made in zip(said, calls, strict=True)]
    except MemberError as error:
        said = (type(error), error.status, error.retry_after, error.member)
    return said, [_without_nulls(request.body) for request in server.asked()]


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what messages have none of: whether `content: null` is sent or not is all the same."""
    messages = [{key: value for key, value in one.items() if value is not None} for one in body["messages"]]
    return {**body, "messages": messages}


def same(
    server: OpenAIServer,
    transports: tuple[Transport, Transport],
    request: Request,
    way: str,
    timeout: float = 10.0,
    **member: Any,
) -> Any:
    asking = Member.model_validate(server.member("a", **member))
    reference, lean = (outcome(server, asked(one, asking, request, way, timeout)) for one in transports)
    assert lean == reference
    assert len(lean[1]) == 1
    return lean[0]


REQUESTS = {
    "plain": Request(HI),
    "system": Request(({"role": "system", "content": "Be brief."}, *HI)),
    "parameters": Request(HI, params={"temperature": 0.3, "max_tokens": 3, "stop": ["."], "seed": 5, "top_p": 0.9}),
    "image": Request(({"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]},)),
    "history": Request(
        (
            *HI,
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ),
        tools=(tool("get_weather"),),
    ),
    "tool": Request(HI, tools=(tool("get_weather"),), tool_choice="required"),
    "named tool": Request(
        HI, tools=(tool("get_weather"), tool("b")), tool_choice={"type": "function", "function": {"name": "b"}}
    ),
    "parallel tools": Request(
        ({"role": "user", "content": "get_weather and get_time in 'Rome'"},),
        tools=(tool("get_weather"), tool("get_time")),
        params={"parallel_tool_calls": True},
    ),
    "json": Request(({"role": "user", "content": "JSON with 'city'"},), response_format={"type": "json_object"}),
    "schema": Request(HI, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": tool("x")["function"]["parameters"]}}),
    "logprobs": Request(HI, params={"logprobs": True, "top_logprobs": 2}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_sent_and_answered_alike(server, transports, name: str, way: str):
    server.script["a"] = brain
    (first, *_) = same(server, transports, REQUESTS[name], way)
    assert first.text or first.tool_calls
    assert first.usage.output_tokens


REPLIES = {
    "unicode": Reply("Tōkyō 東京 🎌 é\u200d\u2028 and\nlines\r\n\ttoo"),
    "nothing": Reply(""),
    "no content": Reply(None),
    "reasoning": Reply("42", reasoning="six times seven"),
    "cut off": Reply("Tokyo is", finish_reason="length"),
    "filtered": Reply("", finish_reason="content_filter"),
    "other words": Reply("Tokyo", finish_reason="eos"),
    "refusal": Reply("I'm sorry, but I can't help with that."),
    "bad arguments": Reply(None, tool_calls=[("f", "{not json"), ("g", "")]),
    "text and calls": Reply("Let me look.", tool_calls=[("f", {"x": "é"}), ("f", {"x": 2})]),
    "stop with calls": Reply(None, tool_calls=[("f", {})], finish_reason="stop"),
    "logprobs": Reply("a b", logprobs=[-0.25, -1.5]),
    "others": Reply("Tokyo", others=["Kyoto", "東京"]),
    "cached and reasoned": Reply("x", usage={
        "prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160,
        "prompt_tokens_details": {"cached_tokens": 80}, "completion_tokens_details": {"reasoning_tokens": 50}}),
    "null details": Reply("x", usage={
        "prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15,
        "prompt_tokens_details": None, "completion_tokens_details": None}),
    "reported cost": Reply("x", usage={"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15, "cost": 0.0123}),
    "no tokens": Reply("x", usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
}  # fmt: skip
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REPLIES)
def test_replies_are_read_alike(server, transports, name: str, way: str):
    server.script["a"] = REPLIES[name]
    params = {"logprobs": True} if name == "logprobs" else {}
    same(server, transports, Request(HI, params=params), way, **PRICES)


FAULTS = [
    *(Status(code) for code in (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)),
    Status(429, retry_after=7),
    Status(503, retry_after=0.5),
    Status(400, message="maximum context length is 10 tokens", kind="context_length_exceeded"),
    Status(400, message="This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
    Status(400, message="content management policy", kind="content_filter"),
    Status(400, message="Invalid schema for response_format"),
    faults.Reset(),
    faults.Reset(after=3),
    faults.Malformed(),
    faults.Malformed("<html>"),
    faults.Malformed('{"error": {"message": "Slow down", "code": 429}}'),
    faults.Malformed('{"error": {"message": "Bad gateway", "code": 502}}'),
    faults.Truncated(),
    faults.EmptyChoices(),
    faults.NullContent(),
    faults.NoUsage(),
    faults.Duplicates(),
    faults.Huge(100_000),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_faults_are_told_alike(server, transports, fault: faults.Fault, way: str):
    server.script["a"] = Reply("Tokyo it is, I think", tool_calls=[("f", {"x": 1}), ("g", {})])
    server.fail("a", fault)
    try:
        same(server, transports, Request(HI, tools=(tool("f"), tool("g"))), way)
    finally:
        server.heal()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [0, 2])
def test_stalls_are_told_alike(server, transports, after: int, way: str):
    server.fail("a", faults.Stall(after))
    try:
        kind, status, *_ = same(server, transports, Request(HI), way, timeout=0.3)
    finally:
        server.heal()
    assert (kind.__name__, status) == ("MemberTimeoutError", None)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
REPLY = st.builds(
    Reply,
    text=st.one_of(st.none(), TEXT),
    tool_calls=st.lists(
        st.tuples(st.sampled_from(["f", "get_x"]), st.dictionaries(TEXT, st.one_of(TEXT, st.integers()), max_size=2)),
        max_size=3,
    ),
    reasoning=TEXT,
    finish_reason=st.sampled_from([None, "stop", "length", "tool_calls", "content_filter"]),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reply=REPLY, way=st.sampled_from(WAYS), asked=TEXT.filter(str.strip), temperature=st.floats(0, 2))
def test_whatever_is_said_is_read_alike(server, transports, reply: Reply, way: str, asked: str, temperature: float):
    server.script["a"] = reply
    request = Request(({"role": "user", "content": asked},), params={"temperature": temperature})
    same(server, transports, request, way)


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-4o-mini", "openai/gpt-5", "openai/o3-mini", "groq/openai/gpt-oss-120b", "mistral/mistral-large-latest",
     "gemini/gemini-2.5-pro", "deepinfra/openai/gpt-oss-120b", "cerebras/gpt-oss-120b", "openai/no-such-model"],
)  # fmt: skip
@pytest.mark.parametrize("asked", [1000, 250_000, 300_000])
@pytest.mark.parametrize("cached", [0, 512])
def test_prices_are_the_same(transports, model: str, asked: int, cached: int):
    reference, lean = (one.price(Member(model=model), Usage(asked, 100, cached)) for one in transports)
    assert lean == pytest.approx(reference)
    assert (price_of(model, Usage(asked, 100)) is None) == model.endswith("no-such-model")


def test_what_is_sent_is_one_json_object(server, transports):
    """Nothing of LiteLLM's own settings, and nothing secret, is part of a request."""
    settings = {
        "extra_headers": {"X-Team": "blue"},
        "extra_body": {"top_k": 5},
        "drop_params": True,
        "organization": "o",
    }
    asking = Member.model_validate(server.member("a", **settings))
    server.script["a"] = "Tokyo"
    for one in transports:
        _, (body,) = outcome(server, asked(one, asking, Request(HI), "whole", 10.0))
        assert body == {"model": "a", "messages": [*HI], "top_k": 5}, json.dumps(body)
        sent = {name.lower(): value for name, value in server.asked()[0].headers.items()}
        assert (sent["x-team"], sent["openai-organization"], sent["authorization"]) == ("blue", "o", "Bearer none")
