"""One query on its way through the tiers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from semcascade.config import Member
from semcascade.decision import Decision, Result
from semcascade.engine.query import Inquiry, Plan
from semcascade.engine.readiness import make_ready
from semcascade.engine.speculation import Speculation
from semcascade.engine.sticky import Turn
from semcascade.engine.target import TargetRun
from semcascade.engine.tier import TierRun
from semcascade.messages import Request
from semcascade.transport.base import Delta
from semcascade.transport.recorded import whole

__all__ = ["QueryRun"]


class QueryRun:
    """One query: asks tier after tier until one is accepted; the last one always answers.

    Args:
        plan: What all queries share.
        request: What is asked.
        only: The one member to ask, instead of the cascade.
        turn: Which turn of a conversation it is, where that matters.
    """

    def __init__(self, plan: Plan, request: Request, only: Member | None = None, *, turn: Turn | None = None) -> None:
        self.plan, self.turn = plan, turn
        self._inquiry = Inquiry(plan, request, only=only)

    @property
    def decision(self) -> Decision | None:
        """The record, once there is an answer or an error, or nobody waits for one any more."""
        return self._inquiry.decision

    @property
    def request(self) -> Request:
        """What is asked."""
        return self._inquiry.request

    async def complete(self) -> Result:
        """Return the answer.

        Raises:
            CascadeError: If no path led to an answer.
            MemberError: If a member is sure to fail (no key, unknown model), before anything is spent.
        """
        with self._inquiry.recording_departure():
            async with Speculation(self._inquiry) as early:
                accepted = await self._cheap_tiers(early)
                return accepted or await TargetRun(self._inquiry, early).complete()

    async def stream(self) -> AsyncGenerator[Delta | Result, None]:
        """Yield the pieces of the one answer that is returned, and at last the result.

        An accepted answer comes in one piece; a deferred query streams the target's pieces as they come.
        """
        self._inquiry.in_pieces = True
        with self._inquiry.recording_departure():
            async with Speculation(self._inquiry) as early:
                accepted = await self._cheap_tiers(early)
                if accepted is None:
                    async with aclosing(TargetRun(self._inquiry, early).stream()) as items:
                        async for item in items:
                            yield item
                    return
            yield whole(accepted.candidate)
            yield accepted

    async def _cheap_tiers(self, early: Speculation) -> Result | None:
        """Ask every tier but the last; return the first accepted answer."""
        inquiry = self._inquiry
        await make_ready(inquiry)
        if inquiry.only is not None:
            return None
        start = await self._enter()
        if start < len(inquiry.plan.scorers):
            early.begin()
        for tier, scorer in zip(inquiry.config.tiers[start:-1], inquiry.plan.scorers[start:], strict=True):
            doubted = early if tier is inquiry.config.tiers[-2] else None
            record = await TierRun(inquiry, tier, scorer, doubted).run()
            if record.accepted and record.chosen is not None:
                early.drop()
                return inquiry.answered(record.candidates[record.chosen], tier.name, record.reason)
        return None

    async def _enter(self) -> int:
        """Return the number of the tier to start at."""
        inquiry, entry = self._inquiry, self.plan.entry
        if entry is None or not inquiry.plan.scorers:
            return 0
        target = inquiry.target
        well = id(target) not in inquiry.unready and inquiry.guard.unwell(target) is None
        names = [tier.name for tier in inquiry.config.tiers]
        inquiry.route = await entry.route(
            inquiry.request, names, target_well=well, seconds=inquiry.deadline.remaining()
        )
        start = len(inquiry.route.skipped)
        inquiry.skipped = list(zip(inquiry.config.tiers[:start], inquiry.plan.scorers[:start], strict=True))
        return start
