"""Where queries should start: a router fitted to rows, judged on rows that it has not seen, kept only if it pays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from semcascade.config import CascadeConfig
from semcascade.deferral.complexity import Complexity, query_complexity
from semcascade.deferral.neighbours import HASHED
from semcascade.deferral.router import TOLERANCE, RouterPolicy
from semcascade.deferral.router_fit import FEWEST_ROWS, PastQueries, fit_router, plain_router, unseen_starts
from semcascade.deferral.rules import TIE
from semcascade.deferral.tables import FloatArray
from semcascade.engine.entry import embedder_of
from semcascade.evaluation.recipes import BEYOND_NOISE
from semcascade.evaluation.sights import Sights
from semcascade.evaluation.thresholds import TierRows

__all__ = ["Asked", "Entering", "deferrals", "fit_entry", "never_asking", "past_queries", "routed", "walked"]

Starts = npt.NDArray[np.intp]

LEAST_SAVED = 0.002
"""Share of the target's cost that a router must save a query; for less it is not worth its place in a policy."""


@dataclass(frozen=True)
class Asked:
    """What a router is shown of n rows.

    Attributes:
        seen: How much each query asks for.
        vectors: (n, width) the queries' embeddings.
        embedding: What made them.
    """

    seen: list[Complexity]
    vectors: FloatArray
    embedding: str = HASHED

    @classmethod
    async def by(cls, queries: Iterable[tuple[str, int]], embedding: str = HASHED) -> Self:
        """Look at queries as the engine does before it asks anybody.

        Args:
            queries: Each one's text, and how many tools may be called.
            embedding: `"hashed"`, or the id of a sentence-transformers model.
        """
        shown = list(queries)
        vectors = await embedder_of(embedding)([text for text, _ in shown])
        return cls([query_complexity(text, tools=tools) for text, tools in shown], vectors, embedding)

    def starts(self, router: RouterPolicy, rows: npt.NDArray[np.intp]) -> Starts:
        """Return where these rows start."""
        found = router.outlooks([self.seen[row] for row in rows], self.vectors[rows])
        return np.array([one.start for one in found], dtype=np.intp)


@dataclass(frozen=True)
class Entering:
    """A router, and what it is worth on rows that it was not fitted to, at the same thresholds.

    Attributes:
        router: The router; None where none pays.
        starts: (n,) where each row of the fit would start by a router that was fitted without it.
        saves: What a query saves by it, as a share of the target's cost.
        error: Standard error of that.
        gains: By how much the mean quality rises.
        learned: Whether it tells queries apart.
    """

    router: RouterPolicy | None
    starts: Starts
    saves: float = 0.0
    error: float = 0.0
    gains: float = 0.0
    learned: bool = False

    @property
    def moves(self) -> bool:
        """Whether it lets some queries start later and others not."""
        return self.router is not None and self.learned

    @property
    def note(self) -> str:
        """What was found, in a sentence."""
        if self.router is None:
            return "router: off, as none saves enough beyond noise on unseen rows; every query starts at the first tier"
        share = float((self.starts > 0).mean())
        worth = (
            f"saves {self.saves:.3f} of the target's cost a query (± {self.error:.3f}) at the same thresholds, quality "
            f"{self.gains:+.4f}, on unseen rows"
        )
        if not self.learned:
            return f"router: asking the first tier does not pay at these prices, so no query does; {worth}"
        return f"router: {share:.0%} of queries start later; {worth}"

    def off(self) -> Entering:
        """Return the same without a router."""
        return Entering(None, np.zeros_like(self.starts))


def past_queries(
    asked: Asked,
    config: CascadeConfig,
    sights: Sequence[Sights],
    tiers: Sequence[TierRows],
    deferred: npt.NDArray[np.bool_],
    cost: FloatArray,
    rows: npt.NDArray[np.intp],
) -> PastQueries:
    """Return what a router can be fitted to.

    Args:
        asked: What it is shown of all rows.
        config: The cascade.
        sights: What each tier's answers look like, in all rows.
        tiers: What each tier says of the rows of the fit.
        deferred: (tiers, n) what each defers of them.
        cost: (tiers + 1, all rows) what asking each tier costs.
        rows: The rows of the fit.
    """
    sure = next((found for (name, _), found in sights[0].rankings.items() if name == "semantic_entropy"), None)
    entropy = np.zeros(len(rows)) if sure is None else 1.0 - np.nan_to_num(sure.scores[rows])
    return PastQueries(
        seen=[asked.seen[row] for row in rows],
        vectors=asked.vectors[rows],
        entropy=np.clip(entropy, 0.0, 1.0),
        deferred=deferred,
        gains=np.stack([tier.target - tier.accepted for tier in tiers]),
        costs=tuple(round(float(share), 6) for share in cost[:-1].mean(axis=1) / _unit(cost)),
        starts=tuple(number == 0 or tier.answers > 1 for number, tier in enumerate(config.tiers[:-1])),
        embedding=asked.embedding,
    )


