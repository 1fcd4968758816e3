"""What evaluations say beside areas: intervals, what a share of the target's quality costs, how alike members err."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from semcascade.evaluation.curve import FloatArray, Outcome

__all__ = ["DRAWS", "Reached", "bootstrap", "cheapest_threshold", "effective_members", "interval", "reach"]

DRAWS = 500
"""Bootstrap draws behind an interval."""

_HALVINGS = 20


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


def bootstrap(outcome: Outcome, *, draws: int = DRAWS, seed: int = 0) -> Iterator[Outcome]:
    """Yield outcomes of rows drawn with replacement (Efron 1979)."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield outcome.take(rng.integers(0, len(outcome), len(outcome)))


def interval(values: list[float]) -> tuple[float, float]:
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


def intervals_of(outcome: Outcome, *measures: Callable[[Outcome], float], seed: int = 0) -> list[tuple[float, float]]:
    """Return the 95 % bootstrap interval of each measure, all from the same draws."""
    values = [[measure(draw) for measure in measures] for draw in bootstrap(outcome, seed=seed)]
    return [interval(list(column)) for column in zip(*values, strict=True)]
