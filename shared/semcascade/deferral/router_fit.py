"""Fitting a router: from past queries, and whether each tier deferred them. Needs scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from semcascade.deferral.calibrators import logistic_regression
from semcascade.deferral.complexity import Complexity
from semcascade.deferral.neighbours import HASHED, MOST_NEIGHBOURS, Neighbours
from semcascade.deferral.router import EXTREME, RouterPolicy, TierOdds, feature_names, features_of
from semcascade.deferral.stacking import folds
from semcascade.deferral.tables import FloatArray

__all__ = ["FEWEST_ROWS", "PastQueries", "fit_router", "plain_router", "unseen_starts"]

FEWEST_ROWS = 40
"""Fewer rows are not learned from."""

FOLDS = 5
STRENGTH = 0.1
"""Inverse of the penalty on squared weights."""

DIGITS = 5


@dataclass(frozen=True)
class PastQueries:
    """Queries whose answers are known, n rows.

    Attributes:
        seen: (n,) how much each asks for.
        vectors: (n, width) embeddings.
        entropy: (n,) semantic entropy in the first tier, as a share of the largest possible.
        deferred: (tiers, n) whether each tier before the target defers it.
        gains: (tiers, n) how much better the target's answer is than the tier's.
        costs: (tiers,) what asking each tier costs, as a share of the target.
        starts: (tiers,) whether queries may start there.
        embedding: What made the vectors.
    """

    seen: Sequence[Complexity]
    vectors: FloatArray
    entropy: FloatArray
    deferred: npt.NDArray[np.bool_]
    gains: FloatArray
    costs: Sequence[float]
    starts: Sequence[bool]
    embedding: str = HASHED

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return some of the rows."""
        return type(self)(
            [self.seen[row] for row in rows], self.vectors[rows], self.entropy[rows], self.deferred[:, rows],
            self.gains[:, rows], self.costs, self.starts, self.embedding,
        )  # fmt: skip


def plain_router(past: PastQueries) -> RouterPolicy:
    """Return the router that knows nothing of the query: each tier defers as often as it does on average."""
    return RouterPolicy(tiers=[_odds(past, tier, None) for tier in range(len(past.costs))], rows=len(past))


def fit_router(past: PastQueries) -> RouterPolicy:
    """Fit a router to past queries.

    Of each, the neighbours are looked up among the others; a logistic regression says what they, and how much the query
    asks for, tell of deferral.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    kept = past.take(_spread(len(past)))
    neighbours = Neighbours.of(
        kept.vectors, kept.entropy, kept.deferred.astype(np.float64), kept.gains, embedding=kept.embedding
    )
    found = features_of(kept.seen, neighbours.look(kept.vectors, own=True))
    table = np.stack([found[name] for name in feature_names(neighbours)], axis=1)
    center, scale = table.mean(axis=0).round(6), table.std(axis=0).round(6)
    varying = scale > 1e-5
    names = [name for name, varies in zip(feature_names(neighbours), varying, strict=True) if varies]
    table = np.clip((table[:, varying] - center[varying]) / scale[varying], -EXTREME, EXTREME)
    return RouterPolicy(
        features=names,
        center=center[varying].tolist(),
        scale=scale[varying].tolist(),
        tiers=[_odds(kept, tier, table) for tier in range(len(kept.costs))],
        neighbours=neighbours,
        rows=len(past),
    )


def unseen_starts(past: PastQueries, *, seed: int = 0) -> npt.NDArray[np.intp]:
    """Return (n,) where each query would start by a router that was fitted without it."""
    starts = np.zeros(len(past), dtype=np.intp)
    for held_out in folds(len(past), FOLDS, seed):
        router = fit_router(past.take(np.setdiff1d(np.arange(len(past)), held_out)))
        shown = past.take(held_out)
        starts[held_out] = [one.start for one in router.outlooks(shown.seen, shown.vectors)]
    return starts


def _odds(past: PastQueries, tier: int, table: FloatArray | None) -> TierOdds:
    """Say how likely a tier is to defer, by its mean where nothing tells queries apart."""
    deferred, weights = past.deferred[tier], list[float]()
    if table is not None and table.shape[1] and 0 < deferred.mean() < 1:
        fitted = logistic_regression(STRENGTH).fit(table, deferred)
        constant, weights = float(fitted.intercept_[0]), fitted.coef_[0].round(DIGITS).tolist()
    else:
        share = (deferred.sum() + 0.5) / (len(deferred) + 1.0)
        constant = float(np.log(share / (1 - share)))
    return TierOdds(constant=round(constant, DIGITS), weights=weights, cost=past.costs[tier], start=past.starts[tier])


def _spread(n: int) -> npt.NDArray[np.intp]:
    """Return as many rows as a policy may hold, at equal distances."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_NEIGHBOURS)).round().astype(np.intp))
