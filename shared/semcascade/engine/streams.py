"""Asking one member for an answer in pieces, until it is whole, fails for good, or time is up."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from semcascade.config import Member
from semcascade.decision import total_cost
from semcascade.engine.attempts import (
    Patience,
    Tally,
    as_member_error,
    backoff,
    cost_of_failure,
    failed,
    if_billed,
    misshapen,
    with_preamble,
)
from semcascade.errors import NotAskedError
from semcascade.messages import Candidate, Request
from semcascade.transport.base import Delta, Transport, assemble

__all__ = ["ask_in_pieces"]


async def ask_in_pieces(
    transport: Transport, member: Member, request: Request, patience: Patience, tally: Tally | None = None
) -> AsyncGenerator[Delta | Candidate, None]:
    """Yield the pieces of one answer and at last its candidate, which may carry a failure.

    Attempts are repeated only before the first piece: what was shown cannot be taken back. The tally is kept for those
    who may stop listening.
    """
    request, started, tally = with_preamble(request, member), time.monotonic(), tally or Tally()
    need, last = patience.need(transport, member, request), None
    costs: list[float | None] = []
    pieces: list[Delta] = []
    for attempt in range(1, patience.max_retries + 2):
        try:
            tally.refuse_more()
            patience.refuse_late(member)
            with patience.guard.admitted(member, need) as entry, tally:
                async with aclosing(_pieces(transport, member, request, patience)) as deltas:
                    async for delta in deltas:
                        entry.begun = True
                        pieces.append(delta)
                        yield delta
                answer = _priced(assemble(member, pieces), transport, member)
                entry.answered([answer])
        except Exception as raised:  # noqa: BLE001 - a transport may raise anything; the query goes on
            error = as_member_error(raised, member)
            if last is not None and isinstance(error, NotAskedError):
                patience.guard.notes.append(f"not repeated: {error}")
                yield failed(member, last, cost=total_cost(costs), started=started, attempts=attempt - 1)
                return
            costs.append(if_billed(transport, member) if pieces else cost_of_failure(transport, member, error))
            tally.costs.append(costs[-1])
            last, pause = error, backoff(error, attempt)
            final = not error.retryable or attempt > patience.max_retries
            if pieces or final or not patience.waits(pause):
                yield failed(member, error, cost=total_cost(costs), started=started, attempts=attempt)
                return
            await asyncio.sleep(pause)
        else:
            cost, latency = total_cost([*costs, answer.cost]), time.monotonic() - started
            yield dataclasses.replace(answer, cost=cost, latency_s=latency, attempts=attempt)
            return


async def _pieces(
    transport: Transport, member: Member, request: Request, patience: Patience
) -> AsyncGenerator[Delta, None]:
    stream = aiter(transport.stream(member, request, timeout=patience.timeout))
    try:
        while True:
            async with patience.bound(member):
                delta = await anext(stream, None)
            if delta is None:
                return
            if not isinstance(delta, Delta):
                raise misshapen(member, f"a piece that is a {type(delta).__name__}, not a Delta")
            yield delta
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


def _priced(candidate: Candidate, transport: Transport, member: Member) -> Candidate:
    """Reckon the cost of a stream whose provider told tokens but no price."""
    if candidate.cost is not None or candidate.usage is None:
        return candidate
    return dataclasses.replace(candidate, cost=transport.price(member, candidate.usage))
