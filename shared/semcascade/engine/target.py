"""The last tier: its answer, whole or in pieces, and what happens when it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Literal

from semcascade.decision import Result, TierRecord
from semcascade.engine.attempts import ask, left
from semcascade.engine.query import Inquiry
from semcascade.engine.streams import ask_in_pieces
from semcascade.errors import MemberBudgetError, MemberError, NotAskedError
from semcascade.messages import Candidate
from semcascade.transport.base import Delta
from semcascade.transport.recorded import whole

__all__ = ["TargetRun"]


class TargetRun:
    """One query at the member that always answers.

    Args:
        inquiry: The query.
    """

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry, self._member = inquiry, inquiry.target
        self._transport, self._patience = inquiry.transport(self._member), inquiry.patience(self._member)
        self._asked = time.monotonic()
        if inquiry.only is not None or self._stand_in("on_target_failure") is None:
            inquiry.guard.ask_at_all_events(self._member)

    async def complete(self) -> Result:
        """Return the answer.

        Raises:
            CascadeError: If there is none, and nothing may stand in.
        """
        with self._recording_departure():
            candidate = await ask(self._transport, self._member, self._inquiry.request, self._patience)
        return self._finish(candidate)

    async def stream(self) -> AsyncGenerator[Delta | Result, None]:
        """Yield the pieces of the answer as they come, and at last the result.

        Raises:
            CascadeError: If there is none, and nothing may stand in; or if it broke off behind its first piece.
        """
        begun, candidate = False, None
        with self._recording_departure():
            pieces = ask_in_pieces(self._transport, self._member, self._inquiry.request, self._patience)
            async with aclosing(pieces) as items:
                async for item in items:
                    if isinstance(item, Candidate):
                        candidate = item
                        continue
                    begun = True
                    if item.text or item.tool_calls or item.reasoning:
                        self._inquiry.note_first_token()
                    yield item
        assert candidate is not None  # noqa: S101 - the target's stream ends with its candidate
        result = self._finish(candidate, broke_off=begun)
        if not begun:
            yield whole(result.candidate)
        yield result

    @contextmanager
    def _recording_departure(self) -> Iterator[None]:
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._record(left(self._transport, self._member))
            raise

    def _finish(self, candidate: Candidate, *, broke_off: bool = False) -> Result:
        record = self._record(candidate)
        if candidate.failure is None:
            return self._inquiry.answered(candidate, record.name, record.reason)
        if broke_off:  # its pieces are out, so no other answer can stand in
            message = f"the answer of {candidate.member} broke off"
            raise self._inquiry.given_up(message, candidate.failure) from candidate.failure
        return self._fall_back(candidate.failure)

    def _record(self, candidate: Candidate) -> TierRecord:
        record = TierRecord(
            self._inquiry.config.tiers[-1].name,
            (candidate,),
            accepted=candidate.ok,
            reason=self._why() if candidate.ok else _failed(candidate),
            chosen=0 if candidate.ok else None,
            latency_s=time.monotonic() - self._asked,
        )
        self._inquiry.records.append(record)
        return record

    def _why(self) -> str:
        if self._inquiry.plan.notes and not self._inquiry.records:
            return f"straight to {self._member.name}: {'; '.join(self._inquiry.plan.notes)}"
        if self._inquiry.only is not None:
            return f"{self._member.name} was asked for by name"
        if not self._inquiry.records:
            return f"{self._member.name} answers every query"
        return f"deferred to {self._member.name}: {self._inquiry.records[-1].reason}"

    def _fall_back(self, error: MemberError) -> Result:
        """Return the best rejected answer where the configuration allows it; else raise."""
        over_budget = isinstance(error, MemberBudgetError)
        record = self._stand_in("on_budget" if over_budget else "on_target_failure")
        if record is not None and record.chosen is not None:
            answer = record.candidates[record.chosen]
            why = "was not asked, as a cap leaves no room" if over_budget else "failed"
            reason = f"{self._member.name} {why}; the best rejected answer, of {answer.member}, stands in"
            return self._inquiry.answered(answer, record.name, reason, fallback=True)
        message = "no member answered" if self._inquiry.records[:-1] else "the member did not answer"
        raise self._inquiry.given_up(message, error)

    def _stand_in(self, rule: Literal["on_budget", "on_target_failure"]) -> TierRecord | None:
        """Return the tier whose rejected answer may stand in, if any."""
        if getattr(self._inquiry.config, rule) != "ensemble":
            return None
        return next((record for record in reversed(self._inquiry.records) if record.chosen is not None), None)


def _failed(candidate: Candidate) -> str:
    asked = not isinstance(candidate.failure, NotAskedError)
    return f"{candidate.member} {'failed' if asked else 'was not asked'}"
