"""Asking the members of one tier at once, for as long as their answers can matter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from semcascade.config import Tier
from semcascade.engine.departures import LEFT, cut_short, mean_usage
from semcascade.engine.foresight import can_foresee, foresee
from semcascade.engine.query import Inquiry
from semcascade.engine.samples import Slot, ask_samples
from semcascade.engine.scoring import TierScorer
from semcascade.messages import Candidate, Usage
from semcascade.similarity import Query

__all__ = ["FanOut"]


class FanOut:
    """One tier's requests.

    Args:
        inquiry: The query.
        tier: Who is asked.
        scorer: Says when the answers settle the decision.
        left_out: By name, the failure of each member that is not asked.

    Attributes:
        notes: Who was not waited for, and why.
    """

    def __init__(self, inquiry: Inquiry, tier: Tier, scorer: TierScorer, left_out: Mapping[str, Candidate]) -> None:
        self._inquiry, self._tier, self._scorer = inquiry, tier, scorer
        self._slots = [
            Slot(member, index, left_out.get(member.name))
            for member in tier.members
            for index in range(1 if member.name in left_out else member.samples)
        ]
        self._tasks: list[asyncio.Task[Any]] = []
        self._foresees = inquiry.config.early_exit != "off" and can_foresee(scorer)
        self.notes: list[str] = []

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every answer and failure so far, in the order of the members."""
        return tuple(slot.candidate for slot in self._slots if slot.candidate is not None)

    async def run(self) -> None:
        """Ask, until all have answered or the missing answers cannot change the decision.

        Whoever was asked has a candidate afterwards, also when this is cancelled.
        """
        try:
            self._ask()
            while pending := [slot.task for slot in self._slots if slot.pending]:
                await self._wait(pending)
                self._collect()
                if self._foresees and self._pending() and await self._is_settled():
                    self._cut("not waited for: it could not change the decision any more")
        except asyncio.CancelledError:
            self._collect()
            self._cut(LEFT)
            raise
        finally:
            await self._end()

    def _ask(self) -> None:
        for member in self._tier.members:
            slots = [slot for slot in self._slots if slot.member is member and slot.candidate is None]
            if slots:
                for slot in slots:
                    slot.asked_at = time.monotonic()
                patience = self._inquiry.patience(member)
                ask_samples(self._start, self._inquiry.transport(member), slots, self._inquiry.request, patience)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    def _pending(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.pending]

    async def _wait(self, pending: Sequence[asyncio.Task[Any] | None]) -> None:
        until = asyncio.FIRST_COMPLETED if self._foresees else asyncio.ALL_COMPLETED
        await asyncio.wait([task for task in pending if task is not None], return_when=until)

    def _collect(self) -> None:
        """Take in what has come."""
        for slot in self._pending():
            if slot.task is not None and slot.task.done():
                slot.candidate = self._left(slot, LEFT, None) if slot.task.cancelled() else slot.task.result()

    async def _is_settled(self) -> bool:
        """Whether the decision, and the answer where one is returned, is sure whatever may still come."""
        config = self._inquiry.config
        slots = [(slot.member, slot.answer) for slot in self._slots if slot.pending or slot.answer]
        if sum(answer is not None for _, answer in slots) < self._scorer.quorum:
            return False
        foreseen = await foresee(self._scorer, Query.of(self._inquiry.request), slots)
        if foreseen.accept is None or (foreseen.accept is False and self._is_heard_later()):
            return False
        returned = foreseen.accept or "ensemble" in (config.on_target_failure, config.on_budget)
        return foreseen.choice is not None or not returned or config.early_exit == "verdict"

    def _is_heard_later(self) -> bool:
        """Whether a later tier of one answer holds it against what is said here."""
        between = self._inquiry.config.tiers[:-1]
        return any(tier.answers == 1 for tier in between)

    def _cut(self, why: str) -> None:
        """Stop waiting for those who have not answered."""
        pending, usage = self._pending(), mean_usage(self.candidates)
        for slot in pending:
            slot.candidate = self._left(slot, why, usage)
        if pending:
            self.notes.append(f"{', '.join(dict.fromkeys(slot.member.name for slot in pending))}: {why}")

    def _left(self, slot: Slot, why: str, usage: Usage | None) -> Candidate:
        transport, seconds = self._inquiry.transport(slot.member), time.monotonic() - slot.asked_at
        return cut_short(transport, slot.member, slot.tally, why, usage, latency_s=seconds)

    async def _end(self) -> None:
        """Cancel what still runs, and wait until it has let go of its connection."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)
