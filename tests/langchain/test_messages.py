"""Conversion must lose nothing that a provider can take, and pass on nothing that it cannot."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_semcascade.errors import ChatInputError
from langchain_semcascade.messages import delta_chunk, last_chunk, to_message, to_openai
from semcascade import Candidate, Delta, InputError, ToolCall
from semcascade.transport.base import ToolCallDelta
from semcascade.transport.scripted import _pieces

CALL = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}


def test_a_conversation_with_tools():
    talk = [
        SystemMessage("Be brief."),
        HumanMessage("1 + 2?", name="ann"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("3", tool_call_id="c1"),
        AIMessage("3"),
    ]
    assert to_openai(talk) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": "1 + 2?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "assistant", "content": "3"},
    ]


def test_calls_with_broken_arguments_are_sent_back_as_they_were():
    broken = {"name": "add", "args": "{a: 1", "id": "c2", "error": "no JSON", "type": "invalid_tool_call"}
    (sent,) = to_openai([AIMessage("Hm.", tool_calls=[CALL], invalid_tool_calls=[broken])])
    assert [call["function"]["arguments"] for call in sent["tool_calls"]] == ['{"a": 1}', "{a: 1"]
    assert sent["content"] == "Hm."


def test_thoughts_and_calls_in_an_earlier_answers_content_are_not_content():
    content = [
        {"type": "thinking", "thinking": "secret", "signature": "s"},
        {"type": "reasoning", "reasoning": "secret"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_call", "name": "add", "args": {"a": 1}, "id": "c1"},
    ]
    message = AIMessage(content, tool_calls=[CALL])
    (sent,) = to_openai([message])
    assert sent["content"] == "Hello"
    assert len(sent["tool_calls"]) == 1
    assert message.content == content, "the caller's message is left alone"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "x"}, {"type": "text", "text": "x"}),
        ({"type": "text-plain", "text": "x", "mime_type": "text/plain"}, {"type": "text", "text": "x"}),
        ({"type": "image", "url": "https://x/y.png"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
        (
            {"type": "image", "base64": "QQ==", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        ),
        (
            {"type": "audio", "base64": "QQ==", "mime_type": "audio/wav"},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
        ),
        (
            {"type": "file", "base64": "QQ==", "mime_type": "application/pdf"},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "file.pdf"}},
        ),
        (
            {"type": "video", "base64": "QQ==", "mime_type": "video/mp4"},
            {"type": "file", "file": {"file_data": "data:video/mp4;base64,QQ==", "filename": "video.mp4"}},
        ),
        ({"type": "file", "url": "https://x/y.pdf"}, {"type": "file", "file": {"file_id": "https://x/y.pdf"}}),
        ({"type": "video", "url": "https://x/y.mp4"}, {"type": "file", "file": {"file_id": "https://x/y.mp4"}}),
        ({"type": "file", "file_id": "file-1"}, {"type": "file", "file": {"file_id": "file-1"}}),
    ],
)
@pytest.mark.filterwarnings("error::UserWarning")
def test_each_kind_of_content(block, part):
    (sent,) = to_openai([HumanMessage([{"type": "text", "text": "Look:"}, block])])
    content = sent["content"] if isinstance(sent["content"], list) else [{"type": "text", "text": sent["content"]}]
    assert content == [{"type": "text", "text": "Look:"}, part] or sent["content"] == "Look:\nx"


def test_content_of_an_unknown_kind_is_refused_by_its_place(scripted):
    talk = [HumanMessage("hi"), HumanMessage([{"type": "smell", "smell": "rose"}])]
    with pytest.raises(InputError, match="smell") as caught:
        to_openai(talk)
    assert caught.value.field == "messages[1]"
    model = scripted()
    with pytest.raises(ChatInputError):
        model.invoke(talk)
    assert model.transport.requests == [], "nothing was spent"


def test_unknown_roles_are_refused(scripted):
    with pytest.raises(ChatInputError, match="role"):
        scripted().invoke([ChatMessage("hi", role="oracle")])


def test_broken_and_missing_arguments():
    calls = (
        ToolCall("add", '{"a": 1}', "c1"),
        ToolCall("add", "{a: 1", "c2"),
        ToolCall("add", "[1]", "c3"),
        ToolCall("go", "", ""),
    )
    message = to_message(Candidate("m", tool_calls=calls), {})
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("add", {"a": 1}), ("go", {})]
    assert [(call["id"], call["args"]) for call in message.invalid_tool_calls] == [("c2", "{a: 1"), ("c3", "[1]")]
    assert message.tool_calls[1]["id"], "the tool's result needs an id to refer to"


words = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@given(
    text=st.text(),
    calls=st.lists(
        st.tuples(st.text(min_size=1, max_size=12), st.dictionaries(words, json_values, max_size=3)), max_size=3
    ),
    cut=st.integers(1, 7),
)
def test_a_stream_adds_up_to_the_whole(text, calls, cut):
    candidate = Candidate(
        "m",
        text=text,
        finish_reason="stop",
        tool_calls=tuple(ToolCall(name, json.dumps(args), f"c{i}") for i, (name, args) in enumerate(calls)),
    )
    chunks = [delta_chunk(Delta(text=piece)) for piece in _pieces(text)]
    for index, call in enumerate(candidate.tool_calls):
        pieces = [call.arguments[at : at + cut] for at in range(0, len(call.arguments), cut)]
        chunks.append(delta_chunk(Delta(tool_calls=(ToolCallDelta(index, call.id, call.name),))))
        chunks += [delta_chunk(Delta(tool_calls=(ToolCallDelta(index, arguments=piece),))) for piece in pieces]
    chunks.append(last_chunk(candidate, {"finish_reason": "stop"}))
    messages = [chunk.message for chunk in chunks]
    streamed, whole = messages[0] + messages[1:], to_message(candidate, {"finish_reason": "stop"})
    assert streamed.content == whole.content
    assert streamed.tool_calls == whole.tool_calls
    assert streamed.response_metadata == whole.response_metadata


def test_an_empty_piece_is_no_chunk():
    assert delta_chunk(Delta(finish_reason="stop")) is None
