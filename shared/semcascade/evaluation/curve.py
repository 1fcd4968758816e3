"""Deferral curves: quality against the share of queries that go to the target, and against what that costs.

One threshold serves all tiers: a row is answered by the first tier whose reliability reaches it, else by the target.
Raising the threshold moves rows on, the least reliable first; rows of equal reliability move together, and between two
thresholds the curve is the straight line that deferring some of them at random gives. So the order of the rows never
matters, and scores that tie a lot, like those of answers that agree exactly, earn nothing by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Curve", "Outcome", "auc", "chord_gain", "chord_gain_at_cost", "gain", "oracle_auc", "random_auc"]

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The points that thresholds reach, from accepting everything to deferring everything; all of shape (m,).

    Attributes:
        threshold: Least reliability that is accepted: -inf accepts rows without a score, too, inf accepts none.
        rate: Share of rows that the target answers, rising from 0 to 1.
        cost: Mean cost a row, rising, in units of the mean cost of the target.
        quality: Mean quality.
    """

    threshold: FloatArray
    rate: FloatArray
    cost: FloatArray
    quality: FloatArray

    def at_rate(self, rate: FloatArray) -> FloatArray:
        """Return the quality at deferral rates, between thresholds by deferring ties at random."""
        return np.asarray(np.interp(rate, self.rate, self.quality))

    def at_cost(self, cost: FloatArray) -> FloatArray:
        """Return the quality at costs, between thresholds by deferring ties at random."""
        return np.asarray(np.interp(cost, self.cost, self.quality))

    def place(self, threshold: float) -> int:
        """Return the index of the point that a threshold leads to."""
        return int(np.searchsorted(self.threshold, threshold, side="left"))


