"""Asking one member for several answers.

One request where its provider can answer it several times and bills the prompt once; else one request for each. The
answers are drawn, not looked up: never through a cache, each with its own seed, at a temperature above 0.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from semcascade.config import Member, Tier
from semcascade.engine.attempts import Patience, Tally, ask_together, with_preamble
from semcascade.engine.budget import Spend
from semcascade.engine.hedging import ask_hedged
from semcascade.errors import BadRequestError, ContentFilterError, ContextOverflowError
from semcascade.messages import Candidate, Request
from semcascade.transport.base import Transport

__all__ = ["SAMPLING_TEMPERATURE", "Slot", "Start", "ask_samples", "sample_needs", "sampling_notes"]

SAMPLING_TEMPERATURE = 1.0
"""For several answers of one member, where neither it nor the request says how to draw them.

Semantic entropy is defined on samples at 1.0 (Farquhar et al. 2024), and it is the one value that every provider takes.
"""

Start: TypeAlias = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Makes a task of a coroutine, and sees to its end."""

_DRAWING = frozenset({"temperature", "top_p", "top_k", "min_p"})


class Slot:
    """One answer of a member that a tier may get.

    Args:
        member: Who is asked.
        index: Which of its samples this is, from 0.
        candidate: What stands for the answer, where it is not asked for.

    Attributes:
        candidate: The answer or failure, once it is there.
        task: Asks for it, once it is asked for.
        tally: What asking has taken so far.
        asked_at: When it was asked for, on the monotonic clock.
    """

    def __init__(self, member: Member, index: int = 0, candidate: Candidate | None = None) -> None:
        self.member, self.index, self.candidate = member, index, candidate
        self.task: asyncio.Task[Candidate] | None = None
        self.tally = Tally()
        self.asked_at = 0.0

    @property
    def pending(self) -> bool:
        """Whether it is asked for, and there is no answer yet."""
        return self.task is not None and self.candidate is None

    @property
    def answer(self) -> Candidate | None:
        """The answer, if there is one."""
        return self.candidate if self.candidate is not None and self.candidate.ok else None


def ask_samples(
    start: Start, transport: Transport, slots: Sequence[Slot], request: Request, patience: Patience
) -> list[asyncio.Task[Candidate]]:
    """Start asking one member for the answers of these slots; return each slot's task.

    Args:
        start: Makes a task of a coroutine, and sees to its end.
        transport: Serves the member.
        slots: Some or all of the member's samples.
        request: What is asked.
        patience: How long and how often.
    """
    member, now = slots[0].member, time.monotonic()
    for slot in slots:
        slot.asked_at = now
    most = transport.most_samples(member) if member.samples > 1 else 1
    request = _drawn(request, member) if member.samples > 1 else request
    for first in range(0, len(slots), max(1, most)):
        part = slots[first : first + max(1, most)]
        if len(part) == 1:
            part[0].task = start(_one(transport, part[0], request, patience))
            continue
        together, waiting = start(_together(transport, part, request, patience)), set(range(len(part)))
        for position, slot in enumerate(part):
            slot.task = start(_part(together, position, waiting))
    return [slot.task for slot in slots if slot.task is not None]


def sample_needs(transport: Transport, member: Member, request: Request, patience: Patience) -> list[Spend]:
    """Return the most that each request for a member's samples may take, repeated ones left out."""
    request = with_preamble(request, member)
    return [patience.need(transport, member, request, n) for _, n in _requests(transport, member)]


def _requests(transport: Transport, member: Member) -> Iterator[tuple[int, int]]:
    """Yield for each request the number of its first sample, and how many answers it asks for."""
    most, at_first = max(1, transport.most_samples(member)), member.initial_samples or member.samples
    for start in range(0, at_first, most):
        yield start, min(most, at_first - start)
    for start in range(at_first, member.samples):
        yield start, 1


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


async def _one(transport: Transport, slot: Slot, request: Request, patience: Patience) -> Candidate:
    """Ask for one sample; of the same seed, all would be the same."""
    slot.tally.first = None
    seed = _settings(request, slot.member).get("seed") if slot.index else None
    if isinstance(seed, int):
        request = _with(request, {"seed": seed + slot.index})
    return await ask_hedged(transport, slot.member, request, patience, slot.index, slot.tally)


async def _together(
    transport: Transport, slots: Sequence[Slot], request: Request, patience: Patience
) -> list[Candidate]:
    """Ask for several samples by one request, and one by one for those that did not come with it."""
    n, member = len(slots), slots[0].member
    for slot in slots[1:]:
        slot.tally.first = slots[0].tally
    found = await ask_together(transport, member, request, patience, n, slots[0].tally)
    first = found[0]
    if first.failure is not None and not _refused_number(first):
        rest = dataclasses.replace(first, attempts=0, cost=0.0)
        return [first, *[rest] * (n - 1)]
    if first.failure is not None:
        found = []
    missing = slots[len(found) :]
    found += await asyncio.gather(*(_one(transport, slot, request, patience) for slot in missing))
    if first.failure is not None:  # the refused request was one, too
        found[0] = dataclasses.replace(found[0], attempts=found[0].attempts + first.attempts)
    return found


async def _part(together: asyncio.Task[list[Candidate]], position: int, waiting: set[int]) -> Candidate:
    """Wait for one of several answers that come together; when nobody waits any more, their request is cancelled."""
    try:
        return (await asyncio.shield(together))[position]
    finally:
        waiting.discard(position)
        if not waiting:
            together.cancel()


def _refused_number(answer: Candidate) -> bool:
    """Whether the provider may have refused the request because it asked for several answers."""
    other = ContextOverflowError | ContentFilterError
    return isinstance(answer.failure, BadRequestError) and not isinstance(answer.failure, other)
