"""The last tier: its answer, whole or in pieces, and what happens when it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from semcascade.decision import FALLBACK, Result, TierRecord
from semcascade.engine.attempts import Tally
from semcascade.engine.departures import LEFT, cut_short, mean_usage
from semcascade.engine.query import Inquiry
from semcascade.engine.speculation import Speculation
from semcascade.engine.streams import ask_in_pieces
from semcascade.engine.tier import TierRun
from semcascade.errors import MemberBudgetError, NotAskedError
from semcascade.member import Member
from semcascade.messages import Candidate
from semcascade.transport.base import Delta
from semcascade.transport.recorded import whole

__all__ = ["TargetRun"]


class TargetRun:
    """One query at the member that always answers, and at those that answer in its place when it fails.

    Args:
        inquiry: The query.
        early: The target's request, perhaps sent before it was known to be needed.
    """

    def __init__(self, inquiry: Inquiry, early: Speculation) -> None:
        self._inquiry, self._early = inquiry, early
        self._chain = (inquiry.target,) if inquiry.only is not None else (inquiry.target, *inquiry.config.fallback)
        self._failed: list[Candidate] = []
        self._asked = time.monotonic()
        alone = inquiry.only is not None or (self._best() is None and not inquiry.skipped)
        if alone or inquiry.config.on_target_failure == "raise":
            inquiry.guard.ask_at_all_events(self._chain[-1])

    async def complete(self) -> Result:
        """Return the answer.

        Raises:
            CascadeError: If there is none, and nothing may stand in.
        """
        for member in self._chain:
            taken = self._takes(member)
            with self._recording_departure(member, taken) as tally:
                asked = self._early.answer() if taken else self._inquiry.ask(member, self._inquiry.request, tally)
                candidate = await asked
            record = self._record(member, candidate)
            if candidate.failure is None:
                return self._answered(record)
        return await self._rescued() or self._stand_in()

    async def stream(self) -> AsyncGenerator[Delta | Result, None]:
        """Yield the pieces of the answer as they come, and at last the result.

        Raises:
            CascadeError: If there is none, and nothing may stand in; or if it broke off behind its first piece.
        """
        begun = False
        for member in self._chain:
            candidate = None
            taken = self._takes(member)
            with self._recording_departure(member, taken) as tally:
                async with aclosing(self._early.pieces() if taken else self._pieces(member, tally)) as items:
                    async for item in items:
                        if isinstance(item, Candidate):
                            candidate = item
                            continue
                        begun = True
                        if item.text or item.tool_calls or item.reasoning:
                            self._inquiry.note_first_token()
                        yield item
            assert candidate is not None  # noqa: S101 - a member's stream ends with its candidate
            record = self._record(member, candidate)
            if candidate.failure is None:
                yield self._answered(record)
                return
            if begun:  # its pieces are out, so no other answer can stand in
                message = f"the answer of {candidate.member} broke off"
                raise self._inquiry.given_up(message, candidate.failure) from candidate.failure
        result = await self._rescued() or self._stand_in()
        yield whole(result.candidate)
        yield result

    def _takes(self, member: Member) -> bool:
        """Whether the member is being asked already."""
        return member is self._chain[0] and self._early.take()

    async def _pieces(self, member: Member, tally: Tally) -> AsyncGenerator[Delta | Candidate, None]:
        inquiry = self._inquiry
        if id(member) in inquiry.unready:
            yield inquiry.unready[id(member)]
            return
        pieces = ask_in_pieces(inquiry.transport(member), member, inquiry.request, inquiry.patience(member), tally)
        async with aclosing(pieces) as items:
            async for item in items:
                yield item

    @contextmanager
    def _recording_departure(self, member: Member, taken: bool) -> Iterator[Tally]:
        tally = self._early.tally if taken else Tally()
        try:
            yield tally
        except (asyncio.CancelledError, GeneratorExit):
            usage = mean_usage(candidate for record in self._inquiry.records for candidate in record.candidates)
            seconds, transport = time.monotonic() - self._asked, self._inquiry.transport(member)
            self._record(member, cut_short(transport, member, tally, LEFT, usage, latency_s=seconds))
            raise

    def _record(self, member: Member, candidate: Candidate) -> TierRecord:
        first = member is self._chain[0]
        record = TierRecord(
            self._inquiry.config.tiers[-1].name if first else FALLBACK,
            (candidate,),
            accepted=candidate.ok,
            reason=self._why(member) if candidate.ok else _failed(candidate),
            chosen=0 if candidate.ok else None,
            latency_s=time.monotonic() - self._asked,
            final=True,
        )
        self._asked = time.monotonic()
        self._inquiry.records.append(record)
        if candidate.failure is not None:
            self._failed.append(candidate)
        return record

    def _answered(self, record: TierRecord) -> Result:
        return self._inquiry.answered(
            record.candidates[0], record.name, record.reason, fallback=record.name == FALLBACK
        )

    def _why(self, member: Member) -> str:
        if self._failed:
            return f"{', '.join(map(_failed, self._failed))}; {member.name} answered in its place"
        if self._inquiry.plan.notes and not self._inquiry.records:
            return f"straight to {member.name}: {'; '.join(self._inquiry.plan.notes)}"
        if self._inquiry.only is not None:
            return f"{member.name} was asked for by name"
        route = self._inquiry.route
        if route is not None and route.skipped and not self._inquiry.records:
            return f"straight to {member.name}: {route.reason}"
        if not self._inquiry.records:
            return f"{member.name} answers every query"
        return f"deferred to {member.name}: {self._inquiry.records[-1].reason}"

    def _best(self) -> TierRecord | None:
        """Return the tier whose rejected answer may stand in, if any says anything."""
        records = reversed(self._inquiry.records)
        return next((one for one in records if one.chosen is not None and _says(one.candidates[one.chosen])), None)

    async def _rescued(self) -> Result | None:
        """Ask the tiers that the router left out: no query is lost while somebody may answer it."""
        for tier, scorer in self._inquiry.skipped:
            record = await TierRun(self._inquiry, tier, scorer).run()
            if record.accepted and record.chosen is not None:
                reason = f"{', '.join(map(_failed, self._failed))}; {record.reason}"
                return self._inquiry.answered(record.candidates[record.chosen], tier.name, reason, fallback=True)
        return None

    def _stand_in(self) -> Result:
        """Return the best rejected answer where the configuration allows it; else raise."""
        failures = [candidate.failure for candidate in self._failed if candidate.failure is not None]
        config, record = self._inquiry.config, self._best()
        rules = {
            config.on_budget if isinstance(failure, MemberBudgetError) else config.on_target_failure
            for failure in failures
        }
        if record is not None and record.chosen is not None and rules == {"ensemble"}:
            answer = record.candidates[record.chosen]
            why = ", ".join(map(_failed, self._failed))
            reason = f"{why}; the best rejected answer, of {answer.member}, stands in"
            return self._inquiry.answered(answer, record.name, reason, fallback=True)
        asked_others = len(self._inquiry.records) > 1
        self._inquiry.failures += failures[:-1]
        message = "no member answered" if asked_others else "the member did not answer"
        raise self._inquiry.given_up(message, failures[-1])


def _says(answer: Candidate) -> bool:
    return bool(answer.text.strip() or answer.tool_calls)


def _failed(candidate: Candidate) -> str:
    if isinstance(candidate.failure, MemberBudgetError):
        return f"{candidate.member} was not asked, as a cap leaves no room"
    asked = not isinstance(candidate.failure, NotAskedError)
    return f"{candidate.member} {'failed' if asked else 'was not asked'}"
