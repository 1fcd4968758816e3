"""All that a report shows, as plain numbers and texts: worked out once, drawn and written down elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from semcascade.engine.policies import policy_of
from semcascade.evaluation.curve import FloatArray, Outcome, auc, chord_gain, gain
from semcascade.evaluation.evaluating import Evaluation, assess
from semcascade.evaluation.examples import Example, instructive
from semcascade.evaluation.measures import Resampled, interval
from semcascade.evaluation.observed import Observed, observe
from semcascade.evaluation.prices import MEMBER_COST, TARGET_COST, Prices
from semcascade.evaluation.replay import cascade_to_judge
from semcascade.evaluation.rows import Row
from semcascade.evaluation.side_by_side import SideBySide

__all__ = ["Bin", "Group", "SignalCurve", "Step", "Study", "System", "Task", "study"]

_log = logging.getLogger(__name__)

GRID = np.linspace(0, 1, 51)
"""Deferral rates at which curves are drawn."""

BINS = 20
_DRAWS = 200
_AS_GOOD = 0.05
_GROUPS, _FEWEST = 12, 8
_TIE = 1e-9


@dataclass(frozen=True)
class SignalCurve:
    """One signal's deferral curve, with 95 % bootstrap intervals, at the rates of `GRID`."""

    name: str
    auc: float
    gain: float
    gain_ci: tuple[float, float]
    chord_gain: float
    chord_gain_ci: tuple[float, float]
    quality: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Step:
    """What one threshold for all tiers leads to."""

    threshold: float
    rate: float
    cost: float
    quality: float


@dataclass(frozen=True)
class System:
    """One system alone: the number of its tier, mean quality, and cost as a share of the target's."""

    name: str
    tier: int
    quality: float
    cost: float


@dataclass(frozen=True)
class Bin:
    """How many good and bad answers have a score from `start` to `end`."""

    start: float
    end: float
    good: int
    bad: int


@dataclass(frozen=True)
class Group:
    """Answers of about the same score: their mean score, and their mean quality with its 95 % interval."""

    rows: int
    score: float
    quality: float
    low: float
    high: float


@dataclass(frozen=True)
class Task:
    """What the cascade does on the rows of one task, as it is set."""

    name: str
    rows: int
    member: float
    ensemble: float
    target: float
    gain: float
    deferred: float
    quality: float


@dataclass(frozen=True)
class Study:
    """Everything that a report shows.

    Attributes:
        title: What it is about, e.g. the name of the file.
        evaluation: The numbers of the cascade as it is set.
        systems: Every system, in the order of tiers.
        signals: Every signal's curve, the one that decides first.
        steps: What thresholds from 0 to 1 lead to, by hundredths.
        oracle: Quality at the rates of `GRID` where what deferring gains is known beforehand.
        bins: The first tier's scores, from 0 to 1.
        groups: The first tier's answers by score, the lowest first.
        unscored: Rows without a score; they are always deferred.
        tasks: One for each task, where there are several.
        agreed_wrong: Accepted answers that are bad.
        disagreed_fine: Deferred answers that are good.
        good: What counts as a good answer, in words.
        certificates: What a policy promises, tier by tier.
    """

    title: str
    evaluation: Evaluation
    systems: tuple[System, ...]
    signals: tuple[SignalCurve, ...]
    steps: tuple[Step, ...]
    oracle: FloatArray
    bins: tuple[Bin, ...]
    groups: tuple[Group, ...]
    unscored: int
    tasks: tuple[Task, ...]
    agreed_wrong: tuple[Example, ...]
    disagreed_fine: tuple[Example, ...]
    good: str
    certificates: tuple[str, ...]

    def _repr_html_(self) -> str:
        from semcascade.evaluation.notebook import study_html

        return study_html(self)


async def study(
    rows: Iterable[Row],
    ensemble: Sequence[str] | None = None,
    target: str | None = None,
    *,
    title: str = "",
    member_cost: float | Sequence[float] = MEMBER_COST,
    target_cost: float = TARGET_COST,
    seed: int = 0,
    skipped: Callable[[str], None] = _log.warning,
    **settings: Any,
) -> Study:
    """Look at a cascade on recorded rows from every side; arguments as for `evaluate`.

    Args:
        rows: The rows. They are gone through twice, the second time for the texts that are shown; what can be gone
            through only once is kept in memory.
        ensemble: Systems of the ensemble; the first is the primary member.
        target: System of the target.
        title: What the study is about.
        member_cost: Price of asking one member, or one price for each tier before the target.
        target_cost: Price of asking the target, in the same unit.
        seed: Of the bootstrap draws and the halvings.
        skipped: Is told how many rows were left out, and why.
        **settings: Further settings of `CascadeConfig`, e.g. `tiers` or `policy`.

    Raises:
        InputError: If no row has an answer and a score of every system.
        ConfigError: If a setting is wrong.
    """
    rows = list(rows) if iter(rows) is rows else rows
    config = cascade_to_judge(ensemble, target, settings)
    others = SideBySide(config)
    seen = await observe(rows, config, skipped=skipped, watch=others.add)
    prices = Prices.of(seen.paid, seen.tiers, answers=seen.answers, member_cost=member_cost, target_cost=target_cost)
    outcome = seen.outcome(prices)
    good, words = _good(outcome)
    evaluation = assess(seen, prices, seed=seed)
    best = outcome.quality[:-1].max(axis=0)
    oracle = Outcome.two_tiers(best - outcome.target, best, outcome.target, best)
    policy = policy_of(config)
    agreed, disagreed = await instructive(rows, config, seen, good)
    return Study(
        title=title,
        evaluation=evaluation,
        systems=_systems(seen, prices),
        signals=_signals(seen, outcome, others.scores(), seed),
        steps=tuple(_steps(outcome)),
        oracle=oracle.curve.at_rate(GRID),
        bins=tuple(_bins(outcome.reliability[0], good)),
        groups=tuple(_groups(outcome.reliability[0], outcome.accepted)),
        unscored=int(np.isnan(outcome.reliability[0]).sum()),
        tasks=_tasks(seen, outcome),
        agreed_wrong=agreed,
        disagreed_fine=disagreed,
        good=words,
        certificates=tuple(str(tier.certificate) for tier in policy.tiers if tier.certificate) if policy else (),
    )


