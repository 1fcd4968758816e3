"""Between LangChain's messages and the core's: OpenAI chat mappings in, candidates and deltas out."""

from __future__ import annotations

import mimetypes
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    InvalidToolCall,
    ToolCall,
    UsageMetadata,
    convert_to_openai_messages,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call
from langchain_core.outputs import ChatGenerationChunk

from semcascade.errors import InputError
from semcascade.messages import Candidate, Usage
from semcascade.transport.base import Delta

__all__ = ["PROVIDER", "delta_chunk", "last_chunk", "to_message", "to_openai"]

PROVIDER = "semcascade"
"""The provider that traces and messages name."""

_NOT_SENT = frozenset(
    {"reasoning", "thinking", "redacted_thinking", "tool_call", "tool_call_chunk", "invalid_tool_call", "non_standard"}
)
"""Blocks of an earlier answer that are no content: another model cannot read the first's signed thoughts, and tool
calls stand in fields of their own."""


def to_openai(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return a conversation in OpenAI's chat shape; the messages themselves stay as they are.

    Raises:
        InputError: If a message holds content that no provider takes in this form.

    >>> to_openai([AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}])])[0]["content"] is None
    True
    """
    converted: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        try:
            parts = convert_to_openai_messages([_prepared(message)], pass_through_unknown_blocks=False)
        except (ValueError, KeyError) as error:
            raise InputError(str(error) or repr(error), field=f"messages[{index}]") from error
        converted += [_finished(part, message) for part in parts]
    return converted


def _prepared(message: BaseMessage) -> BaseMessage:
    """Put a message's blocks into forms that the conversion knows."""
    content: Any = message.content
    if isinstance(content, str):
        return message
    blocks = [_block(block) for block in content if not (isinstance(block, Mapping) and block.get("type") in _NOT_SENT)]
    return message.model_copy(update={"content": blocks})


def _block(block: Any) -> Any:
    """Write what OpenAI has no part for (videos, files at an address) as a file part; LiteLLM takes them so."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "text-plain":
        return {"type": "text", "text": block.get("text", "")}
    if kind not in {"video", "file", "audio"}:
        return block
    if "url" in block:
        return {"type": "file", "file_id": block["url"]}
    if kind != "audio" and "base64" in block:
        mime = block.get("mime_type") or "application/octet-stream"
        name = block.get("filename") or f"{kind}{mimetypes.guess_extension(mime) or ''}"
        return {"mime_type": mime, "filename": name, **block, "type": "file"}
    return block


def _finished(part: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    if isinstance(part["content"], list):
        part["content"] = [_without_made_up_name(block) for block in part["content"]]
    if isinstance(message, AIMessage):
        # What the model wrote, valid or not: the results of these calls follow and refer to them.
        calls = [*part.get("tool_calls", ()), *(_raw(call) for call in message.invalid_tool_calls)]
        if calls:
            part["tool_calls"] = calls
            part["content"] = part["content"] or None
    return part


def _without_made_up_name(block: dict[str, Any]) -> dict[str, Any]:
    """Drop the name that the conversion gives to a file which the provider, or an address, already names."""
    file = block.get("file")
    if not isinstance(file, Mapping) or "file_id" not in file:
        return block
    return {**block, "file": {key: value for key, value in file.items() if key != "filename"}}


def _raw(call: InvalidToolCall) -> dict[str, Any]:
    function = {"name": call["name"] or "", "arguments": call["args"] or "{}"}
    return {"type": "function", "id": call["id"], "function": function}


def to_message(candidate: Candidate, metadata: Mapping[str, Any]) -> AIMessage:
    """Return an answer as a message.

    Args:
        candidate: The answer.
        metadata: What `response_metadata` says.
    """
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for call in candidate.tool_calls:
        raw = {**call.to_openai(), "id": call.id or _new_id()}
        try:
            parsed = parse_tool_call(raw)
        except OutputParserException as error:
            broken.append(make_invalid_tool_call(raw, str(error)))
            continue
        if parsed is not None and isinstance(parsed["args"], dict):
            calls.append(ToolCall(**parsed))  # type: ignore[typeddict-item]
        else:
            broken.append(make_invalid_tool_call(raw, "the arguments are not a JSON object"))
    return AIMessage(
        content=candidate.text,
        additional_kwargs=_reasoning(candidate.reasoning),
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=_usage(candidate.usage),
        response_metadata=dict(metadata),
    )


def delta_chunk(delta: Delta) -> ChatGenerationChunk | None:
    """Return a piece of a stream as a chunk, or None where it holds nothing to show."""
    if not (delta.text or delta.reasoning or delta.tool_calls):
        return None
    pieces = [
        tool_call_chunk(
            name=piece.name or None,
            args=piece.arguments,
            id=piece.id or (_new_id() if piece.name else None),
            index=piece.index,
        )
        for piece in delta.tool_calls
    ]
    message = AIMessageChunk(content=delta.text, additional_kwargs=_reasoning(delta.reasoning), tool_call_chunks=pieces)
    return ChatGenerationChunk(message=message)


def last_chunk(candidate: Candidate, metadata: Mapping[str, Any]) -> ChatGenerationChunk:
    """Return the chunk that ends a stream: no content, but usage and metadata, once."""
    message = AIMessageChunk(
        content="",
        usage_metadata=_usage(candidate.usage),
        response_metadata=dict(metadata),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def _new_id() -> str:
    """Return an id for a call whose provider gave none; the tool's result must name one."""
    return f"call_{uuid.uuid4().hex}"


def _reasoning(text: str) -> dict[str, Any]:
    """Return the field from which `content_blocks` makes a reasoning block."""
    return {"reasoning_content": text} if text else {}


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )
    if usage.cached_tokens:
        metadata["input_token_details"] = {"cache_read": usage.cached_tokens}
    if usage.reasoning_tokens:
        metadata["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return metadata
