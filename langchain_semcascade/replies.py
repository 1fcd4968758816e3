"""What a LangChain chat model answers, as the core's candidates and deltas."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

from semcascade.messages import Candidate, ToolCall, Usage
from semcascade.transport.base import Delta, ToolCallDelta, told_of

__all__ = ["cost_told", "deltas", "to_candidate"]

_FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "complete": "stop",
    "max_tokens": "length", "model_length": "length",
    "tool_use": "tool_calls", "function_call": "tool_calls",
    "safety": "content_filter", "refusal": "content_filter",
}  # fmt: skip
"""Providers' own words for OpenAI's; others are passed on in small letters."""


def to_candidate(name: str, message: AIMessage) -> Candidate:
    """Return a message as the answer of the member of this name; its cost is reckoned elsewhere."""
    metadata = message.response_metadata
    return Candidate(
        member=name,
        text=str(message.text),
        tool_calls=_tool_calls(message),
        reasoning=_reasoning(message),
        finish_reason=_finish_reason(metadata),
        usage=_usage(message),
        model=metadata.get("model_name") or metadata.get("model"),
        **told_of(_tokens(metadata)),
    )


async def deltas(chunks: AsyncIterator[AIMessage]) -> AsyncGenerator[Delta | AIMessage, None]:
    """Yield the pieces of an answer as they come, and at last the whole message."""
    whole: AIMessageChunk | None = None
    numbers: dict[Any, int] = {}
    async for chunk in chunks:
        if not isinstance(chunk, AIMessageChunk):  # the model does not stream, so its whole answer comes at once
            yield _at_once(chunk)
            yield chunk
            return
        whole = chunk if whole is None else whole + chunk
        calls = []
        for piece in chunk.tool_call_chunks:
            key: Any = piece.get("index")
            if key is None:  # not numbered: a piece with an id begins another call
                key = f"unnumbered-{len(numbers)}" if piece.get("id") or not numbers else list(numbers)[-1]
            number = numbers.setdefault(key, len(numbers))
            calls.append(ToolCallDelta(number, piece.get("id") or "", piece["name"] or "", piece["args"] or ""))
        delta = Delta(text=str(chunk.text), reasoning=_reasoning(chunk), tool_calls=tuple(calls))
        if delta != Delta():
            yield delta
    if whole is not None:
        yield whole


def _at_once(message: AIMessage) -> Delta:
    said = to_candidate("", message)
    calls = (ToolCallDelta(number, call.id, call.name, call.arguments) for number, call in enumerate(said.tool_calls))
    return Delta(text=said.text, reasoning=said.reasoning, tool_calls=tuple(calls))


def cost_told(message: AIMessage) -> tuple[bool, float | None]:
    """Return whether the answer tells what it cost, and what: a cascade's does, as it asks several models."""
    decision = message.response_metadata.get("semcascade")
    return (True, decision.get("cost")) if isinstance(decision, Mapping) else (False, None)


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    read = (
        ToolCall(call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"] or "")
        for call in message.tool_calls
    )
    broken = (ToolCall(call["name"] or "", call["args"] or "", call["id"] or "") for call in message.invalid_tool_calls)
    return (*read, *broken)


def _reasoning(message: AIMessage) -> str:
    if isinstance(message.content, str) and not message.additional_kwargs:
        return ""
    blocks = (block for block in message.content_blocks if block["type"] == "reasoning")
    return "".join(str(block.get("reasoning") or "") for block in blocks)


def _finish_reason(metadata: Mapping[str, Any]) -> str | None:
    said = metadata.get("finish_reason") or metadata.get("stop_reason") or metadata.get("done_reason")
    word = str(said).lower() if said else None
    return None if word is None else _FINISH.get(word, word)


def _usage(message: AIMessage) -> Usage | None:
    said = message.usage_metadata
    if said is None:
        return None
    return Usage(
        said["input_tokens"],
        said["output_tokens"],
        cached_tokens=said.get("input_token_details", {}).get("cache_read") or 0,
        reasoning_tokens=said.get("output_token_details", {}).get("reasoning") or 0,
    )


def _tokens(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    said = metadata.get("logprobs")
    tokens = said.get("content") if isinstance(said, Mapping) else None
    return [token for token in tokens or () if isinstance(token, Mapping)]
