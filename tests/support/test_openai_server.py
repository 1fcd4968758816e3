"""The loopback service must behave like the real thing, or tests on it prove nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest

from tests.support.openai_server import (
    EmptyChoices,
    Malformed,
    NoUsage,
    NullContent,
    OpenAIServer,
    Reply,
    Reset,
    Stall,
    Status,
    Truncated,
    closed_address,
)

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer({"fixed": "one two three", "bad": Reply("x", tool_calls=[("add", "{not json")])}) as running:
        yield running


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="key", max_retries=0, timeout=5) as client:
        yield client


def ask(client: openai.OpenAI, model: str = "fixed", text: str = "Hello", **more):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


def test_whole_and_streamed_answers_are_the_same(client, server):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert whole.choices[0].message.content == "one two three"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert whole.usage == chunks[-1].usage
    assert server.tokens() == (2 * whole.usage.prompt_tokens, 2 * 3)
    assert [request.key for request in server.asked("fixed")] == ["key", "key"]


def test_tool_calls_whole_and_streamed(client):
    whole = ask(client, "m", "use add on 3 and 4", tools=[ADD])
    call = whole.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 3, "b": 4})
    assert whole.choices[0].finish_reason == "tool_calls"
    pieces = [
        piece.function.arguments or ""
        for chunk in ask(client, "m", "use add on 3 and 4", tools=[ADD], stream=True)
        for piece in chunk.choices[0].delta.tool_calls or ()
    ]
    assert len(pieces) > 2
    assert "".join(pieces) == call.function.arguments


def test_stop_max_tokens_n_and_logprobs(client):
    assert ask(client, stop=[" two"]).choices[0].message.content == "one"
    cut = ask(client, max_tokens=2).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one two ", "length")
    several = ask(client, n=2, logprobs=True)
    assert [choice.index for choice in several.choices] == [0, 1]
    assert [token.token for token in several.choices[0].logprobs.content] == ["one ", "two ", "three"]


def test_schemas_are_filled(client):
    schema = {
        "type": "object",
        "properties": {"who": {"$ref": "#/$defs/P"}, "tags": {"type": "array", "items": {"enum": ["x", "y"]}}},
        "required": ["who", "tags"],
        "$defs": {"P": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    answer = ask(client, "m", "Someone is 41, y", response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"who": {"age": 41}, "tags": ["y"]}


@pytest.mark.parametrize(
    "body",
    [
        {"tool_choice": "required"},
        {"tools": [ADD], "tool_choice": "any"},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"messages": [{"role": "tool", "content": "3", "tool_call_id": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": {"type": "object"}}}},
    ],
)  # fmt: skip
def test_what_the_real_service_refuses(client, body):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**{"model": "m", "messages": HELLO, **body})


@pytest.mark.parametrize("code", [401, 403, 404, 408, 429, 500, 502, 503, 529])
def test_error_statuses(client, server, code):
    server.fail("fixed", Status(code, retry_after=7), at=2)
    assert ask(client).choices
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client)
    assert caught.value.status_code == code
    assert caught.value.response.headers["retry-after"] == "7"
    assert ask(client).choices


def test_broken_connections(client, server):
    for fault in (Reset(), Reset(after=1), Malformed(), Truncated()):
        server.fail("fixed", fault)
        with pytest.raises((openai.APIConnectionError, ValueError)):
            ask(client)
        server.heal()
    with (
        openai.OpenAI(base_url=closed_address(), api_key="k", max_retries=0) as nobody,
        pytest.raises(openai.APIConnectionError),
    ):
        ask(nobody)


def test_faults_in_streams(client, server):
    server.fail("fixed", Truncated(after=2))
    chunks = list(ask(client, stream=True))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None]
    server.heal()
    server.fail("fixed", Reset(after=2))
    seen = []
    with pytest.raises(Exception, match=r"(?i)peer closed|connection|incomplete"):
        seen.extend(ask(client, stream=True))
    assert len(seen) == 2


def test_replies_that_lack_something(client, server):
    for fault, lacks in (
        (EmptyChoices(), lambda reply: reply.choices == []),
        (NullContent(), lambda reply: reply.choices[0].message.content is None),
        (NoUsage(), lambda reply: reply.usage is None),
    ):
        server.fail("*", fault)
        assert lacks(ask(client))
        server.heal()


def test_a_stalled_request_goes_on_when_released(client, server):
    stall = Stall(after=2)
    server.fail("fixed", stall)
    stream = ask(client, stream=True)
    first = [next(stream), next(stream)]
    assert stall.reached.wait(5)
    stall.release()
    assert "".join(c.choices[0].delta.content or "" for c in [*first, *stream]) == "one two three"
    server.wait_until(lambda: server.asked()[0].finished)


def test_a_client_that_leaves_is_noticed(client, server):
    server.fail("fixed", Stall(after=2))
    stream = ask(client, stream=True)
    next(stream)
    stream.close()
    server.wait_until(lambda: server.asked()[0].disconnected)
    assert not server.asked()[0].finished


def test_keys(server):
    with OpenAIServer(api_key="right") as guarded:
        for key, fits in (("right", True), ("wrong", False)):
            with openai.OpenAI(base_url=guarded.base_url, api_key=key, max_retries=0) as client:
                if fits:
                    assert ask(client).choices
                else:
                    with pytest.raises(openai.AuthenticationError):
                        ask(client)


def test_embeddings_and_models(client, server):
    reply = client.embeddings.create(model="e", input=["a cat", "a cat", "two dogs"])
    same, again, other = (item.embedding for item in reply.data)
    assert same == again != other
    assert reply.usage.prompt_tokens == 6
    assert [model.id for model in client.models.list()] == ["fixed", "bad"]
