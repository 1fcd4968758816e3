"""From a cascade's result, or the pieces of one, to LiteLLM's responses.

Token counts are those of the returned answer; the official cost is that of the whole query, where it is known.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from semcascade._litellm import litellm
from semcascade.decision import Result
from semcascade.messages import Candidate, Usage
from semcascade.transport.base import Delta, ToolCallDelta

__all__ = ["Chunks", "filled"]

_DECISION = "semcascade"
"""Under this name the decision stands among LiteLLM's further data."""


def filled(response: Any, model: str, result: Result) -> Any:
    """Fill in the response that LiteLLM has made ready, and return it.

    The decision stands in `_hidden_params["semcascade"]`, as plain data; and, for who asks a proxy, beside the message.
    """
    candidate, cost, told = result.candidate, result.decision.cost, {_DECISION: result.decision.to_dict()}
    message = litellm().Message(
        content=candidate.text if candidate.text or not candidate.tool_calls else None,
        tool_calls=[call.to_openai() | {"id": call.id or _new_id()} for call in candidate.tool_calls] or None,
        reasoning_content=candidate.reasoning or None,
        provider_specific_fields=told,
    )
    response.model = _full(model)
    response.choices = [litellm().Choices(index=0, message=message, finish_reason=_finish_reason(candidate))]
    if candidate.usage is not None:
        response.usage = _usage(candidate.usage, cost)
    response._hidden_params.update(told)
    if cost is not None:
        response._hidden_params["response_cost"] = cost
    return response


class Chunks:
    """Makes the pieces of one answer into the chunks of one stream.

    The decision comes with the last chunk but two, as a further field of its delta, as providers' own data do.

    Args:
        model: The cascade's name.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = f"chatcmpl-{uuid.uuid4()}"
        self._role: str | None = "assistant"
        self._begun: set[int] = set()

    def of(self, piece: Delta | Result) -> Iterator[Any]:
        """Yield the chunks of a piece."""
        if isinstance(piece, Result):
            yield from self._last(piece)
        elif piece.text or piece.reasoning or piece.tool_calls:
            yield self._chunk(
                content=piece.text or None,
                reasoning_content=piece.reasoning or None,
                tool_calls=[self._call(call) for call in piece.tool_calls] or None,
            )

    def _last(self, result: Result) -> Iterator[Any]:
        told = {_DECISION: result.decision.to_dict()}
        chunk = self._chunk(content="", provider_specific_fields=told)
        chunk._hidden_params.update({**told, "provider_specific_fields": told})
        yield chunk
        if result.candidate.usage is not None:
            chunk = self._chunk(content="")
            chunk.usage = _usage(result.candidate.usage, result.decision.cost)
            yield chunk
        chunk = self._chunk(content=None)
        chunk.choices[0].finish_reason = _finish_reason(result.candidate)
        yield chunk

    def _call(self, call: ToolCallDelta) -> dict[str, Any]:
        """Return a piece of a call; only its first one has an id, which the member may have left out."""
        given = call.id or (None if call.index in self._begun else _new_id())
        self._begun.add(call.index)
        function = {"name": call.name or None, "arguments": call.arguments}
        return {"index": call.index, "id": given, "type": "function", "function": function}

    def _chunk(self, **delta: Any) -> Any:
        types = litellm().types.utils
        said = types.Delta(role=self._role, **delta)
        self._role = None
        choice = types.StreamingChoices(index=0, delta=said, finish_reason=None)
        return types.ModelResponseStream(id=self._id, model=_full(self._model), choices=[choice])


def _full(model: str) -> str:
    return f"semcascade/{model}"


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _finish_reason(candidate: Candidate) -> str:
    return candidate.finish_reason or ("tool_calls" if candidate.tool_calls else "stop")


def _usage(usage: Usage, cost: float | None) -> Any:
    """Return the counts of one answer, and, where LiteLLM looks for what a provider charged, the query's cost."""
    counted = litellm().Usage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details={"cached_tokens": usage.cached_tokens},
        completion_tokens_details={"reasoning_tokens": usage.reasoning_tokens},
    )
    if cost is not None:
        counted.cost = cost
    return counted
