"""Where a query starts, decided before any answer: at the first tier, at a later one, or at the target at once.

A cascade pays its first tier on every query, those included that it always defers. The router predicts from the query
alone how likely each tier is to defer it: from how much it asks for (`semcascade.deferral.complexity`) and from what
queries like it have come to (`semcascade.deferral.neighbours`), put together by a logistic regression. Where starting
later is expected to cost less, and no quality, the query starts later.

That queries can be sent to the model level that fits before they are answered: Khrapko & Volokyta (2026; only the
abstract is public). That such a router, put before a cascade, can pay where the cascade defers much: Bouchard (2026,
arXiv 2605.06350).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from semcascade.deferral.complexity import PARTS, Complexity
from semcascade.deferral.neighbours import Near, Neighbours
from semcascade.deferral.tables import Finite, FloatArray, Share, Table

__all__ = ["EXTREME", "Outlook", "RouterPolicy", "TierOdds", "features_of", "start_of"]

EXTREME = 4.0
"""Features count as no further from their mean than this many standard deviations."""

TOLERANCE = 0.01
"""Mean quality that starting a query later may be expected to lose, at most."""

_EQUAL = 1e-9


class TierOdds(Table):
    """How likely a tier is to defer a query: 1 / (1 + exp(-(constant + Σ weight·feature)))."""

    constant: Finite
    weights: list[Finite] = Field(default_factory=list, max_length=200)
    """One for each feature of the router, or none at all."""
    cost: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e6)]
    """What asking the tier costs, as a share of asking the target."""
    start: bool = True
    """Whether queries may start here; not where a lone answer is held against those of the tiers before."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of a query, and where it should start.

    Attributes:
        start: The tier to start at; that after the last of `deferred` is the target.
        threshold: P(deferred) of the first tier above which starting later costs less; None where no quality would be
            kept by it.
        deferred: P(the tier would defer it), for each tier before the target.
        costs: Expected cost of starting at each tier, the target's last, in what the target costs.
        qualities: Expected quality of the answer when starting there, less the target's.
        complexity: How much the query asks for, 0 to 1.
        entropy: Semantic entropy that like queries had in the first tier, as a share of the largest possible; None
            where no past queries are known.
        likeness: Cosine of the most like past query; None likewise.
    """

    start: int
    threshold: float | None
    deferred: tuple[float, ...]
    costs: tuple[float, ...]
    qualities: tuple[float, ...]
    complexity: float
    entropy: float | None
    likeness: float | None

    @property
    def reason(self) -> str:
        """The prediction in one clause."""
        told = f"query complexity {self.complexity:.2f}"
        if self.entropy is not None:
            told += f", semantic entropy of like queries {self.entropy:.2f}"
        said = f"deferral predicted with probability {self.deferred[0]:.2f}"
        if self.threshold is None:
            return f"{said}, but those after it are expected to answer worse ({told}), by policy"
        sign = ">" if self.start else "≤"
        return f"{said} {sign} {self.threshold:.2f}, above which asking first does not pay ({told}), by policy"


class RouterPolicy(Table):
    """A fitted router."""

    features: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list, max_length=200)
    center: list[Finite] = Field(default_factory=list, max_length=200)
    scale: list[Finite] = Field(default_factory=list, max_length=200)
    """Features are centred and divided by these."""
    tiers: list[TierOdds] = Field(min_length=1, max_length=16)
    """One for each tier but the last."""
    neighbours: Neighbours | None = None
    tolerance: Share = TOLERANCE
    """Mean quality that starting later may be expected to lose, at most."""
    rows: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Rows that it was fitted to."""
    starts: list[Share] = Field(default_factory=list, max_length=17)
    """Share of these rows that starts at each tier, the target last."""
    saves: Finite | None = None
    """What it saves a query, as a share of the target's cost, at the same thresholds, on rows it was not fitted to."""
    error: Finite | None = None
    """Standard error of that."""
    gains: Finite | None = None
    """How much the mean quality rises by it, likewise."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.features)
        if len(self.center) != n or len(self.scale) != n or any(scale <= 0 for scale in self.scale):
            raise ValueError(f"center and scale need {n} numbers each, the scales greater than 0")
        unknown = [name for name in self.features if name not in feature_names(self.neighbours)]
        if unknown or len(set(self.features)) < n:
            raise ValueError(f"features: {unknown[0][:40]!r} is none" if unknown else "features: a name stands twice")
        if any(len(tier.weights) not in (0, n) for tier in self.tiers):
            raise ValueError(f"tiers: there are {n} features to weigh")
        if self.neighbours is not None and len(self.neighbours.deferred) != len(self.tiers):
            raise ValueError("neighbours: they are of a cascade with another number of tiers")
        if self.starts and len(self.starts) != len(self.tiers) + 1:
            raise ValueError("starts: one share is needed for each tier and the target")
        return self

    def outlooks(self, seen: Sequence[Complexity], vectors: FloatArray | None) -> list[Outlook]:
        """Return what is expected of queries.

        Args:
            seen: How much each asks for.
            vectors: (n, width) by the neighbours' embedding; None where there are no neighbours.
        """
        near = self.neighbours.look(vectors) if self.neighbours is not None and vectors is not None else None
        odds = self._odds(seen, near)
        tiers = len(self.tiers)
        gains = np.zeros((len(seen), tiers)) if near is None else near.gains
        found = []
        for row, one in enumerate(seen):
            deferred = tuple(float(share) for share in odds[row])
            costs, qualities = _chained(deferred, [tier.cost for tier in self.tiers], gains[row].tolist())
            found.append(
                Outlook(
                    *start_of(costs, deferred[0], self._later(qualities)),
                    deferred=deferred,
                    costs=costs,
                    qualities=qualities,
                    complexity=one.value,
                    entropy=None if near is None else float(near.entropy[row]),
                    likeness=None if near is None else float(near.likeness[row]),
                )
            )
        return found

    def _later(self, qualities: Sequence[float]) -> list[int]:
        """Return where a query may start beside the first tier, and be expected to lose no quality by it."""
        may = [*(tier.start for tier in self.tiers), True]
        return [
            place for place in range(1, len(may)) if may[place] and qualities[place] >= qualities[0] - self.tolerance
        ]

    def _odds(self, seen: Sequence[Complexity], near: Near | None) -> FloatArray:
        """Return (n, tiers) P(deferred)."""
        known = features_of(seen, near)
        table = np.array([known[name] for name in self.features], dtype=np.float64).reshape(-1, len(seen)).T
        with np.errstate(over="ignore"):
            table = np.clip((table - np.array(self.center)) / np.array(self.scale), -EXTREME, EXTREME)
        sums = np.zeros((len(seen), len(self.tiers)))
        for place, tier in enumerate(self.tiers):
            sums[:, place] = tier.constant + (table @ np.array(tier.weights) if tier.weights else 0.0)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(sums, -50, 50))))


def feature_names(neighbours: Neighbours | None) -> tuple[str, ...]:
    """Return the names of all features that a router can have."""
    own = ("complexity", *PARTS)
    if neighbours is None:
        return own
    tiers = range(len(neighbours.deferred))
    return (*own, "entropy", *(f"deferred:{tier}" for tier in tiers), *(f"gain:{tier}" for tier in tiers))


def features_of(seen: Sequence[Complexity], near: Near | None) -> dict[str, FloatArray]:
    """Return the features of n queries by their names, (n,) each."""
    found = {"complexity": np.array([one.value for one in seen])}
    found |= {name: np.array([one.parts[name] for one in seen]) for name in PARTS}
    if near is not None:
        found["entropy"] = near.entropy
        for tier in range(near.deferred.shape[1]):
            found |= {f"deferred:{tier}": near.deferred[:, tier], f"gain:{tier}": near.gains[:, tier]}
    return found


def _chained(
    deferred: Sequence[float], asked: Sequence[float], gains: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return expected cost and quality of starting at each tier, taking tiers to defer independently."""
    costs, qualities = [1.0], [0.0]
    for share, cost, gain in zip(reversed(deferred), reversed(asked), reversed(gains), strict=True):
        costs.insert(0, cost + share * costs[0])
        qualities.insert(0, share * qualities[0] - (1 - share) * gain)
    return tuple(costs), tuple(qualities)


def start_of(costs: Sequence[float], deferred: float, later: Sequence[int]) -> tuple[int, float | None]:
    """Return where to start, and from which P(deferred) of the first tier on that is not the first.

    It is where starting costs least; the first tier, unless another is cheaper.

    Args:
        costs: Expected cost of starting at each tier, the target's last.
        deferred: P(the first tier defers).
        later: Where else the query may start.

    >>> start_of([0.9, 1.0], 0.75, [1])
    (0, 0.85)
    >>> start_of([1.1, 1.0], 0.95, [1])
    (1, 0.85)
    """
    if not later:
        return 0, None
    best = min(later, key=lambda place: (costs[place], place))
    asked = costs[0] - deferred * costs[1]
    threshold = min(1.0, max(0.0, (costs[best] - asked) / costs[1])) if costs[1] > 0 else 1.0
    return (best if costs[best] < costs[0] - _EQUAL else 0), round(threshold, 9)
