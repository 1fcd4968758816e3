"""The ledger: sums of decisions, and whether the cascade pays for itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from semcascade.decision import Decision, money
from semcascade.deferral.drift import TierCounts
from semcascade.deferral.sequence import LossEstimate, MeanSequence
from semcascade.engine.audit import Audit, MemberSpend
from semcascade.errors import CutShortError
from semcascade.locks import ForkLock
from semcascade.messages import Candidate

__all__ = ["Ledger", "LedgerSummary"]

_SCORING = "scoring"
"""What audits call all that compared answers, as if it were a member."""


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """Sums over every query so far; amounts in US dollars.

    Attributes:
        queries: Queries that were answered, failed, or were left.
        accepted: Queries that a tier before the last one answered.
        deferred: Queries that went to the last tier.
        failed: Queries that nobody answered, or that were left before.
        calls: Requests sent, those that compared answers included.
        cost: What is known to have been spent.
        estimated_cost: The part of `cost` that is an estimate: for calls that were cancelled, as nobody needed them.
        speculated_cost: The part of `cost` that went into asking targets early, in vain.
        unpriced_queries: Queries with a call of unknown price; their known part is not in `cost`.
        compared_queries: Queries of which both the cost and the target's price are known.
        compared_cost: What those queries cost.
        always_target_cost: What the target alone would have cost for them: paid where it was asked, else estimated
            from its prices and the tokens of the answer that was returned.
        shadows: Accepted queries for which the target was asked all the same; their calls and cost count above, too.
        shadow_cost: What is known to have been spent on that.
        unpriced_shadows: Those of unknown price.
        skipped: Queries that a router let start later, so that the first tier was not asked.
    """

    queries: int = 0
    accepted: int = 0
    deferred: int = 0
    failed: int = 0
    calls: int = 0
    cost: float = 0.0
    estimated_cost: float = 0.0
    speculated_cost: float = 0.0
    unpriced_queries: int = 0
    compared_queries: int = 0
    compared_cost: float = 0.0
    always_target_cost: float = 0.0
    shadows: int = 0
    shadow_cost: float = 0.0
    unpriced_shadows: int = 0
    skipped: int = 0

    @property
    def deferral_rate(self) -> float | None:
        """Share of answered queries that went to the last tier, or None before the first."""
        answered = self.accepted + self.deferred
        return self.deferred / answered if answered else None

    @property
    def savings(self) -> float | None:
        """What was saved against always asking the target; negative where the cascade loses money."""
        return self.always_target_cost - self._own_cost if self.compared_queries else None

    @property
    def cost_ratio(self) -> float | None:
        """Cost as a share of always asking the target, or None where unknown."""
        return self._own_cost / self.always_target_cost if self.always_target_cost > 0 else None

    @property
    def _own_cost(self) -> float:
        return self.compared_cost + self.shadow_cost

    def to_dict(self) -> dict[str, Any]:
        """Return the sums as plain data."""
        return asdict(self) | {
            "deferral_rate": self.deferral_rate,
            "savings": self.savings,
            "cost_ratio": self.cost_ratio,
        }

    def __str__(self) -> str:
        if self.deferral_rate is None:
            return f"{self.queries} queries, none answered"
        known = money(self.cost if self.cost or not self.unpriced_queries else None)
        text = f"{self.queries} queries, {self.deferral_rate:.0%} deferred, {self.calls} calls, {known}"
        if self.skipped:
            text += f", {self.skipped} without asking the first tier"
        if self.estimated_cost:
            text += f" ({money(self.estimated_cost)} of it estimated)"
        if self.speculated_cost:
            text += f", {money(self.speculated_cost)} of it for targets that were not needed"
        if self.unpriced_queries and self.cost:
            text += f" and {self.unpriced_queries} queries of unknown cost"
        if self.savings is not None and self.cost_ratio is not None:
            verb = "saved" if self.savings >= 0 else "LOST"
            text += (
                f"; {verb} {money(abs(self.savings))} against always asking the target ({self.cost_ratio:.0%} of it)"
            )
        return text


@dataclass(frozen=True, slots=True)
class _Sums:
    """What audits are made from: sums over the queries that count, and what everyone took in all queries."""

    queries: int = 0
    deferred: int = 0
    cost: float = 0.0
    alone: float = 0.0
    to_target: float = 0.0
    speculated: float = 0.0
    spent: Mapping[str, MemberSpend] = field(default_factory=dict)

    def plus(self, decision: Decision, cost: float | None) -> _Sums:
        spent, alone, to_target = _spent(self.spent, decision), decision.always_target_cost, decision.target_cost
        if cost is None or alone is None or to_target is None:
            return dataclasses.replace(self, spent=spent)
        return _Sums(
            self.queries + 1,
            self.deferred + (not decision.accepted),
            self.cost + cost,
            self.alone + alone,
            self.to_target + to_target,
            self.speculated + (decision.speculated_cost or 0.0),
            spent,
        )


class Ledger:
    """Adds up decisions; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._sums = LedgerSummary(), _Sums()
        self._tiers: dict[str, TierCounts] = {}
        self._losses = MeanSequence()

    def add(self, decision: Decision) -> None:
        """Add one query."""
        cost, alone = decision.cost, decision.always_target_cost
        compared = cost is not None and alone is not None
        with self._lock:
            was, sums = self._sums
            summary = dataclasses.replace(
                was,
                queries=was.queries + 1,
                accepted=was.accepted + (decision.accepted and bool(decision.member)),
                deferred=was.deferred + (not decision.accepted and bool(decision.member)),
                failed=was.failed + (not decision.member),
                calls=was.calls + decision.calls,
                cost=was.cost + (cost or 0.0),
                estimated_cost=was.estimated_cost + (decision.estimated_cost if cost is not None else 0.0),
                speculated_cost=was.speculated_cost + ((decision.speculated_cost or 0.0) if cost is not None else 0.0),
                unpriced_queries=was.unpriced_queries + (cost is None),
                compared_queries=was.compared_queries + compared,
                compared_cost=was.compared_cost + (cost if cost is not None and compared else 0.0),
                skipped=was.skipped + (decision.route is not None and bool(decision.route.skipped)),
                always_target_cost=was.always_target_cost + (alone if alone is not None and compared else 0.0),
            )
            self._sums = summary, sums.plus(decision, cost)
            self._tiers = {**self._tiers, **_scored(self._tiers, decision)}

    def add_shadow(self, answer: Candidate, loss: float | None) -> None:
        """Add what asking the target all the same, for an audit, took and showed.

        Args:
            answer: The target's answer, or its failure.
            loss: What accepting the other answer lost, 0 to 1; None where that is not known.
        """
        with self._lock:
            was, sums = self._sums
            summary = dataclasses.replace(
                was,
                calls=was.calls + answer.attempts,
                cost=was.cost + (answer.cost or 0.0),
                shadows=was.shadows + 1,
                shadow_cost=was.shadow_cost + (answer.cost or 0.0),
                unpriced_shadows=was.unpriced_shadows + (answer.cost is None),
            )
            self._sums = summary, sums
            if loss is not None:
                losses = copy.deepcopy(self._losses)
                losses.add(loss)
                self._losses = losses

    def tiers(self) -> dict[str, TierCounts]:
        """Return how each tier has scored so far, by its name."""
        return dict(self._tiers)

    def loss(self) -> LossEstimate:
        """Return what audits so far say about accepted answers."""
        return LossEstimate.of(self._losses)

    def summary(self) -> LedgerSummary:
        """Return the sums so far."""
        return self._sums[0]

    def audit(self) -> Audit:
        """Return whether the cascade has paid for itself so far, and what each member took."""
        summary, sums = self._sums
        if not sums.queries:
            return Audit(left_out=summary.queries, spent=tuple(sums.spent.values()))
        return Audit(
            queries=sums.queries,
            left_out=summary.queries - sums.queries,
            deferral_rate=sums.deferred / sums.queries,
            cheap_cost=(sums.cost - sums.to_target) / sums.queries,
            target_cost=sums.alone / sums.queries,
            spared_cost=(sums.alone - sums.to_target) / sums.queries,
            speculated_cost=sums.speculated / sums.queries,
            spent=tuple(sums.spent.values()),
        )


