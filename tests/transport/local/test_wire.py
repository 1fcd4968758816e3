"""What goes over the wire to a local model, and what comes back."""

import json

import pytest

from semcascade.config import Member
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    MalformedReplyError,
    ServerError,
)
from semcascade.messages import Request, Usage, as_conversation
from semcascade.transport.base import Delta
from semcascade.transport.local import wire

MEMBER = Member(model="local/smollm2", temperature=0, stop=["\n"], seed=7, drop_params=True)
ASKED = Request(as_conversation("Hi"))
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def test_the_members_parameters():
    assert wire.body(MEMBER, ASKED) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
        "stop": ["\n"],
        "seed": 7,
    }


def test_the_requests_parameters_win():
    request = Request(ASKED.messages, params={"temperature": 1, "stop": None, "max_completion_tokens": 5})
    body = wire.body(MEMBER, request)
    assert (body["temperature"], body["stop"], body["max_tokens"]) == (1, ["\n"], 5)
    assert "max_completion_tokens" not in body


def test_a_model_has_its_own_end_unless_somebody_gives_another():
    assert wire.body(MEMBER, ASKED, stop=("\nQ",))["stop"] == ["\n"]
    assert wire.body(Member(model="local/x"), ASKED, stop=("\nQ",))["stop"] == ["\nQ"]


def test_structured_output_is_not_cut_at_a_line_end():
    body = wire.body(MEMBER, Request(ASKED.messages, response_format=SCHEMA), stop=("\nQ",))
    assert body["response_format"] == SCHEMA
    assert "stop" not in body
    body = wire.body(MEMBER, Request(ASKED.messages, response_format=SCHEMA, params={"stop": ["X"]}))
    assert body["stop"] == ["X"]


def test_each_sample_has_its_own_seed():
    seeds = [wire.body(MEMBER, ASKED, sample=sample)["seed"] for sample in range(3)]
    assert seeds == [7, 8, 9]
    assert "seed" not in wire.body(Member(model="local/x"), ASKED, sample=1)


def test_tools_are_refused():
    with pytest.raises(BadRequestError, match="no tool calls"):
        wire.body(MEMBER, Request(ASKED.messages, tools=(TOOL,)))
    assert "tools" not in wire.body(MEMBER, Request(ASKED.messages, tools=(TOOL,), tool_choice="none"))


def test_pictures_are_refused():
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    with pytest.raises(BadRequestError, match="image_url"):
        wire.body(MEMBER, Request(({"role": "user", "content": content},)))
    wire.body(MEMBER, Request(({"role": "user", "content": content[:1]},)))


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(BadRequestError, match="cannot be sent"):
        wire.encoded(MEMBER, {"seed": object()})


def test_an_answer():
    reply = {
        "model": "smollm2",
        "choices": [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": " Tokyo"},
                "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -0.25}]},
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 29}},
    }
    answer = wire.candidate(MEMBER, json.dumps(reply))
    assert (answer.member, answer.model, answer.text) == ("local/smollm2", "smollm2", "Tokyo")
    assert answer.usage == Usage(30, 2, 29)
    assert answer.logprobs == (-0.5, -0.25)
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"choices": []}', '{"choices": [{"message": null}]}'])
def test_what_is_no_answer(text):
    with pytest.raises(MalformedReplyError, match="local/smollm2"):
        wire.candidate(MEMBER, text)


def test_a_piece():
    line = 'data: {"model": "m", "choices": [{"finish_reason": null, "delta": {"content": "To"}}]}\n'
    assert wire.delta(MEMBER, line) == Delta(text="To", model="m")
    line = 'data: {"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n'
    assert wire.delta(MEMBER, line) == Delta(usage=Usage(3, 1), model="m")


@pytest.mark.parametrize("line", ["\n", ":\n", ": ping\n", "data: [DONE]\n", "event: x\n"])
def test_lines_without_a_piece(line):
    assert wire.delta(MEMBER, line) is None


@pytest.mark.parametrize("line", ["data: {\n", "data: 7\n", 'data: {"choices": 1}\n', "data: []\n"])
def test_garbled_pieces(line):
    with pytest.raises(MalformedReplyError):
        wire.delta(MEMBER, line)


@pytest.mark.parametrize("kind", ["data", "error"])
def test_an_error_in_the_stream(kind):
    error = '{"error": {"code": 500, "message": "out of memory", "type": "server_error"}}'
    with pytest.raises(ServerError, match="out of memory"):
        wire.delta(MEMBER, f"{kind}: {error}\n")


@pytest.mark.parametrize(
    "status,text,kind",
    [
        (400, '{"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}}', ContextOverflowError),
        (400, '{"error": {"code": 400, "message": "bad field", "type": "invalid_request_error"}}', BadRequestError),
        (401, '{"error": {"code": 401, "message": "Invalid API Key"}}', AuthenticationError),
        (503, '{"error": {"code": 503, "message": "Loading model"}}', ServerError),
        (500, "not json", ServerError),
        (500, "", ServerError),
        (500, "[1]", ServerError),
        (422, '{"error": "text"}', BadRequestError),
    ],
)
def test_refusals(status, text, kind):
    error = wire.refusal(MEMBER, status, text)
    assert type(error) is kind
    assert str(error).startswith("local/smollm2: ")
