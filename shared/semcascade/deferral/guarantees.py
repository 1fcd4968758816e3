"""Thresholds with guarantees: which one the rows at hand allow, or that none is, and how many more it would take.

All bounds hold for queries exchangeable with the calibration rows, which must be no rows that the scores were fitted
on. Thresholds come from a fixed grid, so that they do not depend on those rows either; walking it in a fixed order
and stopping at the first failure costs no confidence (fixed-sequence testing; Bauer 1991; Angelopoulos et al. 2021,
arXiv 2110.01052; for selective risk Jung et al. 2025, arXiv 2407.18370).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcascade.deferral.binomial import (
    binomial_cdf,
    clopper_pearson_upper,
    critical_counts,
    hoeffding_bentkus,
    items_needed,
)
from semcascade.deferral.certificate import Certificate, Claim
from semcascade.deferral.tables import FloatArray

__all__ = ["GRID", "Certified", "certify_graded", "certify_joint", "certify_selective", "conformal_joint",
           "least_deferral", "promising_start"]  # fmt: skip

GRID: FloatArray = np.linspace(1.0, 0.0, 2001)
"""Thresholds that may be certified, the strictest first."""

LEAST_ACCEPTED = 30
"""A selective bound is not tried on fewer accepted items."""

MOST_ROWS = 10_000_000
"""If it would take more rows than this, more rows do not help."""


@dataclass(frozen=True, slots=True)
class Certified:
    """What came of a certification.

    Attributes:
        threshold: The least threshold that holds the claim, or None where none could be certified.
        certificate: The claim and what it rests on, or how far the rows are from it.
    """

    threshold: float | None
    certificate: Certificate


@dataclass(frozen=True)
class _Walk:
    """How many rows each threshold of the grid accepts, and what is wrong with them."""

    accepted: npt.NDArray[np.int64]
    loss: FloatArray

    @classmethod
    def of(cls, scores: npt.ArrayLike, losses: npt.ArrayLike) -> _Walk:
        scores, losses = np.asarray(scores, dtype=np.float64), np.asarray(losses, dtype=np.float64)
        # A row is first accepted at the first threshold of the grid that its score reaches; NaN never is.
        first = np.searchsorted(-GRID, -scores - 1e-9, side="left")
        first = np.where(np.isfinite(scores), first, len(GRID))
        size = len(GRID) + 1
        accepted = np.cumsum(np.bincount(first, minlength=size)[:-1])
        return cls(accepted, np.cumsum(np.bincount(first, weights=losses, minlength=size)[:-1]))


def least_deferral(base_risk: float, limit: float) -> float:
    """Return the least share of queries that must be deferred for accepted ones to be bad at most at `limit`.

    Even a perfect score must leave out that many: (base_risk - limit) / (1 - limit).

    >>> round(least_deferral(0.2, 0.05), 3)
    0.158
    """
    return max(0.0, (base_risk - limit) / (1.0 - limit))


def conformal_joint(scores: npt.ArrayLike, losses: npt.ArrayLike, limit: float, *, claim: Claim = "joint") -> Certified:
    """Bound the expected loss of accepted answers per query by conformal risk control.

    The threshold is the least at which n/(n+1)·R + 1/(n+1) ≤ limit, R the mean of loss·accepted, which never grows
    with the threshold (Angelopoulos et al. 2022, arXiv 2208.02814). Holds in expectation over calibration rows.

    Args:
        scores: (n,) reliabilities in [0, 1]; NaN is never accepted.
        losses: (n,) 1 for a bad answer and 0 for a good one, or a loss in [0, 1].
        limit: The most that the expected loss may be.
        claim: What the losses are.
    """
    walk, n = _Walk.of(scores, losses), len(np.asarray(scores))
    bound = (walk.loss + 1.0) / (n + 1)
    place = int(np.searchsorted(bound > limit + 1e-12, True)) - 1
    method = "conformal risk control"
    if place < 0:
        needed = int(np.ceil(1.0 / limit)) - 1 - n
        return _refused(claim, limit, None, method, n, needed)
    return _granted(walk, place, claim, limit, None, method, n, float(bound[place]))


def certify_joint(scores: npt.ArrayLike, bad: npt.ArrayLike, limit: float, delta: float) -> Certified:
    """Bound P(accepted and bad) with confidence 1 - delta, by exact binomial tests in a fixed order.

    Args:
        scores: (n,) reliabilities in [0, 1]; NaN is never accepted.
        bad: (n,) whether the answer that would be returned is bad.
        limit: The most that the probability may be.
        delta: Probability, over calibration rows, with which the bound may fail.
    """
    walk, n = _Walk.of(scores, bad), len(np.asarray(scores))
    method = "exact binomial tests in a fixed order"
    place = _last_passed(walk.loss <= critical_counts(n, limit, delta)[n])
    if place is None:
        return _refused("joint", limit, delta, method, n, items_needed(0, limit, delta) - n)
    bound = clopper_pearson_upper(int(walk.loss[place]), n, delta)
    return _granted(walk, place, "joint", limit, delta, method, n, bound)


def certify_graded(scores: npt.ArrayLike, losses: npt.ArrayLike, limit: float, delta: float) -> Certified:
    """Bound the expected loss of accepted answers per query with confidence 1 - delta, for losses of any size.

    Args:
        scores: (n,) reliabilities in [0, 1]; NaN is never accepted.
        losses: (n,) how much worse than the target's the answer is, 0 to 1.
        limit: The most that the expected loss may be.
        delta: Probability, over calibration rows, with which the bound may fail.
    """
    walk, n = _Walk.of(scores, losses), len(np.asarray(scores))
    method = "Hoeffding-Bentkus tests in a fixed order"
    sums = np.unique(walk.loss)  # the p-value rises with the loss, so that the last one to pass is found by halving
    passes = bisect_left(
        range(len(sums)), True, key=lambda i: hoeffding_bentkus(float(sums[i]) / max(n, 1), n, limit) > delta
    )
    place = _last_passed(walk.loss <= sums[passes - 1]) if passes else None
    if place is None:
        # exp(-n·h(0, limit)) = (1 - limit)^n: without any loss, Hoeffding's bound is the one that passes first.
        return _refused("graded", limit, delta, method, n, int(np.ceil(np.log(delta) / np.log1p(-limit))) - n)
    bound = float(walk.loss[place]) / n
    return _granted(walk, place, "graded", limit, delta, method, n, max(bound, 0.0), observed=True)


def certify_selective(
    scores: npt.ArrayLike,
    bad: npt.ArrayLike,
    limit: float,
    delta: float,
    *,
    start: float | None = None,
    claim: Claim = "selective",
) -> Certified:
    """Bound P(bad | accepted) with confidence 1 - delta, by exact binomial tests in a fixed order.

    The risk of what is accepted need not fall with the threshold, so the walk stops at the first threshold that
    fails. It begins where enough rows are accepted for a test that could succeed, or at `start`.

    Args:
        scores: (n,) reliabilities in [0, 1]; NaN is never accepted.
        bad: (n,) whether the answer that would be returned is bad, or clearly worse than the target's.
        limit: The most that the share may be.
        delta: Probability, over calibration rows, with which the bound may fail.
        start: The threshold to begin at, found on other rows; see `promising_start`.
        claim: "selective" or "regret", by what `bad` means.
    """
    walk, n = _Walk.of(scores, bad), len(np.asarray(scores))
    method = "exact binomial tests in a fixed order"
    least = max(LEAST_ACCEPTED, items_needed(0, limit, delta))
    tried = walk.accepted >= least
    if start is not None:
        tried &= start + 1e-9 >= GRID
    passed = walk.loss <= critical_counts(n, limit, delta)[walk.accepted]
    first = int(np.argmax(tried)) if tried.any() else None
    ran = None if first is None else _last_passed(passed[first:])
    if first is None or ran is None:
        return _refused(claim, limit, delta, method, n, _more_rows(walk, n, limit, delta))
    place = first + ran
    bound = clopper_pearson_upper(int(walk.loss[place]), int(walk.accepted[place]), delta)
    return _granted(walk, place, claim, limit, delta, method, n, bound)


def promising_start(scores: npt.ArrayLike, bad: npt.ArrayLike, limit: float, delta: float, rows: int) -> float | None:
    """Return the threshold at which a selective certification of other rows most likely succeeds.

    Args:
        scores: (n,) reliabilities of rows that will not be used to certify.
        bad: (n,) whether their answers are bad.
        limit: The most that the share of bad ones may be.
        delta: Probability with which the bound may fail.
        rows: How many rows will be used to certify.

    Returns:
        The threshold, or None where none looks better than the strictest one.
    """
    walk, n = _Walk.of(scores, bad), len(np.asarray(scores))
    if n == 0:
        return None
    expected = walk.accepted * (rows / n)
    risk = (walk.loss + 0.5) / (walk.accepted + 1.0)
    changes = np.unique(walk.accepted, return_index=True)[1]
    expected, risk = np.floor(expected[changes]), risk[changes]
    evidence = [
        binomial_cdf(round(rate * count), count, limit) if count >= 1 else 1.0
        for rate, count in zip(risk, expected, strict=True)
    ]
    best = int(np.argmin(evidence))
    return float(GRID[changes[best]]) if evidence[best] < 1.0 else None


def _last_passed(passed: npt.NDArray[np.bool_]) -> int | None:
    """Return the last place of the first run of passed tests, None where the very first fails."""
    failed = np.flatnonzero(~passed)
    place = (int(failed[0]) if len(failed) else len(passed)) - 1
    return None if place < 0 else place


def _more_rows(walk: _Walk, n: int, limit: float, delta: float) -> int | None:
    """Return about how many more such rows would let some threshold pass, None where none would."""
    risk, share = (walk.loss + 0.5) / (walk.accepted + 1.0), walk.accepted / max(n, 1)
    worth = np.flatnonzero((risk < limit) & (walk.accepted > 0))
    if not len(worth):
        return None
    needed = []
    for place in worth[np.unique(np.linspace(0, len(worth) - 1, 20).astype(int))]:

        def passes(rows: int, share: float = float(share[place]), rate: float = float(risk[place])) -> bool:
            accepted = math.floor(share * rows)
            return binomial_cdf(math.ceil(rate * accepted), accepted, limit) <= delta if accepted else False

        if passes(MOST_ROWS):
            needed.append(n + bisect_left(range(n, MOST_ROWS), True, key=passes))
    return min(needed) - n if needed else None


def _granted(
    walk: _Walk, place: int, claim: Claim, limit: float, delta: float | None, method: str, n: int, bound: float,
    *, observed: bool = False,
) -> Certified:  # fmt: skip
    accepted = int(walk.accepted[place])
    if accepted == 0:
        note = "the claim holds only where nothing is accepted"
        return Certified(None, _certificate(claim, limit, delta, method, n).model_copy(update={"note": note}))
    granted = {"certified": True, "accepted": accepted, "bound": None if observed else round(min(bound, 1.0), 6)}
    return Certified(float(GRID[place]), _certificate(claim, limit, delta, method, n).model_copy(update=granted))


def _refused(claim: Claim, limit: float, delta: float | None, method: str, n: int, more: int | None) -> Certified:
    update = {"rows_needed": more} if more is not None and more > 0 else {}
    return Certified(None, _certificate(claim, limit, delta, method, n).model_copy(update=update))


def _certificate(claim: Claim, limit: float, delta: float | None, method: str, n: int) -> Certificate:
    confidence = None if delta is None else round(1.0 - delta, 9)
    return Certificate(certified=False, claim=claim, limit=limit, confidence=confidence, method=method, rows=n)
