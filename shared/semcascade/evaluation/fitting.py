"""From labelled rows to a fitted policy: how to decide in each tier, from which score on, and what that promises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from semcascade import __version__
from semcascade.config import CascadeConfig
from semcascade.deferral.calibrators import calibrate
from semcascade.deferral.neighbours import HASHED
from semcascade.deferral.policy import BINS, Fingerprint, Policy, Reference, TierPolicy
from semcascade.deferral.rules import TIE
from semcascade.errors import ConfigError, InputError
from semcascade.evaluation.curve import FloatArray, Outcome
from semcascade.evaluation.entering import (
    Asked,
    Entering,
    deferrals,
    fit_entry,
    never_asking,
    past_queries,
    routed,
    walked,
)
from semcascade.evaluation.goals import Goal
from semcascade.evaluation.observed import RowsDigest, labelled, paid_for, quality_of
from semcascade.evaluation.prices import MEMBER_COST, TARGET_COST, Prices
from semcascade.evaluation.recipes import Recipe, Trial, accepted, choose_recipe, recipes_for
from semcascade.evaluation.replay import cascade_to_judge
from semcascade.evaluation.rows import Row
from semcascade.evaluation.sights import Ranking, Sights, Watcher
from semcascade.evaluation.thresholds import Settled, TierRows, certify, reach, within
from semcascade.messages import question_text

__all__ = ["MOST_ROWS", "Fit", "fit_policy", "fit_rows"]

_log = logging.getLogger(__name__)

FEWEST_ROWS = 8
"""Fewer rows tell nothing."""

MOST_ROWS = 10_000
"""No more rows are fitted on, so that memory has a bound; more make hardly a difference."""

_FIT_SHARE = 0.5


@dataclass(frozen=True)
class Fit:
    """A fitted policy, and what was tried on the way.

    Attributes:
        policy: The policy.
        trials: For each tier what was tried, the one that was taken first.
        goal: What it was fitted for.
        entering: The router that was tried, and what it is worth; None where none was asked for.
    """

    policy: Policy
    trials: tuple[tuple[Trial, ...], ...]
    goal: Goal
    entering: Entering | None = None


async def fit_policy(
    rows: Iterable[Row],
    ensemble: Sequence[str] | None = None,
    target: str | None = None,
    *,
    goal: Goal | None = None,
    member_cost: float | Sequence[float] = MEMBER_COST,
    target_cost: float = TARGET_COST,
    quality: str = "scores",
    seed: int = 0,
    router: bool = True,
    embedding: str = HASHED,
    skipped: Callable[[str], None] = _log.warning,
    **settings: Any,
) -> Fit:
    """Fit a policy to labelled rows.

    For a guarantee, one half of the rows is fitted on and the other certifies; otherwise all rows are fitted on, and
    thresholds are set by what each row would have been told had it not been among them.

    Args:
        rows: The rows; those that lack an answer or a score of a system are left out.
        ensemble: Systems of the ensemble; the first is the primary member.
        target: System of the target.
        goal: What to fit for; a mean loss of at most 0.02 against the target, with 95 % confidence, unless given.
        member_cost: Price of asking one member, or one for each tier, where none was recorded.
        target_cost: Price of asking the target, in the same unit.
        quality: Where the scores came from, for the policy's fingerprint.
        seed: Of every draw.
        router: Whether to try to let queries start later that are likely to be deferred; off where that saves nothing.
        embedding: How the router tells queries apart: `"hashed"`, by their character n-grams, or the id of a
            sentence-transformers model, which is then needed wherever the policy is used.
        skipped: Is told how many rows were left out, and why.
        **settings: Further settings of `CascadeConfig`, e.g. `tiers` or `similarity`.

    Raises:
        InputError: If there are too few labelled rows.
        ConfigError: If a setting is wrong or no threshold reaches the goal.
        MissingDependencyError: If scikit-learn is not installed.
    """
    config = cascade_to_judge(ensemble, target, settings)
    if config.policy is not None:
        raise ConfigError("a policy is fitted to a cascade without one", field="policy")
    table = await _Table.read(rows, config, skipped, embedding)
    prices = Prices.of(table.paid, table.tiers, answers=table.answers, member_cost=member_cost, target_cost=target_cost)
    return fit_rows(table, config, prices, goal or Goal(), quality=quality, seed=seed, router=router)


@dataclass(frozen=True)
class _Table:
    """All that is known of the rows, column by column."""

    tiers: tuple[tuple[str, ...], ...]
    sights: list[Sights]
    asked: Asked
    quality: dict[str, FloatArray]
    paid: dict[str, FloatArray]
    answers: dict[str, FloatArray]
    digest: str

    @classmethod
    async def read(
        cls, rows: Iterable[Row], config: CascadeConfig, skipped: Callable[[str], None], embedding: str = HASHED
    ) -> _Table:
        tiers = tuple(tuple(member.name for member in tier.members) for tier in config.tiers)
        systems = list(dict.fromkeys(name for tier in tiers for name in tier))
        watcher, queries, digest = Watcher(config), list[tuple[str, int]](), RowsDigest(systems)
        columns: list[list[list[float]]] = [[], [], []]
        for row in _bounded(labelled(rows, systems, skipped), skipped):
            await watcher.watch(row)
            queries.append((question_text(row.messages), len(row.tools)))
            columns[0].append([quality_of(row, name) for name in systems])
            columns[1].append([paid_for(row, name) for name in systems])
            columns[2].append([float(len(row.all_answers(name))) for name in systems])
            digest.add(row)
        if len(columns[0]) < FEWEST_ROWS:
            raise InputError(
                f"{len(columns[0])} labelled rows tell nothing; at least {FEWEST_ROWS} are needed, and some hundred "
                "for a policy that is worth something",
                field="data",
            )
        quality, paid, answers = (
            dict(zip(systems, np.array(block, dtype=np.float64).T, strict=True)) for block in columns
        )
        asked = await Asked.by(queries, embedding)
        return cls(tiers, watcher.sights(), asked, quality, paid, answers, digest.text)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def target(self) -> FloatArray:
        """(n,) quality of the target's answers."""
        return self.quality[self.tiers[-1][0]]