def deferrals(tiers: Sequence[TierRows], thresholds: Sequence[float | None]) -> npt.NDArray[np.bool_]:
    """Return (tiers, n) which rows each tier defers."""
    least = [np.inf if threshold is None else threshold - TIE for threshold in thresholds]
    return np.stack([~(tier.scores >= bar) for tier, bar in zip(tiers, least, strict=True)])


def fit_entry(past: PastQueries, tiers: Sequence[TierRows], cost: FloatArray, *, seed: int = 0) -> Entering:
    """Fit a router, and keep it only if it saves more than chance would on rows it was not fitted to.

    Tried are one that knows nothing of the query (it starts all at the same tier) and one that was learned; the second
    is taken where it saves more than the first. Two standard errors are asked for, and no less than `LEAST_SAVED`, so
    that what does not help is off: a saving on two rows of a thousand has next to no standard error.

    Args:
        past: Queries whose answers are known.
        tiers: What each tier says of them.
        cost: (tiers + 1, n) what asking each tier costs.
        seed: Of the folds.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    off = Entering(None, np.zeros(len(past), dtype=np.intp))
    if len(past) < FEWEST_ROWS:
        return off
    plain = plain_router(past)
    same = np.full(len(past), plain.outlooks(past.seen[:1], None)[0].start, dtype=np.intp)
    tried = [_judged(plain, same, past, tiers, cost)]
    if 0 < past.deferred[0].mean() < 1:
        learned = _judged(fit_router(past), unseen_starts(past, seed=seed), past, tiers, cost)
        tried.append(replace(learned, learned=True))
    best = max(reversed(tried), key=lambda one: one.saves)
    pays = best.saves > max(BEYOND_NOISE * best.error, LEAST_SAVED) and best.gains >= -TOLERANCE
    return _told(best) if pays else off


def never_asking(past: PastQueries) -> Entering:
    """Return the router of a cascade that accepts nothing: no query need ask."""
    router = plain_router(replace(past, deferred=np.ones_like(past.deferred)))
    certain = [tier.model_copy(update={"constant": 30.0}) for tier in router.tiers]
    saves = float(past.costs[0])
    starts = np.full(len(past), len(past.costs), dtype=np.intp)
    return _told(Entering(router.model_copy(update={"tiers": certain}), starts, saves=saves))


def walked(
    starts: Starts, deferred: npt.NDArray[np.bool_], tiers: Sequence[TierRows], cost: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (n,) what queries cost that start there, and the quality of their answers."""
    spent, quality = np.zeros(len(starts)), tiers[0].target.copy()
    under_way = np.ones(len(starts), dtype=bool)
    for number, tier in enumerate(tiers):
        here = under_way & (starts <= number)
        spent[here] += cost[number, here]
        taken = here & ~deferred[number]
        quality[taken] = tier.accepted[taken]
        under_way &= ~taken
    spent[under_way] += cost[-1, under_way]
    return spent, quality


def routed(tiers: Sequence[TierRows], starts: Starts) -> list[TierRows]:
    """Return what each tier says of rows that start there: those that start later are never accepted before."""
    return [replace(tier, scores=np.where(starts <= number, tier.scores, np.nan)) for number, tier in enumerate(tiers)]


def _judged(
    router: RouterPolicy, starts: Starts, past: PastQueries, tiers: Sequence[TierRows], cost: FloatArray
) -> Entering:
    first = walked(np.zeros_like(starts), past.deferred, tiers, cost)
    later = walked(starts, past.deferred, tiers, cost)
    saved = (first[0] - later[0]) / _unit(cost)
    return Entering(
        router=router,
        starts=starts,
        saves=float(saved.mean()),
        error=float(saved.std() / np.sqrt(len(saved))),
        gains=float((later[1] - first[1]).mean()),
    )


def _told(entering: Entering) -> Entering:
    """Write into the router what was found out about it."""
    assert entering.router is not None  # noqa: S101 - only those that are kept are told of
    tiers = len(entering.router.tiers)
    shares = np.bincount(entering.starts, minlength=tiers + 1) / max(1, len(entering.starts))
    figures = {"saves": entering.saves, "error": entering.error, "gains": entering.gains}
    update = {name: round(value, 6) for name, value in figures.items()}
    router = entering.router.model_copy(update={**update, "starts": shares.round(6).tolist()})
    return replace(entering, router=router)


def _unit(cost: FloatArray) -> float:
    return float(cost[-1].mean()) or 1.0