def _spent(before: Mapping[str, MemberSpend], decision: Decision) -> dict[str, MemberSpend]:
    """Return what everyone has taken with one more query."""
    spent = dict(before)
    for tier in decision.tiers:
        for candidate in tier.candidates:
            own, billed = spent.get(candidate.member) or MemberSpend(candidate.member), candidate.billed
            tokens = billed.input_tokens + billed.output_tokens
            spent[candidate.member] = own.plus(candidate.attempts, candidate.cost, tokens, _failed(candidate))
        if tier.scoring_calls:
            own = spent.get(_SCORING) or MemberSpend(_SCORING)
            spent[_SCORING] = own.plus(tier.scoring_calls, tier.scoring_cost)
    return spent


def _failed(candidate: Candidate) -> int:
    return int(not candidate.ok and not isinstance(candidate.failure, CutShortError))


def _scored(tiers: Mapping[str, TierCounts], decision: Decision) -> dict[str, TierCounts]:
    """Return the counts of the tiers that a decision has scored."""
    skipped = () if decision.route is None else decision.route.skipped
    passed = {name: tiers.get(name, TierCounts()).passed_by() for name in skipped}
    return passed | {
        tier.name: (passed.get(tier.name) or tiers.get(tier.name, TierCounts())).after(
            tier.score, accepted=tier.accepted
        )
        for tier in decision.tiers
        if tier.signal is not None
    }
