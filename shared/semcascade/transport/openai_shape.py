"""What LiteLLM and the lean transport share: requests in OpenAI's shape, and what is known of models beforehand."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from semcascade.abilities import Ability, abilities_of_model
from semcascade.config import Member
from semcascade.messages import Candidate, Request, Usage
from semcascade.model_table import known_of, price_of
from semcascade.transport.base import ToolCallDelta, Transport, configured_price

__all__ = ["MOST_SAMPLES", "OpenCalls", "TabledTransport", "request_body", "shared_out", "vectors_of"]

MOST_SAMPLES: Mapping[str, int] = {
    "openai": 64, "azure": 64, "hosted_vllm": 64, "gemini": 8, "vertex_ai": 8, "groq": 64, "deepseek": 64,
    "together_ai": 64, "openrouter": 64, "xai": 64, "fireworks_ai": 64, "cohere": 64, "cohere_chat": 64,
}  # fmt: skip
"""How many answers one request (`n`) may ask for, by provider; others are asked once for each answer.

A provider of this list that sends fewer is asked again for the rest, and one that refuses `n` is asked one by one.
"""


class OpenCalls:
    """The tool calls that a stream has opened so far.

    Some services give the calls no index, or all the same; a new id is a new call. An opening that comes again, or
    whose name stands in every piece, opens nothing.
    """

    def __init__(self) -> None:
        self._open: list[tuple[int | None, str, str]] = []

    @property
    def any(self) -> bool:
        """Whether any call was opened."""
        return bool(self._open)

    def piece(self, index: int | None, ident: str, name: str, arguments: str) -> ToolCallDelta | None:
        """Return what a piece adds, under its call's place among the calls, or None where it adds nothing.

        >>> calls = OpenCalls()
        >>> calls.piece(0, "c1", "add", ""), calls.piece(0, "c1", "add", ""), calls.piece(0, "", "", "{}").arguments
        (ToolCallDelta(index=0, id='c1', name='add', arguments=''), None, '{}')
        """
        place = self._place(index, ident)
        if place is None:
            self._open.append((index, ident, name))
            return ToolCallDelta(len(self._open) - 1, ident, name, arguments)
        if name == self._open[place][2]:
            name = ""
        return ToolCallDelta(place, "", name, arguments) if name or arguments else None

    def _place(self, index: int | None, ident: str) -> int | None:
        for place in reversed(range(len(self._open))):
            known_index, known_ident, _ = self._open[place]
            if ident == known_ident if ident and known_ident else index is None or index == known_index:
                return place
        return None


class TabledTransport(Transport):
    """A transport to the providers that the model table knows."""

    def most_samples(self, member: Member) -> int:
        """Return what the member's provider takes as `n`."""
        return MOST_SAMPLES.get(member.provider, 1)

    def knows_price(self, member: Member) -> bool:
        """Say whether the table or the member's settings know it, or else `price` does."""
        once = Usage(1, 1)
        known = price_of(member.model, once) is not None or configured_price(member, once) is not None
        return known or super().knows_price(member)

    def context_window(self, member: Member) -> int | None:
        """Return the member's setting, else LiteLLM's table, else None."""
        if member.context_window is not None:
            return member.context_window
        window = known_of(member.model).get("max_input_tokens")
        return int(window) if window else None

    def abilities(self, member: Member) -> Mapping[Ability, bool]:
        """Return what LiteLLM's table says."""
        return abilities_of_model(member.model)


def request_body(member: Member, request: Request) -> dict[str, Any]:
    """Return the request in OpenAI's shape: the member's parameters under those of the request."""
    body: dict[str, Any] = {"messages": [dict(message) for message in request.messages]}
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        body["response_format"] = request.response_format
    return {**member.params, **{key: value for key, value in request.params.items() if value is not None}, **body}


def vectors_of(rows: Any, wanted: int) -> tuple[tuple[float, ...], ...]:
    """Return the vectors of an embedding reply's rows, in the order of the texts.

    Raises:
        ValueError: If they are not as many vectors of one length as were asked for.
    """
    try:
        ordered = sorted(rows, key=lambda row: row["index"])
        vectors = tuple(tuple(map(float, row["embedding"])) for row in ordered)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("it holds no vectors") from None
    if len(vectors) != wanted:
        raise ValueError(f"asked for {wanted} vectors, got {len(vectors)}")
    if len(set(map(len, vectors))) != 1 or not all(map(math.isfinite, itertools.chain(*vectors))):
        raise ValueError("its vectors are not numbers of one length")
    return vectors


def shared_out(answers: Sequence[Candidate], whole: Candidate) -> Iterator[Candidate]:
    """Share out the tokens and the cost of one request among its answers, tokens by what each of them says.

    The provider counts the tokens of all answers together.
    """
    sizes = [
        1 + len(one.text) + len(one.reasoning) + sum(len(call.arguments) for call in one.tool_calls) for one in answers
    ]
    cost = None if whole.cost is None else whole.cost / len(answers)
    given = 0.0
    for index, answer in enumerate(answers):
        share = (given / sum(sizes), (given + sizes[index]) / sum(sizes))
        given += sizes[index]
        usage = None if whole.usage is None else _part(whole.usage, *share)
        yield dataclasses.replace(answer, usage=usage, cost=cost, shares_prompt=index > 0)


def _part(usage: Usage, start: float, end: float) -> Usage:
    """Return the whole prompt, and the output's tokens from one share of it to another."""

    def between(tokens: int) -> int:
        return round(tokens * end) - round(tokens * start)

    return dataclasses.replace(
        usage, output_tokens=between(usage.output_tokens), reasoning_tokens=between(usage.reasoning_tokens)
    )
