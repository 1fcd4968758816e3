"""From a cascade's result, or the pieces of one, to LlamaIndex's responses."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LogProb, ToolCallBlock
from llama_index.core.llms.utils import parse_partial_json

from llamaindex_semcascade.messages import to_chat_message
from semcascade.decision import Result
from semcascade.messages import Candidate, ToolCall, Usage
from semcascade.transport.base import Delta

__all__ = ["GrowingAnswer", "to_chat_response", "to_completion_response"]


def to_chat_response(result: Result) -> ChatResponse:
    """Return a whole answer.

    Token counts are those of the returned answer, which is what fills a context; what the query cost in all stands
    in the decision, as plain data under `additional_kwargs["semcascade"]` and `raw["semcascade"]`.
    """
    return _final(dataclasses.replace(result, candidate=_with_ids(result.candidate, {})), delta=None)


def to_completion_response(response: ChatResponse) -> CompletionResponse:
    """Return a chat's response as that of a completion."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


@dataclass
class _GrowingCall:
    id: str = field(default_factory=_new_id)
    name: str = ""
    arguments: str = ""

    def call(self) -> ToolCall:
        return ToolCall(self.name, self.arguments, self.id)


class GrowingAnswer:
    """Puts the pieces of a stream together: each response holds the message so far, and what is new in it."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._calls: dict[int, _GrowingCall] = {}

    def add(self, piece: Delta) -> ChatResponse | None:
        """Return the response for a piece, or None where it shows nothing new."""
        self._text += piece.text
        self._reasoning += piece.reasoning
        for part in piece.tool_calls:
            call = self._calls.setdefault(part.index, _GrowingCall())
            call.id = part.id or call.id
            call.name += part.name
            call.arguments += part.arguments
        if not (piece.text or piece.reasoning or piece.tool_calls):
            return None
        extra = {"thinking_delta": piece.reasoning} if piece.reasoning else {}
        return ChatResponse(message=self._message(), delta=piece.text, additional_kwargs=extra)

    def finish(self, result: Result) -> ChatResponse:
        """Return the last response: the whole message, token counts and the decision, and nothing new to show."""
        ids = {place: self._calls[index].id for place, index in enumerate(sorted(self._calls))}
        return _final(dataclasses.replace(result, candidate=_with_ids(result.candidate, ids)), delta="")

    def _message(self) -> ChatMessage:
        calls = tuple(self._calls[index].call() for index in sorted(self._calls))
        message = to_chat_message(Candidate("", text=self._text, reasoning=self._reasoning, tool_calls=calls))
        for block in message.blocks:
            if isinstance(block, ToolCallBlock) and isinstance(block.tool_kwargs, str):
                block.tool_kwargs = _so_far(block.tool_kwargs)
        return message


def _final(result: Result, *, delta: str | None) -> ChatResponse:
    candidate, decision = result.candidate, result.decision.to_dict()
    counts = _counts(candidate.usage)
    raw = {
        "model": candidate.model,
        "member": candidate.member,
        "finish_reason": candidate.finish_reason,
        "usage": counts or None,
        "semcascade": decision,
    }
    return ChatResponse(
        message=to_chat_message(candidate),
        delta=delta,
        raw=raw,
        logprobs=[[LogProb(logprob=value)] for value in candidate.logprobs] if candidate.logprobs else None,
        additional_kwargs={**counts, "semcascade": decision},
    )


def _counts(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _with_ids(candidate: Candidate, ids: dict[int, str]) -> Candidate:
    """Give each tool call without an id one, so that its result can name it."""
    calls = tuple(
        call if call.id else dataclasses.replace(call, id=ids.get(place) or _new_id())
        for place, call in enumerate(candidate.tool_calls)
    )
    return dataclasses.replace(candidate, tool_calls=calls)


def _so_far(arguments: str) -> dict[str, Any]:
    """Return what can be read of arguments that are still being written."""
    try:
        value = parse_partial_json(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
