"""Deferral curves: quality against the share of queries that go to the target.

Rows are deferred from the least reliable up; rows of equal reliability count as deferred in random order, by
expectation, so that the order of the file never matters. Scores of answers that agree exactly tie a lot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Outcome",
    "auc",
    "cheapest_threshold",
    "chord_gain",
    "deferral_at",
    "deferral_curve",
    "effective_members",
    "gain",
    "oracle_auc",
    "random_auc",
]

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What accepting and what deferring would have given, row by row.

    Attributes:
        reliability: (n,) higher = more reliable; NaN where undefined, deferred first.
        accepted: (n,) quality of the answer that the ensemble would return.
        target: (n,) quality of the target's answer.
        best_member: (n,) quality of the best single member's answer.
    """

    reliability: FloatArray
    accepted: FloatArray
    target: FloatArray
    best_member: FloatArray

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: npt.NDArray[np.intp]) -> Outcome:
        """Return the outcome of some of the rows, e.g. of a bootstrap draw."""
        return Outcome(self.reliability[rows], self.accepted[rows], self.target[rows], self.best_member[rows])


def deferral_curve(outcome: Outcome) -> FloatArray:
    """Return the mean quality when 0, 1, ..., n rows are deferred, shape (n+1,).

    >>> one, zero = np.ones(2), np.zeros(2)
    >>> deferral_curve(Outcome(np.array([0.2, 0.9]), np.array([0.0, 1.0]), one, zero)).tolist()
    [0.5, 1.0, 1.0]
    """
    reliability = np.where(np.isnan(outcome.reliability), -np.inf, outcome.reliability)
    order = np.argsort(reliability, kind="stable")
    gains = (outcome.target - outcome.accepted)[order]
    _, group = np.unique(reliability[order], return_inverse=True)
    sizes = np.bincount(group)
    averaged = (np.bincount(group, weights=gains) / sizes)[group]
    return np.asarray(outcome.accepted.mean() + np.concatenate([[0.0], np.cumsum(averaged)]) / len(outcome))


def auc(outcome: Outcome) -> float:
    """Return the area under the deferral curve, by the trapezoid rule over deferral rates 0 to 1."""
    curve = deferral_curve(outcome)
    return float((curve[:-1] + curve[1:]).mean() / 2)


def random_auc(outcome: Outcome) -> float:
    """Return the area when rows are deferred at random: the mean of both ends."""
    return float((outcome.accepted.mean() + outcome.target.mean()) / 2)


def oracle_auc(outcome: Outcome) -> float:
    """Return the area when the rows are deferred by what deferring truly gains."""
    oracle = Outcome(outcome.accepted - outcome.target, outcome.accepted, outcome.target, outcome.best_member)
    return auc(oracle)


def gain(outcome: Outcome) -> float:
    """Return the area above random deferral of the same answers."""
    return auc(outcome) - random_auc(outcome)


def chord_gain(outcome: Outcome) -> float:
    """Return the area above the strict chord: the best single member mixed at random with the target."""
    return auc(outcome) - float((outcome.best_member.mean() + outcome.target.mean()) / 2)


def cheapest_threshold(outcome: Outcome, share: float) -> float:
    """Return the least threshold whose cascade reaches a share of the target's mean quality.

    Rows below the threshold, or without a score, are deferred. Infinity: only the target reaches it.
    """
    reliability = np.where(np.isnan(outcome.reliability), -np.inf, outcome.reliability)
    goal = share * outcome.target.mean()
    for threshold in np.unique(np.append(reliability, 0.0)):
        if np.where(reliability < threshold, outcome.target, outcome.accepted).mean() >= goal and threshold > -np.inf:
            return float(threshold)
    return float("inf")


def deferral_at(outcome: Outcome, share: float, *, seed: int = 0) -> float:
    """Return the share of rows to defer for a share of the target's quality.

    The threshold is found on one random half of the rows, the deferral rate measured on the other; the mean over
    both ways round and over 20 random halvings.
    """
    rng = np.random.default_rng(seed)
    n, rates = len(outcome), []
    for _ in range(20):
        order = rng.permutation(n)
        for found, measured in ((order[: n // 2], order[n // 2 :]), (order[n // 2 :], order[: n // 2])):
            if len(found):
                threshold = cheapest_threshold(outcome.take(found), share)
                reliability = outcome.reliability[measured]
                rates.append(float((np.isnan(reliability) | (reliability < threshold)).mean()))
    return float(np.mean(rates))


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