def fit_rows(
    table: _Table,
    config: CascadeConfig,
    prices: Prices,
    goal: Goal,
    *,
    quality: str = "scores",
    seed: int = 0,
    router: bool = True,
) -> Fit:
    """Fit a policy to rows that were read."""
    fitted, held_out = _halves(len(table), goal, seed)
    with _one_thread():
        trials = [
            tuple(choose_recipe(recipes_for(sights, table.target, fitted, seed=seed), sights, table.target, fitted))
            for sights in table.sights
        ]
        cost = np.stack([prices.of_tier(tier) for tier in table.tiers])
        found = _Thresholds(table, config, goal, [one[0].recipe for one in trials], cost, fitted, held_out)
        settled, entering = found.settled, None
        if router:
            settled, entering = found.with_router(seed)
    unit = float(cost[-1].mean()) or 1.0
    tiers = [
        _tier_policy(
            config, number, tried, settled[number], found.judged[number], float(cost[number].mean()) / unit, goal
        )
        for number, tried in enumerate(trials)
    ]
    policy = Policy.model_validate(
        {
            "semcascade_policy": 1,
            "library": __version__,
            "target": table.tiers[-1][0],
            "tiers": _with_references(tiers, found.judged, found.starts),
            "router": None if entering is None else entering.router,
            "data": Fingerprint(rows=len(table), digest=table.digest, quality=quality),
            "notes": [f"fitted for {goal}", *([] if entering is None else [entering.note])],
        }
    )
    return Fit(policy, tuple(trials), goal, entering)


