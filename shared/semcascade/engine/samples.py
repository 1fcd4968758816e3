"""Asking one member for several answers.

One request where its provider can answer it several times and bills the prompt once; else one request for each. The
answers are drawn, not looked up: never through a cache, each with its own seed, at a temperature above 0.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from semcascade.config import Member, Tier
from semcascade.engine.attempts import Patience, ask, left
from semcascade.errors import BadRequestError, ContentFilterError, ContextOverflowError
from semcascade.messages import Candidate, Request, Usage
from semcascade.transport.base import Transport

__all__ = ["SAMPLING_TEMPERATURE", "ask_samples", "sampling_notes"]

SAMPLING_TEMPERATURE = 1.0
"""For several answers of one member, where neither it nor the request says how to draw them.

Semantic entropy is defined on samples at 1.0 (Farquhar et al. 2024), and it is the one value that every provider takes.
"""

_DRAWING = frozenset({"temperature", "top_p", "top_k", "min_p"})


def ask_samples(
    group: asyncio.TaskGroup,
    transport: Transport,
    member: Member,
    request: Request,
    patience: Patience,
    *,
    only: Sequence[int] | None = None,
) -> list[asyncio.Task[Candidate]]:
    """Start asking for all samples of a member, or only some; each task gives one answer or failure."""
    if member.samples == 1:
        return [group.create_task(ask(transport, member, request, patience))]
    request = _drawn(request, member)
    if only is not None and len(only) < member.samples:
        return [group.create_task(_one(transport, member, request, patience, index)) for index in only]
    most = transport.most_samples(member)
    if most < 2:
        return [group.create_task(_one(transport, member, request, patience, index)) for index in range(member.samples)]
    tasks: list[asyncio.Task[Candidate]] = []
    for start in range(0, member.samples, most):
        n = min(most, member.samples - start)
        together = group.create_task(_together(transport, member, request, patience, start, n))
        tasks += [group.create_task(_part(together, transport, member, index)) for index in range(n)]
    return tasks


def sampling_notes(tier: Tier, request: Request) -> tuple[str, ...]:
    """Warn of members whose samples are drawn at temperature 0: they agree with themselves."""
    return tuple(
        f"the {member.samples} answers of {member.name} are drawn at temperature 0: that they agree says little"
        for member in tier.members
        if member.samples > 1 and _settings(request, member).get("temperature") == 0
    )


def _settings(request: Request, member: Member) -> dict[str, Any]:
    """Return the parameters as they are sent: the request's over the member's."""
    return {**member.params, **{key: value for key, value in request.params.items() if value is not None}}


def _drawn(request: Request, member: Member) -> Request:
    """Ask for samples that can differ, unless it is said how they are drawn."""
    if _DRAWING & _settings(request, member).keys():
        return request
    return _with(request, {"temperature": SAMPLING_TEMPERATURE})


def _with(request: Request, params: Mapping[str, Any]) -> Request:
    return dataclasses.replace(request, params={**request.params, **params})


async def _one(transport: Transport, member: Member, request: Request, patience: Patience, index: int) -> Candidate:
    """Ask for one sample; of the same seed, all would be the same."""
    seed = _settings(request, member).get("seed")
    if isinstance(seed, int) and index:
        request = _with(request, {"seed": seed + index})
    return await ask(transport, member, request, patience, index)


async def _together(
    transport: Transport, member: Member, request: Request, patience: Patience, start: int, n: int
) -> list[Candidate]:
    """Ask for n samples by one request, and one by one for those that did not come with it."""
    if n == 1:
        return [await _one(transport, member, request, patience, start)]
    at_once = _AtOnce(transport, n)
    first = await ask(at_once, member, request, patience, start)
    if first.failure is not None and not _refused_number(first):
        rest = dataclasses.replace(first, attempts=0, cost=0.0)
        return [first, *[rest] * (n - 1)]
    found = [] if first.failure is not None else [first]
    found += [
        dataclasses.replace(other, member=member.name, latency_s=first.latency_s, attempts=0)
        for other in at_once.others
    ]
    missing = range(start + len(found), start + n)
    found += await asyncio.gather(*(_one(transport, member, request, patience, index) for index in missing))
    if first.failure is not None:  # the refused request was one, too
        found[0] = dataclasses.replace(found[0], attempts=found[0].attempts + first.attempts)
    return found


async def _part(together: asyncio.Task[list[Candidate]], transport: Transport, member: Member, index: int) -> Candidate:
    """Wait for one of the answers; left before it came, it is recorded as left, but its request only once."""
    try:
        return (await asyncio.shield(together))[index]
    except asyncio.CancelledError:
        gone = left(transport, member)
        return dataclasses.replace(gone, attempts=0, cost=0.0) if index else gone


def _refused_number(answer: Candidate) -> bool:
    """Whether the provider may have refused the request because it asked for several answers."""
    other = ContextOverflowError | ContentFilterError
    return isinstance(answer.failure, BadRequestError) and not isinstance(answer.failure, other)


class _AtOnce(Transport):
    """Makes one request for many answers look like one for a single answer, and keeps the others.

    Attributes:
        others: The answers behind the first.
    """

    def __init__(self, transport: Transport, n: int) -> None:
        self._transport, self._n = transport, n
        self.others: list[Candidate] = []

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for all of them, and return the first."""
        first, *self.others = await self._transport.complete_many(member, request, timeout=timeout, n=self._n)
        return first

    def stream(self, member: Member, request: Request, *, timeout: float) -> Any:
        """Refuse: several answers are not streamed."""
        raise NotImplementedError

    def price(self, member: Member, usage: Usage) -> float | None:
        """Return the price by the transport itself."""
        return self._transport.price(member, usage)
