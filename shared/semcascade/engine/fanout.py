"""Asking the members of one tier at once, for as long as their answers can matter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from semcascade.config import Tier
from semcascade.engine.attempts import as_member_error, failed
from semcascade.engine.departures import LEFT, cut_short, mean_usage
from semcascade.engine.foresight import can_foresee, can_lean, foresee, leans_to_defer, may_settle
from semcascade.engine.query import Inquiry
from semcascade.engine.samples import Slot, ask_samples
from semcascade.engine.scoring import TierScorer
from semcascade.engine.speculation import Speculation
from semcascade.messages import Candidate, Usage
from semcascade.signals.sequential import lead_is_stable
from semcascade.similarity import Query

__all__ = ["FanOut"]


class FanOut:
    """One tier's requests.

    Args:
        inquiry: The query.
        tier: Who is asked.
        scorer: Says when the answers settle the decision.
        left_out: By name, the failure of each member that is not asked.
        early: Starts the next tier when it is likely to be needed.

    Attributes:
        notes: Who was not waited for, and why.
    """

    def __init__(
        self,
        inquiry: Inquiry,
        tier: Tier,
        scorer: TierScorer,
        left_out: Mapping[str, Candidate],
        early: Speculation | None = None,
    ) -> None:
        self._inquiry, self._tier, self._scorer = inquiry, tier, scorer
        self._slots = [
            Slot(member, index, left_out.get(member.name))
            for member in tier.members
            for index in range(1 if member.name in left_out else member.samples)
        ]
        self._tasks: list[asyncio.Task[Any]] = []
        self._early, self._share = early, inquiry.config.drop_slow
        self._doubts = early is not None and early.waits_for_doubt and can_lean(scorer)
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
            self._ask(
                [slot for slot in self._slots if slot.index < (slot.member.initial_samples or slot.member.samples)]
            )
            while await self._goes_on():
                await self._wait()
                self._collect()
                self._drop_slow()
                await self._doubt()
        except BaseException:
            self._collect()
            self._cut(self._pending(), LEFT)
            raise
        finally:
            await self._end()

    async def _goes_on(self) -> bool:
        """Whether there is anything to wait for; if not, and there may be more samples, ask for them."""
        if self._foresees and self._missing() and await self._is_settled():
            self._cut(self._pending(), "not waited for: it could not change the decision any more")
            return False
        if not self._pending() and (more := self._next_samples()) and not await self._has_enough():
            self._ask(more)
        return bool(self._pending())

    def _ask(self, slots: Sequence[Slot]) -> None:
        for member in self._tier.members:
            own = [slot for slot in slots if slot.member is member and slot.candidate is None]
            if own:
                patience = self._inquiry.patience(member)
                ask_samples(self._start, self._inquiry.transport(member), own, self._inquiry.request, patience)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    def _pending(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.pending]

    def _missing(self) -> list[Slot]:
        """Answers that may still come, those that are not asked for yet included."""
        return [slot for slot in self._slots if slot.candidate is None]

    def _answered(self) -> list[Candidate]:
        return [slot.answer for slot in self._slots if slot.answer is not None]

    async def _wait(self) -> None:
        watched = self._foresees or self._doubts or self._share is not None
        until = asyncio.FIRST_COMPLETED if watched else asyncio.ALL_COMPLETED
        tasks = [slot.task for slot in self._pending() if slot.task is not None]
        await asyncio.wait(tasks, timeout=self._patience_left(), return_when=until)

    def _collect(self) -> None:
        """Take in what has come."""
        for slot in self._pending():
            if slot.task is None or not slot.task.done():
                continue
            slot.candidate = self._left(slot, LEFT, None) if slot.task.cancelled() else _outcome(slot)
            if slot.candidate.ok:
                self._inquiry.note_latency(slot.member, slot.candidate.latency_s)

    # --- when it is enough

    async def _is_settled(self) -> bool:
        """Whether the decision, and the answer where one is returned, is sure whatever may still come."""
        config, there = self._inquiry.config, len(self._answered())
        if there < self._scorer.quorum:
            return False
        slots = [(slot.member, slot.answer) for slot in self._slots if slot.candidate is None or slot.answer]
        if not may_settle(self._scorer, there, len(slots) - there):
            return False
        try:
            foreseen = await foresee(self._scorer, Query.of(self._inquiry.request), slots)
        except Exception:  # noqa: BLE001 - of the user's own parts; told when all answers are scored
            return False
        if foreseen.accept is None or (foreseen.accept is False and self._is_heard_later()):
            return False
        returned = foreseen.accept or "ensemble" in (config.on_target_failure, config.on_budget)
        return foreseen.choice is not None or not returned or config.early_exit == "verdict"

    async def _doubt(self) -> None:
        """Start the next tier if these answers, were they all, would be deferred."""
        if self._doubts and self._early is not None and self._early.waits_for_doubt and self._pending():
            answers = self._answered()
            if len(answers) >= max(2, self._scorer.quorum):
                with suppress(Exception):  # of the user's own parts; told when all answers are scored
                    if await leans_to_defer(self._scorer, Query.of(self._inquiry.request), answers):
                        self._early.start()

    def _is_heard_later(self) -> bool:
        """Whether a later tier of one answer holds it against what is said here."""
        between = self._inquiry.config.tiers[:-1]
        return any(tier.answers == 1 for tier in between)

    def _next_samples(self) -> list[Slot]:
        """The next sample of every member of which there may be more."""
        following: dict[str, Slot] = {}
        for slot in self._missing():
            following.setdefault(slot.member.name, slot)
        return list(following.values())

    async def _has_enough(self) -> bool:
        """Whether the samples leave little doubt which answer leads."""
        answers = self._answered()
        if len(answers) < 2:
            return False
        sizes = await self._scorer.cluster_sizes(Query.of(self._inquiry.request), answers)
        if not lead_is_stable(sizes):
            return False
        shown = "-".join(map(str, sorted(sizes, reverse=True)))
        self.notes.append(f"{len(self._missing())} samples not asked for: the answers so far agree {shown}")
        return True

    # --- who takes too long

    def _limit(self, slot: Slot) -> float | None:
        return None if self._share is None else self._inquiry.plan.latencies.quantile(slot.member, self._share)

    def _patience_left(self) -> float | None:
        """Return the seconds until the first member takes too long; None where none can."""
        if self._share is None or len(self._answered()) < self._scorer.quorum:
            return None
        now = time.monotonic()
        left = [limit - (now - slot.asked_at) for slot in self._pending() if (limit := self._limit(slot)) is not None]
        return max(0.0, min(left)) if left else None

    def _drop_slow(self) -> None:
        """Do not wait for members that take longer than they nearly always do, once there are answers enough."""
        if self._share is None or len(self._answered()) < self._scorer.quorum:
            return
        now = time.monotonic()
        slow = [s for s in self._pending() if (limit := self._limit(s)) is not None and now - s.asked_at >= limit]
        for slot in slow:  # noted as it is cut: left out, the quantile would creep down
            self._inquiry.note_latency(slot.member, now - slot.asked_at)
        self._cut(slow, f"dropped: it took longer than {self._share:.0%} of its latest answers")

    def _cut(self, slots: Sequence[Slot], why: str) -> None:
        """Stop waiting for answers."""
        usage = mean_usage(self.candidates)
        for slot in slots:
            slot.candidate = self._left(slot, why, usage)
            if slot.task is not None:
                slot.task.cancel()
        if slots:
            self.notes.append(f"{', '.join(dict.fromkeys(slot.member.name for slot in slots))}: {why}")

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


def _outcome(slot: Slot) -> Candidate:
    """Return the answer; a transport of the user's may raise also where it only reckons a price."""
    assert slot.task is not None  # noqa: S101 - whoever has an outcome was asked
    error = slot.task.exception()
    if error is None:
        return slot.task.result()
    if not isinstance(error, Exception):
        raise error
    return failed(slot.member, as_member_error(error, slot.member), cost=None, attempts=slot.tally.attempts)
