"""Whether queries are still what a policy was fitted on: acceptance rate and scores, then and now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from semcascade.deferral.policy import BINS, Policy, Reference
from semcascade.deferral.sequence import LossEstimate
from semcascade.errors import ConfigError

__all__ = ["FEW_ROWS", "Drift", "StartDrift", "TierCounts", "TierDrift", "compare", "drift_of", "score_bin"]

FEW_ROWS = 50
"""Fewer rows say nothing about a distribution."""

_LEAST_CHANGE = 0.05
"""A change of the acceptance rate that is worth telling."""

_LEAST_PSI = 0.1
"""A population stability index from which a shift is commonly called moderate."""


@dataclass(frozen=True, slots=True)
class TierCounts:
    """How a tier has scored since.

    Attributes:
        rows: Queries that reached the tier and were scored.
        accepted: How many of them it accepted.
        histogram: How many had which score, in bins of equal width from 0 to 1.
        passed: Queries that a router let start behind the tier, so that it was not asked.
    """

    rows: int = 0
    accepted: int = 0
    histogram: tuple[int, ...] = (0,) * BINS
    passed: int = 0

    def passed_by(self) -> TierCounts:
        """Return the counts with one more query that started behind the tier."""
        return replace(self, passed=self.passed + 1)

    def after(self, score: float | None, *, accepted: bool) -> TierCounts:
        """Return the counts with one more query; a score of None is undefined and stands in no bin."""
        histogram = self.histogram
        if score is not None:
            place = score_bin(score)
            histogram = (*histogram[:place], histogram[place] + 1, *histogram[place + 1 :])
        return TierCounts(self.rows + 1, self.accepted + accepted, histogram, self.passed)


@dataclass(frozen=True, slots=True)
class TierDrift:
    """How a tier's queries differ from those that its policy was fitted on.

    Attributes:
        rows: Queries since.
        acceptance_rate: Share of them that was accepted; None before the first.
        expected: The same on the rows of the fit.
        p_acceptance: Probability of such a difference, or a larger one, if nothing had changed.
        psi: Population stability index of the scores: Σ (q - p) ln(q / p) over the bins; 0 for the same.
        p_scores: Probability of such a distance between the distributions, or a larger one, if nothing had changed.
        verdict: "stable", "drifted", or "too few" to say.
        reasons: What drifted.
    """

    rows: int
    acceptance_rate: float | None
    expected: float
    p_acceptance: float
    psi: float
    p_scores: float
    verdict: str
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class StartDrift:
    """How many queries start behind the first tier, then and now.

    Attributes:
        queries: Queries since, those that start at the first tier as far as they were scored.
        later: Share of them that a router let start later; None before the first.
        expected: The same on the rows of the fit.
        p: Probability of such a difference, or a larger one, if nothing had changed.
        verdict: "stable", "drifted", or "too few" to say.
    """

    queries: int
    later: float | None
    expected: float
    p: float
    verdict: str

    @property
    def reason(self) -> str:
        """What was found, in a sentence."""
        return f"{self.later or 0:.0%} start behind the first tier, {self.expected:.0%} when it was fitted"


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether queries are still what a policy was fitted on, and whether it still keeps what it promises.

    Attributes:
        tiers: One for each tier of the policy that knows how its rows were scored.
        loss: What audits say about the loss of accepted answers; None where there were none.
        limit: The most that may be lost, per accepted answer; None where nothing says so.
        loss_verdict: "kept" where the whole interval is within the limit, "broken" where it is beyond, "open" where
            the audits do not tell yet, "unknown" without a limit or without audits.
        verdict: "drifted" if any tier has or the limit is broken, else "stable", or "too few" to say.
        reasons: What drifted, in a sentence each.
        starts: Where queries start, where the policy has a router.
    """

    tiers: tuple[TierDrift, ...]
    loss: LossEstimate | None
    limit: float | None
    loss_verdict: str
    verdict: str
    reasons: tuple[str, ...]
    starts: StartDrift | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def drift_of(
    policy: Policy,
    counts: Sequence[TierCounts],
    loss: LossEstimate | None = None,
    *,
    max_loss: float | None = None,
    alpha: float = 0.01,
) -> Drift:
    """Hold what a cascade has done since against its policy.

    Args:
        policy: The policy that decides.
        counts: How each of its tiers has scored since, in order.
        loss: What audits say, in the terms of what the policy promises; see `semcascade.deferral.losses`.
        max_loss: The most that may be lost per query; what the policy is certified for unless given.
        alpha: As of `compare`.

    Raises:
        ConfigError: If `max_loss` or `alpha` is no probability.
    """
    for name, share in (("max_loss", max_loss), ("alpha", alpha)):
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"expected a number from 0 to 1, got {share}", field=name)
    tiers = tuple(
        compare(tier.reference, found, alpha=alpha)
        for tier, found in zip(policy.tiers, counts, strict=False)
        if tier.reference is not None
    )
    audited = loss if loss is not None and loss.audits else None
    limit = _limit(policy, counts, max_loss)
    loss_verdict = "unknown"
    if audited is not None and limit is not None:
        loss_verdict = "broken" if audited.low > limit else "kept" if audited.high <= limit else "open"
    starts = _starts(policy, counts[0], alpha) if counts else None
    named = [f"tier {number}: " if len(tiers) > 1 else "" for number in range(1, len(tiers) + 1)]
    reasons = [f"{name}{reason}" for name, tier in zip(named, tiers, strict=True) for reason in tier.reasons]
    if starts is not None and starts.verdict == "drifted":
        reasons.insert(0, starts.reason)
    if loss_verdict == "broken" and audited is not None:
        reasons.append(f"accepted answers lose {audited.low:.3f} or more, at most {limit:.3f} is allowed")
    told = [part.verdict for part in (*tiers, starts) if part is not None and part.verdict != "too few"]
    verdict = "drifted" if reasons else "stable" if told or loss_verdict == "kept" else "too few"
    return Drift(tiers, audited, limit, loss_verdict, verdict, tuple(reasons), starts)


