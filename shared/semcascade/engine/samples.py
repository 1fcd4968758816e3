"""Asking one member for several answers.

One request where its provider can answer it several times and bills the prompt once; else one request for each. The
answers are drawn, not looked up: never through a cache, each with its own seed, at a temperature above 0.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from semcascade.config import Member, Tier
from semcascade.engine.attempts import Patience, ask, ask_together, left, with_preamble
from semcascade.engine.budget import Spend
from semcascade.errors import BadRequestError, ContentFilterError, ContextOverflowError
from semcascade.messages import Candidate, Request
from semcascade.transport.base import Transport

__all__ = ["SAMPLING_TEMPERATURE", "ask_samples", "sample_needs", "sampling_notes"]

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
    if transport.most_samples(member) < 2:
        return [group.create_task(_one(transport, member, request, patience, index)) for index in range(member.samples)]
    tasks: list[asyncio.Task[Candidate]] = []
    for start, n in _requests(transport, member):
        together = group.create_task(_together(transport, member, request, patience, start, n))
        tasks += [group.create_task(_part(together, transport, member, index)) for index in range(n)]
    return tasks


def sample_needs(transport: Transport, member: Member, request: Request, patience: Patience) -> list[Spend]:
    """Return the most that each request for a member's samples may take, repeated ones left out."""
    request = with_preamble(request, member)
    return [patience.need(transport, member, request, n) for _, n in _requests(transport, member)]


def _requests(transport: Transport, member: Member) -> Iterator[tuple[int, int]]:
    """Yield for each request the number of its first sample, and how many answers it asks for."""
    most = max(1, transport.most_samples(member))
    for start in range(0, member.samples, most):
        yield start, min(most, member.samples - start)


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
    found = await ask_together(transport, member, request, patience, n)
    first = found[0]
    if first.failure is not None and not _refused_number(first):
        rest = dataclasses.replace(first, attempts=0, cost=0.0)
        return [first, *[rest] * (n - 1)]
    if first.failure is not None:
        found = []
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
