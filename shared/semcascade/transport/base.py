"""What a transport is: it asks ONE member ONE thing, once.

Retries, deadlines, concurrency and bookkeeping belong to the engine; a transport makes one attempt and tells
what came back, in the library's own shapes and errors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semcascade.abilities import Ability
from semcascade.config import Member
from semcascade.errors import BadRequestError
from semcascade.messages import Candidate, Embeddings, Request, ToolCall, Usage

__all__ = [
    "Delta", "ToolCallDelta", "Transport", "assemble", "configured_price", "counted", "reported_cost", "told_of",
]  # fmt: skip


_MOST_DIGITS = 12
"""Of a count of tokens; what is more is none."""

_MOST_DOLLARS = 1e9
"""That one call may cost; what is more is no price."""

_LEAST_LOGPROB, _ROUNDING = -1e6, 1e-3
"""Providers write -9999 for tokens that are out of the question, and rounding takes sure ones a little above 0."""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a streamed tool call; pieces of one `index` belong together."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer; what is not in this piece is empty or None."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    model: str | None = None
    logprobs: tuple[float, ...] = ()
    tokens: tuple[Mapping[str, Any], ...] = ()

    @property
    def says(self) -> bool:
        """Whether it adds to what the answer says."""
        return bool(self.text or self.reasoning or self.tool_calls or self.logprobs)


class Transport(ABC):
    """Asks one member one thing, once, on the library's private event loop.

    Cancelling the awaiting task (or closing the stream) must end the request at the provider.
    """

    @abstractmethod
    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for one whole answer.

        Args:
            member: Who is asked.
            request: What is asked.
            timeout: Seconds for this attempt.
            sample: Which of the member's samples this is, from 0.

        Raises:
            MemberError: If there is no answer.
        """

    @abstractmethod
    def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Ask for one answer in pieces; `timeout` bounds the wait for each piece.

        Only the last piece may say nothing; it tells what there is to tell of the answer as a whole. With a first piece
        that says nothing, a failed attempt could not be repeated any more.

        Raises:
            MemberError: If there is no answer, or it breaks off.
        """

    def most_samples(self, member: Member) -> int:
        """Return how many answers one request can bring, its prompt billed once; 1: `complete_many` is not there."""
        return 1

    async def complete_many(self, member: Member, request: Request, *, timeout: float, n: int) -> list[Candidate]:
        """Ask for several whole answers by one request; only where `most_samples` says so.

        Args:
            member: Who is asked.
            request: What is asked.
            timeout: Seconds for this attempt.
            n: How many answers to ask for.

        Returns:
            One answer or more, n at most. Each tells the whole prompt's tokens; all but the first share its prompt.
            Their costs add up to the request's.

        Raises:
            MemberError: If there is no answer.
        """
        raise NotImplementedError(f"{type(self).__name__} asks for one answer at a time")

    async def embed(self, member: Member, texts: Sequence[str], *, timeout: float) -> Embeddings:
        """Ask for a vector for each text.

        Args:
            member: Who is asked.
            texts: What to embed.
            timeout: Seconds for this attempt.

        Raises:
            MemberError: If there are no vectors.
        """
        raise BadRequestError(f"{type(self).__name__} gives no vectors", member=member.name)

    async def prepare(self, member: Member) -> None:  # noqa: B027 - most transports are ready as they are
        """Get ready to ask the member: import a slow library, start a local model. Called before every query.

        Raises:
            MemberError: If the member cannot be made ready.
        """

    def check(self, member: Member) -> None:  # noqa: B027 - most transports have nothing to check
        """Refuse what is sure to fail, before anything is spent.

        Raises:
            MemberError: If a key is missing, or the model is known not to exist.
        """

    def price(self, member: Member, usage: Usage) -> float | None:
        """Return what a call with this usage costs in US dollars, or None where unknown."""
        return configured_price(member, usage)

    def knows_price(self, member: Member) -> bool:
        """Say whether `price` knows the member."""
        return self.price(member, Usage(1, 1)) is not None

    def context_window(self, member: Member) -> int | None:
        """Return the model's context window in tokens, or None where unknown."""
        return member.context_window

    def abilities(self, member: Member) -> Mapping[Ability, bool]:
        """Return what is known that the model can do, or cannot; the member's own settings win over it."""
        return {}

    async def aclose(self) -> None:  # noqa: B027 - most transports hold nothing
        """Let go of connections and processes."""