def _starts(policy: Policy, first: TierCounts, alpha: float) -> StartDrift | None:
    """Hold where queries start against the rows of the fit; a change counts as one of acceptance does."""
    router = policy.router
    if router is None or not router.starts:
        return None
    queries, expected = first.rows + first.passed, 1 - router.starts[0]
    later = first.passed / queries if queries else None
    p = _two_proportions(later or 0.0, queries, expected, router.rows)
    changed = later is not None and p < alpha and abs(later - expected) >= _LEAST_CHANGE
    few = min(queries, router.rows) < FEW_ROWS
    return StartDrift(queries, later, expected, p, "too few" if few else "drifted" if changed else "stable")


def _limit(policy: Policy, counts: Sequence[TierCounts], max_loss: float | None) -> float | None:
    """Return the most that an accepted answer may lose on average.

    A promise about all queries allows accepted ones so much more as they are fewer.
    """
    rows, accepted = (counts[0].rows + counts[0].passed if counts else 0), sum(one.accepted for one in counts)
    share = accepted / rows if rows else 1.0
    if max_loss is not None:
        return min(1.0, max_loss / share) if share else None
    limits = [tier.certificate.limit for tier in policy.tiers if tier.certificate and tier.certificate.certified]
    if not limits or policy.certificate is None:
        return None
    if policy.certificate.claim in ("joint", "graded"):  # shared out among the tiers
        return min(1.0, sum(limits) / share) if share else None
    return limits[0]


def score_bin(score: float) -> int:
    """Return the bin of a score in [0, 1]; 1 belongs to the last one.

    >>> score_bin(0.0), score_bin(0.05), score_bin(1.0)
    (0, 1, 19)
    """
    return min(int(score * BINS), BINS - 1)


def compare(reference: Reference, counts: TierCounts, *, alpha: float = 0.01) -> TierDrift:
    """Hold what a tier has done since against the rows of its fit.

    A change is told where it is larger than chance makes it (two-sided, by `alpha`) and large enough to matter: 5
    points of acceptance, or a stability index of 0.1. Acceptance is compared by the normal test for two proportions,
    scores by the two-sample Kolmogorov-Smirnov distance with the asymptotic distribution (Stephens 1970), which is
    cautious for scores in bins.

    Args:
        reference: The rows of the fit.
        counts: The queries since.
        alpha: Probability, per look, that an unchanged stream is called drifted for one of the two.
    """
    if counts.rows == 0:
        return TierDrift(0, None, reference.acceptance_rate, 1.0, 0.0, 1.0, "too few")
    rate = counts.accepted / counts.rows
    p_acceptance = _two_proportions(rate, counts.rows, reference.acceptance_rate, reference.rows)
    psi, p_scores = (
        _stability(reference.histogram, counts.histogram),
        _kolmogorov(reference.histogram, counts.histogram),
    )
    reasons = []
    if p_acceptance < alpha and abs(rate - reference.acceptance_rate) >= _LEAST_CHANGE:
        reasons.append(f"{rate:.0%} accepted, {reference.acceptance_rate:.0%} when it was fitted")
    if p_scores < alpha and psi >= _LEAST_PSI:
        reasons.append(f"scores are distributed otherwise (stability index {psi:.2f})")
    few = min(counts.rows, reference.rows) < FEW_ROWS
    verdict = "too few" if few else "drifted" if reasons else "stable"
    reported = () if few else tuple(reasons)
    return TierDrift(counts.rows, rate, reference.acceptance_rate, p_acceptance, psi, p_scores, verdict, reported)


def _two_proportions(first: float, n: int, second: float, m: int) -> float:
    """Return the two-sided p-value of the pooled normal test."""
    if n == 0 or m == 0:
        return 1.0
    pooled = (first * n + second * m) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return 1.0 if spread == 0 else math.erfc(abs(first - second) / spread / math.sqrt(2))


def _stability(expected: Sequence[int], found: Sequence[int]) -> float:
    """Return the population stability index; every bin counts half a row more, so that empty ones do no harm."""
    p, q = (np.asarray(counts, dtype=np.float64) + 0.5 for counts in (expected, found))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def _kolmogorov(expected: Sequence[int], found: Sequence[int]) -> float:
    """Return the asymptotic p-value of the two-sample Kolmogorov-Smirnov distance."""
    n, m = sum(expected), sum(found)
    if n == 0 or m == 0:
        return 1.0
    distance = float(np.abs(np.cumsum(expected) / n - np.cumsum(found) / m).max())
    effective = math.sqrt(n * m / (n + m))
    scaled = (effective + 0.12 + 0.11 / effective) * distance
    if scaled < 0.2:
        return 1.0
    tail = sum((-1.0) ** (k - 1) * math.exp(-2.0 * k * k * scaled * scaled) for k in range(1, 101))
    return min(1.0, max(0.0, 2.0 * tail))