def _good(outcome: Outcome) -> tuple[npt.NDArray[np.bool_], str]:
    """Return (n,) whether the first tier's answer is good, and what that means."""
    if np.isin(outcome.quality, (0.0, 1.0)).all():
        return outcome.accepted > 0, "right"
    return outcome.accepted >= outcome.target - _AS_GOOD, f"at most {_AS_GOOD:g} worse than the target's own answer"


def _systems(seen: Observed, prices: Prices) -> tuple[System, ...]:
    unit = prices.by_system[seen.target].mean() or 1.0
    return tuple(
        System(name, tier, float(seen.quality[name].mean()), float(prices.by_system[name].mean() / unit))
        for tier, names in enumerate(seen.tiers)
        for name in names
    )


def _signals(seen: Observed, outcome: Outcome, others: dict[str, FloatArray], seed: int) -> tuple[SignalCurve, ...]:
    """Return the curve of the signal that decides, then those of the others, the best first."""
    deciding = _signal_curve(seen.signal, outcome, seed)
    first = replace(outcome, quality=outcome.quality[[0, -1]], cost=outcome.cost[[0, -1]])
    found = [
        _signal_curve(name, replace(first, reliability=scores[None]), seed)
        for name, scores in others.items()
        if name != seen.signal
    ]
    return (deciding, *sorted(found, key=lambda curve: -curve.auc))


def _signal_curve(name: str, outcome: Outcome, seed: int) -> SignalCurve:
    drawn = Resampled.of(outcome, rates=GRID, draws=_DRAWS, seed=seed)
    low, high = np.quantile(drawn.quality, [0.025, 0.975], axis=0)
    return SignalCurve(
        name=name,
        auc=auc(outcome),
        gain=gain(outcome),
        gain_ci=interval(drawn.gain),
        chord_gain=chord_gain(outcome),
        chord_gain_ci=interval(drawn.chord_gain),
        quality=outcome.curve.at_rate(GRID),
        low=low,
        high=high,
    )


def _steps(outcome: Outcome) -> Iterable[Step]:
    curve = outcome.curve
    for threshold in np.linspace(0, 1, 101).round(2):
        place = curve.place(threshold - _TIE)
        rate, cost, quality = (float(column[place]) for column in (curve.rate, curve.cost, curve.quality))
        yield Step(float(threshold), rate, cost, quality)


def _bins(score: FloatArray, good: npt.NDArray[np.bool_]) -> Iterable[Bin]:
    """Yield the bins of equal width that hold rows."""
    known = ~np.isnan(score)
    place = np.clip(score[known] * BINS + _TIE, 0, BINS - 1).astype(int)
    for index in np.unique(place):
        here = good[known][place == index]
        yield Bin(index / BINS, (index + 1) / BINS, int(here.sum()), int((~here).sum()))


def _groups(score: FloatArray, quality: FloatArray) -> Iterable[Group]:
    """Yield groups of neighbouring scores, equal ones together, each large enough to say something.

    Intervals are those of Wilson (1927) for a share; a mean of qualities from 0 to 1 varies no more than a share.
    """
    known = np.flatnonzero(~np.isnan(score))
    order = known[np.argsort(score[known], kind="stable")]
    least, group = max(_FEWEST, len(order) / _GROUPS), list[int]()
    for place, row in enumerate(order):
        group.append(int(row))
        last = place + 1 == len(order)
        if last or (len(group) >= least and score[order[place + 1]] > score[row] + _TIE):
            yield _group(score[group], quality[group])
            group = []


def _group(score: FloatArray, quality: FloatArray) -> Group:
    n, mean, z = len(score), float(quality.mean()), 1.96
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * float(np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2)))
    return Group(n, float(score.mean()), mean, max(0.0, centre - reach), min(1.0, centre + reach))


def _tasks(seen: Observed, outcome: Outcome) -> tuple[Task, ...]:
    names = np.array(seen.tasks)
    found = []
    for name in sorted(set(seen.tasks)):
        rows = np.flatnonzero(names == name)
        part, answered = outcome.take(rows), seen.answered[rows]
        returned = part.quality[answered, np.arange(len(rows))]
        found.append(
            Task(
                name or "(no task)", len(rows), float(part.member_quality.mean()), float(part.accepted.mean()),
                float(part.target.mean()), gain(part), float((answered == len(outcome.quality) - 1).mean()),
                float(returned.mean()),
            )
        )  # fmt: skip
    return tuple(found)