class _Thresholds:
    """Sets thresholds: without a router, and with one where that pays.

    Attributes:
        judged: What each tier says of the rows that thresholds are set by.
        starts: (n,) where these rows start.
        settled: What was settled without a router.
    """

    def __init__(
        self,
        table: _Table,
        config: CascadeConfig,
        goal: Goal,
        chosen: Sequence[Recipe],
        cost: FloatArray,
        fitted: npt.NDArray[np.intp],
        held_out: npt.NDArray[np.intp],
    ) -> None:
        self._table, self._config, self._goal, self._rows = table, config, goal, fitted
        self._held_out, self._cost, self._prices = held_out, cost[:, fitted], cost
        self._unseen = [
            _tier_rows(recipe.ranking, sights, table.target, fitted) for recipe, sights in _pairs(chosen, table)
        ]
        self.judged = self._unseen
        if goal.certified:
            self.judged = [
                _tier_rows(recipe.rank(sights, held_out), sights, table.target, held_out)
                for recipe, sights in _pairs(chosen, table)
            ]
        comparable = all(recipe.model is not None for recipe in chosen)
        self._dear = _going_on(cost) if comparable else [1.0] * len(chosen)
        self.starts = np.zeros(len(self.judged[0].scores), dtype=np.intp)
        self.settled = self._settle(self.judged, np.zeros(len(fitted), dtype=np.intp))

    def _settle(self, judged: Sequence[TierRows], starts: npt.NDArray[np.intp]) -> list[Settled]:
        if self._goal.certified:
            return certify(self._goal, judged, routed(self._unseen, starts))
        return reach(self._goal, _outcome(self._unseen, self._cost, starts), self._dear)

    def with_router(self, seed: int) -> tuple[list[Settled], Entering]:
        """Return what is settled with a router in place, and the router, or that there is none.

        It is fitted to what the thresholds defer that reach the goal without it. Those that a guarantee is made of are
        certified on other rows, with the router in place; so for it the thresholds are used that keep the bound on the
        rows of the fit.
        """
        goal = self._goal
        if goal.certified:
            usual = [within(goal, rows, len(self._unseen)) for rows in self._unseen]
        else:
            usual = [one.threshold for one in self.settled]
        past = past_queries(
            self._table.asked, self._config, self._table.sights, self._unseen, deferrals(self._unseen, usual),
            self._prices, self._rows,
        )  # fmt: skip
        if all(one.threshold is None for one in self.settled) and past.costs[0] > 0:
            return self._started(self.settled, never_asking(past))
        found = fit_entry(past, self._unseen, self._cost, seed=seed)
        if not found.moves:
            return self._started(self.settled, found if self._keeps(self.settled, found) else found.off())
        assert found.router is not None  # noqa: S101 - one that moves queries is there
        judged, starts = self.judged, found.starts
        if goal.certified:
            starts = self._table.asked.starts(found.router, self._held_out)
        judged = routed(judged, starts)
        try:
            settled = self._settle(judged, found.starts)
        except ConfigError:  # no threshold reaches the goal with it
            return self.settled, found.off()
        if not goal.certified and goal.escalation_rate is None:
            settled = [_stricter(*both) for both in zip(self.settled, settled, strict=True)]
        if not self._keeps(settled, found):
            return self.settled, found.off()
        self.judged, self.starts = judged, starts
        return settled, found

    def _started(self, settled: list[Settled], found: Entering) -> tuple[list[Settled], Entering]:
        """Let all rows start where a router that does not tell them apart says."""
        if found.router is not None:
            self.starts = np.full_like(self.starts, found.starts[0])
        return settled, found

    def _keeps(self, settled: Sequence[Settled], found: Entering) -> bool:
        """Say whether the goal is reached with the router in place, as it is without."""
        thresholds = [one.threshold for one in settled]
        if self._goal.certified:
            return not any(
                new is None and old.threshold is not None for new, old in zip(thresholds, self.settled, strict=True)
            )
        deferred = deferrals(self._unseen, thresholds)
        spent, quality = walked(found.starts, deferred, self._unseen, self._cost)
        waiting = np.arange(len(deferred))[:, None] < found.starts
        return self._goal.reached(
            cost=float(spent.mean() / (self._cost[-1].mean() or 1.0)),
            rate=float((deferred | waiting).all(axis=0).mean()),
            quality=float(quality.mean()),
        )


def _stricter(without: Settled, routed: Settled) -> Settled:
    """Return the stricter of both thresholds: a router spares calls, it does not make answers better."""
    if without.threshold is None or routed.threshold is None or routed.threshold >= without.threshold:
        return routed if without.threshold is not None else without
    return without


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread: its matrices are small, and many threads would wait for each other."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # comes with scikit-learn; too few rows to learn from need neither
        yield
        return
    with threadpool_limits(1):
        yield


