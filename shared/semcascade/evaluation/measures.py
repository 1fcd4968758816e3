"""What evaluations say beside areas: intervals, what a share of the target's quality costs, how alike members err."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from semcascade.evaluation.curve import FloatArray, Outcome

__all__ = ["Reached", "Resampled", "cheapest_threshold", "effective_members", "interval", "reach"]

DRAWS = 500
"""Bootstrap draws behind an interval."""

_HALVINGS = 20

_AT_ONCE = 200_000
"""Rows that are drawn at once, however many are drawn in all: memory stays flat."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What aiming at a share of the target's quality led to, on rows that had no part in choosing the threshold.

    Attributes:
        rate: Share of rows deferred to the target.
        cost: Mean cost a row, in units of the target's.
        share: Quality, as a share of the target's; None where the target's is 0.
    """

    rate: float
    cost: float
    share: float | None


@dataclass(frozen=True)
class Resampled:
    """What deferral curves of rows drawn with replacement (Efron 1979) come to, one a draw.

    Attributes:
        auc: (draws,) areas under the curves.
        first: (draws,) mean qualities where nothing is deferred.
        target: (draws,) mean qualities of the target.
        member: (draws,) mean qualities of the best single member.
        quality: (draws, rates) mean qualities at the deferral rates that were asked for.
    """

    auc: FloatArray
    first: FloatArray
    target: FloatArray
    member: FloatArray
    quality: FloatArray

    @classmethod
    def of(cls, outcome: Outcome, *, rates: FloatArray | None = None, draws: int = DRAWS, seed: int = 0) -> Self:
        """Draw as many rows as there are, many times; the same seed draws the same rows for every signal."""
        rng, n = np.random.default_rng(seed), len(outcome)
        grid = np.zeros(0) if rates is None else rates
        at_once = max(1, _AT_ONCE // n)
        blocks = []
        for begun in range(0, draws, at_once):
            counts = rng.multinomial(n, np.full(n, 1 / n), size=min(at_once, draws - begun)) / n
            rate, quality = _curves(outcome, counts)
            area = ((quality[:, 1:] + quality[:, :-1]) / 2 * np.diff(rate, axis=1)).sum(axis=1)
            at = np.array([np.interp(grid, x, y) for x, y in zip(rate, quality, strict=True)])
            blocks.append((area, quality[:, 0], quality[:, -1], counts @ outcome.member_quality, at))
        return cls(*(np.concatenate(part) for part in zip(*blocks, strict=True)))

    @property
    def gain(self) -> FloatArray:
        """(draws,) areas above random deferral."""
        return np.asarray(self.auc - (self.first + self.target) / 2)

    @property
    def chord_gain(self) -> FloatArray:
        """(draws,) areas above the best single member mixed at random with the target."""
        return np.asarray(self.auc - (self.member + self.target) / 2)


def _curves(outcome: Outcome, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (draws, m) deferral rates and mean qualities there, for rows of these weights, (draws, n)."""
    moves = outcome.moves
    order = np.argsort(moves.at, kind="stable")
    _, starts = np.unique(moves.at[order], return_index=True)
    moved = weights[:, moves.row[order]]
    rate = np.cumsum(np.add.reduceat(moved * moves.deferred[order], starts, axis=1), axis=1)
    better = np.cumsum(np.add.reduceat(moved * moves.quality[order], starts, axis=1), axis=1)
    first = (weights @ outcome.quality[0])[:, None]
    return np.hstack([np.zeros_like(first), rate]), np.hstack([first, first + better])


def interval(values: FloatArray) -> tuple[float, float]:
    """Return the 95 % percentile interval of bootstrap values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def cheapest_threshold(outcome: Outcome, share: float) -> float:
    """Return the least threshold whose cascade reaches a share of the target's mean quality.

    Infinity: only the target reaches it.
    """
    curve = outcome.curve
    reached = (curve.quality >= share * outcome.target.mean() - 1e-12) & (curve.threshold > -np.inf)
    return float(curve.threshold[reached.argmax()]) if reached.any() else float("inf")


def reach(outcome: Outcome, share: float, *, seed: int = 0) -> Reached:
    """Return what it takes to reach a share of the target's quality.

    The threshold is found on one random half of the rows and measured on the other; the mean over both ways round and
    over 20 random halvings.
    """
    rng = np.random.default_rng(seed)
    n, points = len(outcome), []
    for _ in range(_HALVINGS):
        order = rng.permutation(n)
        for found, measured in ((order[: n // 2], order[n // 2 :]), (order[n // 2 :], order[: n // 2])):
            if len(found) and len(measured):
                other = outcome.take(measured)
                place = other.curve.place(cheapest_threshold(outcome.take(found), share))
                points.append((other.curve.rate[place], other.curve.cost[place], other.curve.quality[place]))
    if not points:
        return Reached(1.0, float(outcome.curve.cost[-1]), 1.0)
    rate, cost, quality = np.mean(points, axis=0)
    target = outcome.target.mean()
    return Reached(float(rate), float(cost), float(quality / target) if target > 0 else None)


def effective_members(errors: FloatArray) -> float:
    """Return the effective number of independent members, n / (1 + (n-1)·ρ), ρ the mean correlation of errors.

    Args:
        errors: (rows, members), 1 - quality.

    >>> same = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> effective_members(same)
    1.0
    """
    n = errors.shape[1]
    varying = errors.std(axis=0) > 0
    if n < 2 or varying.sum() < 2:
        return float(n)
    correlation = np.atleast_2d(np.corrcoef(errors[:, varying], rowvar=False))
    rho = float(correlation[np.triu_indices_from(correlation, k=1)].mean())
    return float(n / (1 + (n - 1) * max(rho, 0.0)))