def configured_price(member: Member, usage: Usage) -> float | None:
    """Return the price by the member's own settings, or None where they do not say.

    >>> member = Member(model="x/y", input_cost_per_token=1e-6, output_cost_per_token=2e-6)
    >>> round(configured_price(member, Usage(1000, 500)), 9)
    0.002
    """
    if member.input_cost_per_token is None or member.output_cost_per_token is None:
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens)
    return (
        (usage.input_tokens - cached) * member.input_cost_per_token
        + cached * _or(member.cached_input_cost_per_token, member.input_cost_per_token)
        + (usage.output_tokens - reasoning) * member.output_cost_per_token
        + reasoning * _or(member.reasoning_cost_per_token, member.output_cost_per_token)
    )


def _or(price: float | None, other: float) -> float:
    return other if price is None else price


def reported_cost(said: object) -> float | None:
    """Return the price in US dollars that a provider reported with its usage, or None where it is none.

    >>> reported_cost(0.25), reported_cost({"total_cost": 0.5}), reported_cost("free"), reported_cost(-1)
    (0.25, 0.5, None, None)
    """
    if isinstance(said, Mapping):
        said = said.get("total_cost")
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if 0 <= said <= _MOST_DOLLARS else None


def counted(asked: object, said: object, cached: object = 0, reasoning: object = 0) -> Usage | None:
    """Return the tokens of a call as its provider counted them, or None where it did not, or cannot have.

    A count that cannot be, taken at its word, would make a call cost less than nothing.

    >>> counted(5, 7, None), counted(0, 0), counted(5, -7)
    (Usage(input_tokens=5, output_tokens=7, cached_tokens=0, reasoning_tokens=0), None, None)
    """
    prompt, answer = _count(asked), _count(said or 0)
    if not prompt or answer is None:
        return None
    return Usage(prompt, answer, min(prompt, _count(cached) or 0), min(answer, _count(reasoning) or 0))


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**_MOST_DIGITS:
        return None
    return int(value)


def told_of(tokens: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of a Candidate or Delta that hold what a provider told of each token.

    >>> told_of([{"token": "4", "logprob": -0.1}])["logprobs"]
    (-0.1,)
    """
    told = tuple(token for token in tokens if isinstance(token, Mapping))
    values = tuple(float(token["logprob"]) for token in told if _is_log_probability(token.get("logprob")))
    return {"tokens": told, "logprobs": values} if values else {}


def _is_log_probability(value: object) -> bool:
    return isinstance(value, int | float) and _LEAST_LOGPROB <= value <= _ROUNDING


def assemble(member: Member, deltas: Iterable[Delta]) -> Candidate:
    """Put the pieces of a stream together.

    >>> assemble(Member(model="a"), [Delta(text="4"), Delta(text="2", finish_reason="stop")]).text
    '42'
    """
    text: list[str] = []
    reasoning: list[str] = []
    logprobs: list[float] = []
    tokens: list[Mapping[str, Any]] = []
    calls: dict[int, list[ToolCallDelta]] = {}
    last: dict[str, object] = {}
    for delta in deltas:
        text.append(delta.text)
        reasoning.append(delta.reasoning)
        logprobs.extend(delta.logprobs)
        tokens.extend(delta.tokens)
        for piece in delta.tool_calls:
            calls.setdefault(piece.index, []).append(piece)
        for field in ("finish_reason", "usage", "cost", "model"):
            value = getattr(delta, field)
            if value is not None:
                last[field] = value
    tool_calls = tuple(_join(calls[index]) for index in sorted(calls))
    return Candidate(
        member=member.name,
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=tool_calls,
        logprobs=tuple(logprobs) or None,
        tokens=tuple(tokens),
        **last,  # type: ignore[arg-type]
    )


def _join(pieces: list[ToolCallDelta]) -> ToolCall:
    return ToolCall(
        id=next((piece.id for piece in pieces if piece.id), ""),
        name="".join(piece.name for piece in pieces),
        arguments="".join(piece.arguments for piece in pieces) or "{}",
    )