def _halves(n: int, goal: Goal, seed: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows to fit on, and those that certify; all and none where nothing is certified."""
    order = np.random.default_rng(seed).permutation(n)
    split = round(_FIT_SHARE * n) if goal.certified else n
    return np.sort(order[:split]), np.sort(order[split:])


def _pairs(chosen: Sequence[Any], table: _Table) -> Iterator[tuple[Any, Sights]]:
    return zip(chosen, table.sights, strict=True)


def _tier_rows(ranking: Ranking, sights: Sights, target: FloatArray, rows: npt.NDArray[np.intp]) -> TierRows:
    return TierRows(ranking.scores, accepted(ranking, sights.quality[rows]), target[rows])


def _outcome(tiers: Sequence[TierRows], cost: FloatArray, starts: npt.NDArray[np.intp]) -> Outcome:
    """Return what the tiers answer and cost; a tier that a row starts behind costs nothing and says what comes next."""
    quality, cost = np.stack([*(tier.accepted for tier in tiers), tiers[0].target]), cost.copy()
    for number in reversed(range(len(tiers))):
        left_out = starts > number
        quality[number, left_out], cost[number, left_out] = quality[number + 1, left_out], 0.0
    nothing = np.zeros(quality.shape[1])
    return Outcome(np.stack([tier.scores for tier in routed(tiers, starts)]), quality, cost, nothing, nothing)


def _going_on(cost: FloatArray) -> list[float]:
    """Return what going on to the end from each tier but the last costs."""
    means = cost.mean(axis=1)
    return [float(means[number + 1 :].sum()) for number in range(len(means) - 1)]


def _tier_policy(
    config: CascadeConfig,
    number: int,
    trials: Sequence[Trial],
    settled: Settled,
    rows: TierRows,
    cost: float,
    goal: Goal,
) -> TierPolicy:
    tier, best = config.tiers[number], trials[0]
    found = calibrate(rows.scores, rows.accepted >= rows.target - goal.worse)
    policy = TierPolicy(
        members=[member.name for member in tier.members for _ in range(member.samples)],
        similarity=tier.similarity or config.similarity,
        threshold=settled.threshold,
        certificate=settled.certificate,
        calibrator=None if found is None else found[0],
        cost=round(cost, 6),
        notes=[*_said(best), *settled.notes, *([] if found is None else [f"calibrator: {found[1]}"])],
    )
    return policy.model_copy(update=best.recipe.fields)


def _with_references(
    tiers: Sequence[TierPolicy], judged: Sequence[TierRows], starts: npt.NDArray[np.intp]
) -> list[TierPolicy]:
    """Return the policies with a reference each: how it scores the rows that start there, or were deferred before."""
    found, waiting = list[TierPolicy](), np.ones(len(starts), dtype=bool)
    for number, (tier, rows) in enumerate(zip(tiers, judged, strict=True)):
        reaching = waiting & (starts <= number)
        threshold = np.inf if tier.threshold is None else tier.threshold
        taken = reaching & (np.nan_to_num(rows.scores, nan=-1.0) >= threshold - TIE)
        scores, count = rows.scores[reaching], int(reaching.sum())
        histogram = np.histogram(scores[np.isfinite(scores)], bins=BINS, range=(0.0, 1.0))[0]
        reference = Reference(
            rows=count,
            acceptance_rate=round(float(taken.sum()) / max(1, count), 6),
            histogram=[int(number) for number in histogram],
            loss=round(float((rows.target - rows.accepted)[taken].sum()) / max(1, count), 6),
        )
        found.append(tier.model_copy(update={"reference": reference}))
        waiting &= ~taken
    return found


def _said(best: Trial) -> list[str]:
    if best.error is None:
        return [f"nothing is better than {best.recipe.name}: no score tells good answers from bad ones on these rows"]
    sure = "" if best.gain > 2 * best.error else ", which is within noise"
    return [f"{best.recipe.name}: {best.gain:+.4f} over the strict chord on unseen rows (± {best.error:.4f}){sure}"]


def _bounded(rows: Iterable[Row], skipped: Callable[[str], None]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number == MOST_ROWS:
            skipped(f"only the first {MOST_ROWS} labelled rows are fitted on")
            return
        yield row
