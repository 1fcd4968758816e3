"""One tier: what its members answer becomes a record that says accepted or deferred."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import time
from collections.abc import Sequence

from semcascade.config import Member, Tier
from semcascade.decision import TierRecord
from semcascade.engine.attempts import failed
from semcascade.engine.budget import Spend
from semcascade.engine.fanout import FanOut
from semcascade.engine.query import Inquiry
from semcascade.engine.samples import sample_needs, sampling_notes
from semcascade.engine.scoring import Scored, TierScorer
from semcascade.engine.speculation import Speculation
from semcascade.errors import CutShortError
from semcascade.messages import Candidate
from semcascade.similarity import Query, classify

__all__ = ["TierRun"]


class TierRun:
    """One query in one of the tiers before the last.

    Args:
        inquiry: The query.
        tier: Who is asked.
        scorer: Scores their answers.
        early: Starts the next tier when it is likely to be needed.
    """

    def __init__(self, inquiry: Inquiry, tier: Tier, scorer: TierScorer, early: Speculation | None = None) -> None:
        self._early = early
        self._inquiry, self._tier, self._scorer = inquiry, tier, scorer
        self._started = time.monotonic()
        unready = inquiry.unready
        self._unready = {member.name: unready[id(member)] for member in tier.members if id(member) in unready}
        self._leave_out_unwell()

    async def run(self) -> TierRecord:
        """Ask the tier; add what came of it to the query's records, and return it."""
        inquiry, tier, quorum = self._inquiry, self._tier, self._scorer.quorum
        askable = sum(member.samples for member in tier.members if member.name not in self._unready)
        if askable < quorum:
            candidates = tuple(self._unready.values())
            reason = f"only {askable} of {tier.answers} answers could be asked for, {quorum} are needed"
            return self._keep(self._unscored(candidates, reason))
        with inquiry.guard.held(self._needs()) as refusal:
            if refusal is not None:
                reason = f"skipped, as a cap leaves no room: {refusal.reason}"
                return self._keep(self._unscored(tuple(self._unready.values()), reason))
            fan_out = FanOut(inquiry, tier, self._scorer, self._unready, self._early)
            try:
                await fan_out.run()
            except BaseException:
                self._keep(self._left(fan_out.candidates))
                raise
        try:
            record = await self._judged(fan_out.candidates)
        except BaseException:
            self._keep(self._left(fan_out.candidates))
            raise
        notes = (*fan_out.notes, *sampling_notes(tier, inquiry.request))
        return self._keep(dataclasses.replace(record, notes=(*record.notes, *notes)) if notes else record)

    async def _judged(self, candidates: tuple[Candidate, ...]) -> TierRecord:
        answers = [candidate for candidate in candidates if candidate.ok]
        if len(answers) < self._scorer.quorum:
            reason = f"{len(answers)} of {len(candidates)} answered, {self._scorer.quorum} are needed"
            return self._unscored(candidates, reason)
        query = Query.of(self._inquiry.request, self._inquiry.ask, self._inquiry.embed)
        try:
            async with asyncio.timeout(self._patience()) as limit:
                scored = await self._scorer.score(query, answers, _places(self._tier, answers), self._heard())
        except TimeoutError:
            if not limit.expired():
                raise
            return self._unscored(candidates, "the answers were not compared before the query's deadline")
        return _record(self._tier, candidates, answers, scored, time.monotonic() - self._started)

    def _patience(self) -> float | None:
        """Return the seconds that comparing may take; services that are asked for it see to that themselves."""
        left, similarity = self._inquiry.deadline.remaining(), self._scorer.similarity
        bounded = left < math.inf and not (similarity.remote or similarity.members)
        return max(0.0, left) if bounded else None

    def _heard(self) -> list[Candidate]:
        """Return what a lone answer is held against: what the tiers before said."""
        if self._tier.answers > 1:
            return []
        return [candidate for record in self._inquiry.records for candidate in record.candidates if candidate.ok]

    def _leave_out_unwell(self) -> None:
        """Leave out members whose breaker is open, as those that are not ready."""
        for member in self._tier.members:
            error = None if member.name in self._unready else self._inquiry.guard.unwell(member)
            if error is not None:
                self._unready[member.name] = failed(member, error, attempts=1)

    def _needs(self) -> list[tuple[Member, Spend]]:
        """Return the most that each request may take."""
        inquiry = self._inquiry
        if not inquiry.guard.reckons:
            return []
        return [
            (member, need)
            for member in self._tier.members
            if member.name not in self._unready
            for need in sample_needs(inquiry.transport(member), member, inquiry.request, inquiry.patience(member))
        ]

    def _unscored(self, candidates: tuple[Candidate, ...], reason: str) -> TierRecord:
        chosen, elapsed = _first_usable(self._tier, candidates), time.monotonic() - self._started
        return TierRecord(self._tier.name, candidates, accepted=False, reason=reason, chosen=chosen, latency_s=elapsed)

    def _left(self, candidates: tuple[Candidate, ...]) -> TierRecord:
        elapsed, reason = time.monotonic() - self._started, "left before it was decided"
        return TierRecord(self._tier.name, candidates, accepted=False, reason=reason, latency_s=elapsed)

    def _keep(self, record: TierRecord) -> TierRecord:
        failures = [candidate.failure for candidate in record.candidates]
        self._inquiry.failures += [one for one in failures if one and not isinstance(one, CutShortError)]
        self._inquiry.records.append(record)
        return record


def _first_usable(tier: Tier, candidates: Sequence[Candidate]) -> int | None:
    """Return the answer of the highest priority that says anything, for want of agreement to choose by."""
    priority = {member.name: member.priority for member in tier.members}
    usable = [i for i, candidate in enumerate(candidates) if candidate.ok and not classify(candidate).degenerate]
    return max(usable, key=lambda i: priority[candidates[i].member], default=None)


def _places(tier: Tier, answers: Sequence[Candidate]) -> list[int]:
    """Return the place of each answer among all that the tier asks for, whoever failed."""
    starts = itertools.accumulate((member.samples for member in tier.members), initial=0)
    free = {member.name: itertools.count(start) for member, start in zip(tier.members, starts, strict=False)}
    return [next(free[answer.member]) for answer in answers]


def _record(
    tier: Tier, candidates: tuple[Candidate, ...], answers: list[Candidate], scored: Scored, elapsed: float
) -> TierRecord:
    """Put the scores of the answers back beside all candidates, failures included."""
    places = [index for index, candidate in enumerate(candidates) if candidate.ok]
    agreement: list[float | None] = [None] * len(candidates)
    for place, value in zip(places, scored.agreement, strict=True):
        agreement[place] = value
    chosen = places[scored.choice.index]
    member = answers[scored.choice.index].member
    said = f"accepted {member}, {scored.choice.reason}: " if scored.verdict.accept else ""
    return TierRecord(
        name=tier.name,
        candidates=candidates,
        accepted=scored.verdict.accept,
        reason=f"{said}{scored.signal} {scored.verdict.reason}",
        chosen=chosen,
        signal=scored.signal,
        value=scored.score.value,
        score=scored.score.reliability,
        threshold=scored.verdict.threshold,
        similarity=scored.comparison.method,
        agreement=tuple(agreement),
        entropy=scored.entropy,
        scoring_cost=scored.cost,
        scoring_calls=scored.calls,
        latency_s=elapsed,
        notes=(*scored.comparison.notes, *scored.notes),
    )
