"""Asking a second time where the first request takes long: whichever answers first counts, both are charged."""

from __future__ import annotations

import asyncio
import dataclasses

from semcascade.decision import total_cost
from semcascade.engine.attempts import Patience, Tally, ask
from semcascade.engine.departures import cut_short
from semcascade.member import Member
from semcascade.messages import Candidate, Request
from semcascade.transport.base import Transport

__all__ = ["ask_hedged"]


async def ask_hedged(
    transport: Transport,
    member: Member,
    request: Request,
    patience: Patience,
    sample: int = 0,
    tally: Tally | None = None,
) -> Candidate:
    """Ask for one whole answer, and once more where `hedge_after` says so; see `ask`.

    A failure counts only when both requests have failed.
    """
    tally = tally or Tally()
    if patience.hedge_after is None:
        return await ask(transport, member, request, patience, sample, tally)
    tasks = [asyncio.ensure_future(ask(transport, member, request, patience, sample, tally))]
    try:
        done, _ = await asyncio.wait(tasks, timeout=patience.hedge_after)
        if done:
            return tasks[0].result()
        tally.second = Tally()
        tasks.append(asyncio.ensure_future(ask(transport, member, request, patience, sample, tally.second)))
        first_to_answer = await _first_answer(tasks)
        answer, loser = first_to_answer.result(), tasks[1 - tasks.index(first_to_answer)]
        if loser.done():
            return _both(answer, loser.result())
        slower = dataclasses.replace(tally, second=None) if loser is tasks[0] else tally.second
        return _both(answer, cut_short(transport, member, slower, "the other request was faster", answer.usage))
    finally:
        await _end(tasks)


async def _first_answer(tasks: list[asyncio.Task[Candidate]]) -> asyncio.Task[Candidate]:
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        answered = [task for task in tasks if task in done and task.result().ok]
        if answered:
            return answered[0]
    return tasks[0]


def _both(answer: Candidate, other: Candidate) -> Candidate:
    return dataclasses.replace(
        answer,
        cost=total_cost([answer.cost, other.cost]),
        estimated_cost=answer.estimated_cost + other.estimated_cost,
        attempts=answer.attempts + other.attempts,
    )


async def _end(tasks: list[asyncio.Task[Candidate]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)