@dataclass(frozen=True)
class Outcome:
    """What each tier would have answered, how sure it was, and what asking it cost, row by row.

    Attributes:
        reliability: (tiers, n) of every tier but the target; higher = more reliable, NaN where undefined.
        quality: (tiers + 1, n) of the answer that each tier would return, the target's last.
        cost: (tiers + 1, n) of asking each tier.
        member_quality: (n,) of the best single member.
        member_cost: (n,) of the best single member.
    """

    reliability: FloatArray
    quality: FloatArray
    cost: FloatArray
    member_quality: FloatArray
    member_cost: FloatArray

    @classmethod
    def two_tiers(
        cls,
        reliability: npt.ArrayLike,
        accepted: npt.ArrayLike,
        target: npt.ArrayLike,
        best_member: npt.ArrayLike,
        *,
        ensemble_cost: npt.ArrayLike = 0.0,
        target_cost: npt.ArrayLike = 1.0,
        member_cost: npt.ArrayLike = 0.0,
    ) -> Outcome:
        """Build the usual case, one ensemble before the target; costs may be one number for all rows."""
        score, answer, last, best = (
            np.asarray(v, dtype=np.float64) for v in (reliability, accepted, target, best_member)
        )
        spent = [np.broadcast_to(np.asarray(c, dtype=np.float64), last.shape) for c in (ensemble_cost, target_cost)]
        member = np.broadcast_to(np.asarray(member_cost, dtype=np.float64), last.shape)
        return cls(score[None], np.stack([answer, last]), np.stack(spent), best, member)

    def __len__(self) -> int:
        return int(self.quality.shape[1])

    @property
    def accepted(self) -> FloatArray:
        """(n,) quality of what the first tier would return."""
        return np.asarray(self.quality[0])

    @property
    def target(self) -> FloatArray:
        """(n,) quality of the target's answers."""
        return np.asarray(self.quality[-1])

    def take(self, rows: npt.NDArray[np.intp]) -> Outcome:
        """Return the outcome of some of the rows, e.g. of a bootstrap draw."""
        return Outcome(
            self.reliability[:, rows],
            self.quality[:, rows],
            self.cost[:, rows],
            self.member_quality[rows],
            self.member_cost[rows],
        )

    def walked(self, started: npt.NDArray[np.intp], answered: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Return (n,) what rows cost that start at one tier and are answered by another, and the answers' quality."""
        rows = np.arange(len(self))
        paid = np.vstack([np.zeros(len(self)), np.cumsum(self.cost, axis=0)])
        return paid[answered + 1, rows] - paid[started, rows], self.quality[answered, rows]

    def answered_by(self, threshold: float) -> npt.NDArray[np.intp]:
        """Return (n,) the tier that answers each row at a threshold; undefined scores are never accepted."""
        reached = np.vstack([self.reliability >= threshold, np.ones(len(self), dtype=bool)])
        return np.asarray(reached.argmax(axis=0))

    @cached_property
    def curve(self) -> Curve:
        """The deferral curve.

        >>> outcome = Outcome.two_tiers([0.2, 0.9], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0])
        >>> outcome.curve.rate.tolist(), outcome.curve.quality.tolist()
        ([0.0, 0.5, 1.0], [0.5, 1.0, 1.0])
        """
        moves = self.moves
        values, group = np.unique(moves.at, return_inverse=True)
        unit = self.cost[-1].mean() or 1.0
        changes = (moves.deferred, moves.cost / unit, moves.quality)
        rise = [np.bincount(group, weights=change) / len(self) for change in changes]
        start = (0.0, self.cost[0].mean() / unit, self.quality[0].mean())
        rate, spent, good = (np.concatenate([[a], a + np.cumsum(step)]) for a, step in zip(start, rise, strict=True))
        return Curve(np.append(values, np.inf), np.minimum(rate, 1.0), spent, good)

    @cached_property
    def moves(self) -> Moves:
        """When rows move on to a later tier.

        A tier that is no surer than one before it is passed by: whenever it would accept, that one has.
        """
        tiers, n = self.reliability.shape
        sure = np.where(np.isnan(self.reliability), -np.inf, self.reliability)
        paid = np.cumsum(self.cost, axis=0)
        here, best, rows = np.zeros(n, dtype=np.intp), sure[0].copy(), np.arange(n)
        found = []
        for tier in range(1, tiers + 1):
            onward = rows if tier == tiers else np.flatnonzero(sure[tier] > best)
            before = here[onward]
            better = self.quality[tier, onward] - self.quality[before, onward]
            dearer = paid[tier, onward] - paid[before, onward]
            found.append((onward, best[onward], better, dearer, np.full(len(onward), float(tier == tiers))))
            if tier < tiers:
                here[onward], best[onward] = tier, sure[tier, onward]
        return Moves(*(np.concatenate(part) for part in zip(*found, strict=True)))


@dataclass(frozen=True)
class Moves:
    """Rows that move on to a later tier as the threshold rises past a value, and what that changes; all of shape (m,).

    Attributes:
        row: Which row.
        at: Past which threshold.
        quality: By how much its quality rises.
        cost: By how much its cost rises.
        deferred: 1 where it moves to the target, else 0.
    """

    row: npt.NDArray[np.intp]
    at: FloatArray
    quality: FloatArray
    cost: FloatArray
    deferred: FloatArray


def auc(outcome: Outcome) -> float:
    """Return the area under the deferral curve, by the trapezoid rule over deferral rates 0 to 1."""
    return _area(outcome.curve.rate, outcome.curve.quality)


def random_auc(outcome: Outcome) -> float:
    """Return the area when rows are deferred at random: the mean of both ends."""
    return float((outcome.quality[0].mean() + outcome.target.mean()) / 2)


def oracle_auc(outcome: Outcome) -> float:
    """Return the area when the best tier is known, and rows are deferred by what deferring truly gains."""
    best = outcome.quality[:-1].max(axis=0)
    return auc(Outcome.two_tiers(best - outcome.target, best, outcome.target, best))


def gain(outcome: Outcome) -> float:
    """Return the area above random deferral of the same answers."""
    return auc(outcome) - random_auc(outcome)


def chord_gain(outcome: Outcome) -> float:
    """Return the area above the strict chord: the best single member mixed at random with the target."""
    return auc(outcome) - float((outcome.member_quality.mean() + outcome.target.mean()) / 2)


def chord_gain_at_cost(outcome: Outcome) -> float | None:
    """Return the mean height above the strict chord at equal cost, where the chord asks one member, not all.

    Taken over costs from that of the first tier, without which there is no cascade, to that of the target, beyond which
    nobody should go; None where the first tier costs as much as the target.
    """
    curve, unit = outcome.curve, outcome.cost[-1].mean() or 1.0
    if curve.cost[0] >= 1:
        return None
    knots = np.unique(np.clip(np.append(curve.cost, 1.0), None, 1.0))
    ends = [outcome.member_cost.mean() / unit, 1.0]
    chord = np.interp(knots, ends, [outcome.member_quality.mean(), outcome.target.mean()])
    return _area(knots, curve.at_cost(knots) - chord) / float(knots[-1] - knots[0])


def _area(x: FloatArray, y: FloatArray) -> float:
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())
