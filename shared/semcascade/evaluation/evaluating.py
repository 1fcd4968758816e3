"""What a cascade's decisions are worth: against chance, against an oracle, against the best single member."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from semcascade.evaluation.curve import (
    Curve,
    Outcome,
    auc,
    chord_gain,
    chord_gain_at_cost,
    gain,
    oracle_auc,
    random_auc,
)
from semcascade.evaluation.measures import Resampled, effective_members, interval, reach
from semcascade.evaluation.observed import Observed, observe
from semcascade.evaluation.prices import MEMBER_COST, TARGET_COST, Prices
from semcascade.evaluation.replay import cascade_to_judge
from semcascade.evaluation.rows import Row

__all__ = ["Evaluation", "assess", "evaluate"]

_log = logging.getLogger(__name__)

_FEW_ROWS = 100
_POINTS = 201


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a cascade decides on recorded rows; qualities and areas in [0, 1], costs as shares of the target's.

    Attributes:
        n: Rows.
        signal: The signal that was evaluated.
        target_quality: Mean quality of the target.
        ensemble_quality: Mean quality of the answers that the first tier would return.
        best_member: Name and mean quality of the best single member.
        auc: Area under the deferral curve.
        auc_random: The same for deferral at random.
        auc_oracle: The same for deferral by the true gain.
        gain: Area above random.
        gain_ci: 95 % bootstrap interval of `gain`.
        oracle_share: `gain` as a share of the oracle's, or None where that is 0.
        chord_gain: Area above the best single member mixed at random with the target.
        chord_gain_ci: 95 % bootstrap interval of `chord_gain`.
        chord_gain_at_cost: Mean height above that mixture at equal cost; None where the first tier costs as much as
            the target.
        cost_at_99: Cost of reaching 99 % of the target's quality, as a share of always asking the target; the
            threshold is found on one half of the rows and measured on the other.
        deferral_at_99: Share of rows deferred there.
        share_at_99: Share of the target's quality that was reached there, on the half that had no part in it.
        n_effective: Effective number of independent members.
        ensemble_cost: What asking the first tier costs.
        recorded_costs: Whether costs are those that were paid, not assumed prices.
        break_even: `deferral_rate`, above which the cascade costs more than the target alone, and `member_cost`, the
            price of a member at which reaching 99 % of the target's quality costs as much as the target.
        at_threshold: What the cascade does as it is set: `threshold` (None where there are several),
            `deferral_rate`, `cost`, `quality`, and `loss`, the mean quality lost against the target.
        router: What the router does, where there is one: `starts`, the share of queries that starts at each tier, the
            target last; `saves`, what a query saves by it as a share of the target's cost, at the same thresholds, with
            its standard `error`; `gains`, how much the quality rises; `saves_at_rate` and `gains_at_rate`, the same
            against what defers as many without it. All else but `at_threshold` is without it.
        curve: The deferral curve's points, from accepting everything to deferring everything: `threshold`, `rate`,
            `cost`, `quality`.
        notes: What to know before believing the numbers.
    """

    n: int
    signal: str
    target_quality: float
    ensemble_quality: float
    best_member: tuple[str, float]
    auc: float
    auc_random: float
    auc_oracle: float
    gain: float
    gain_ci: tuple[float, float]
    oracle_share: float | None
    chord_gain: float
    chord_gain_ci: tuple[float, float]
    chord_gain_at_cost: float | None
    cost_at_99: float
    deferral_at_99: float
    share_at_99: float | None
    n_effective: float
    ensemble_cost: float
    recorded_costs: bool
    break_even: dict[str, float | None]
    at_threshold: dict[str, float | None]
    curve: dict[str, tuple[float | None, ...]]
    router: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain data."""
        name, quality = self.best_member
        return asdict(self) | {"best_member": {"name": name, "quality": quality}}

    def _repr_html_(self) -> str:
        from semcascade.evaluation.notebook import evaluation_html

        return evaluation_html(self)


async def evaluate(
    rows: Iterable[Row],
    ensemble: Sequence[str] | None = None,
    target: str | None = None,
    *,
    member_cost: float | Sequence[float] = MEMBER_COST,
    target_cost: float = TARGET_COST,
    seed: int = 0,
    skipped: Callable[[str], None] = _log.warning,
    **settings: Any,
) -> Evaluation:
    """Evaluate a cascade on recorded rows.

    Costs are those that were recorded where all systems' are known, else the prices that are given.

    Args:
        rows: The rows; those that lack an answer or a score are left out.
        ensemble: Systems of the ensemble; the first is the primary member.
        target: System of the target.
        member_cost: Price of asking one member, or one price for each tier before the target.
        target_cost: Price of asking the target, in the same unit.
        seed: Of the bootstrap draws and the halvings.
        skipped: Is told how many rows were left out, and why.
        **settings: Further settings of `CascadeConfig`, e.g. `tiers` instead of `ensemble` and `target`.

    Raises:
        InputError: If no row has an answer and a score of every system.
        ConfigError: If a setting is wrong.
    """
    config = cascade_to_judge(ensemble, target, settings)
    observed = await observe(rows, config, skipped=skipped)
    prices = Prices.of(
        observed.paid, observed.tiers, answers=observed.answers, member_cost=member_cost, target_cost=target_cost
    )
    return assess(observed, prices, seed=seed)


def assess(observed: Observed, prices: Prices, *, seed: int = 0) -> Evaluation:
    """Return what the decisions that were observed are worth."""
    outcome = observed.outcome(prices)
    drawn = Resampled.of(outcome, seed=seed)
    chord_ci = interval(drawn.chord_gain)
    possible = oracle_auc(outcome) - random_auc(outcome)
    reached = reach(outcome, 0.99, seed=seed)
    best = observed.best_member
    errors = 1 - np.array([observed.quality[name] for name in observed.tiers[0]]).T
    spent = float(outcome.curve.cost[0])
    members = len(observed.tiers[0])
    return Evaluation(
        n=len(observed),
        signal=observed.signal,
        target_quality=float(outcome.target.mean()),
        ensemble_quality=float(outcome.accepted.mean()),
        best_member=(best, float(observed.quality[best].mean())),
        auc=auc(outcome),
        auc_random=random_auc(outcome),
        auc_oracle=oracle_auc(outcome),
        gain=gain(outcome),
        gain_ci=interval(drawn.gain),
        oracle_share=gain(outcome) / possible if possible > 1e-12 else None,
        chord_gain=chord_gain(outcome),
        chord_gain_ci=chord_ci,
        chord_gain_at_cost=chord_gain_at_cost(outcome),
        cost_at_99=reached.cost,
        deferral_at_99=reached.rate,
        share_at_99=reached.share,
        n_effective=effective_members(errors),
        ensemble_cost=spent,
        recorded_costs=prices.recorded,
        break_even={"deferral_rate": _affordable(outcome.curve), "member_cost": (1 - reached.rate) / members},
        at_threshold=_at_threshold(observed, outcome),
        curve=_thinned(outcome.curve),
        router=_router(observed, outcome),
        notes=tuple(_notes(observed, outcome, reached.cost, chord_ci)),
    )


def _at_threshold(observed: Observed, outcome: Outcome) -> dict[str, float | None]:
    """Return what the cascade does as it is set."""
    unit = outcome.cost[-1].mean() or 1.0
    cost, quality = outcome.walked(observed.started, observed.answered)
    return {
        "threshold": observed.threshold,
        "deferral_rate": float((observed.answered == len(outcome.quality) - 1).mean()),
        "cost": float(cost.mean() / unit),
        "quality": float(quality.mean()),
        "loss": float((outcome.target - quality).mean()),
    }


def _router(observed: Observed, outcome: Outcome) -> dict[str, Any] | None:
    """Return what letting queries start later does; None where none does."""
    if not observed.routed:
        return None
    cost, quality = outcome.walked(observed.started, observed.answered)
    cost_without, quality_without = outcome.walked(np.zeros_like(observed.started), observed.unrouted)
    unit = float(outcome.cost[-1].mean()) or 1.0
    saved = (cost_without - cost) / unit
    starts = np.bincount(observed.started, minlength=len(outcome.quality)) / len(outcome)
    rate, curve = np.array([(observed.answered == len(outcome.quality) - 1).mean()]), outcome.curve
    return {
        "starts": starts.tolist(),
        "saves": float(saved.mean()),
        "error": float(saved.std() / np.sqrt(len(saved))),
        "gains": float((quality - quality_without).mean()),
        "saves_at_rate": float(np.interp(rate, curve.rate, curve.cost)[0] - cost.mean() / unit),
        "gains_at_rate": float(quality.mean() - curve.at_rate(rate)[0]),
    }


def _affordable(curve: Curve) -> float:
    """Return the deferral rate at which the cascade costs as much as the target alone."""
    return float(np.interp(1.0, curve.cost, curve.rate)) if curve.cost[0] < 1 else 0.0


def _thinned(curve: Curve) -> dict[str, tuple[float | None, ...]]:
    """Return a curve's points as plain data, not more than a page can draw; infinities become None."""
    count = len(curve.rate)
    places = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int))
    columns = {"threshold": curve.threshold, "rate": curve.rate, "cost": curve.cost, "quality": curve.quality}
    return {
        name: tuple(float(value) if np.isfinite(value) else None for value in column[places])
        for name, column in columns.items()
    }


def _notes(observed: Observed, outcome: Outcome, cost_at_99: float, chord_ci: tuple[float, float]) -> Iterable[str]:
    n, spent = len(observed), float(outcome.curve.cost[0])
    known = outcome.reliability[~np.isnan(outcome.reliability)]
    if observed.of_the_fit:
        yield "the policy was fitted to these very rows: measure it on others"
    if n < _FEW_ROWS:
        yield f"only {n} {'row' if n == 1 else 'rows'}: read the intervals, not the numbers"
    if not np.any(outcome.quality[:-1] != outcome.target):
        yield "every answer is as good as the target's on these rows: there is nothing to tell apart"
    elif not known.size:
        yield "no row has a score, so all are deferred: too few members answered, or the signal is undefined for them"
    elif known.size == outcome.reliability.size and known.min() == known.max():
        yield "the signal is the same on all rows: it cannot tell good answers from bad ones"
    elif chord_ci[1] <= 0:
        yield f"worse than mixing {observed.best_member} at random with the target"
    elif chord_ci[0] <= 0:
        yield f"not better, beyond noise, than mixing {observed.best_member} at random with the target"
    if spent >= 1:
        yield "asking the first tier costs as much as asking the target: this cascade can never save"
    elif cost_at_99 >= 1:
        yield "99 % of the target's quality costs more this way than asking the target alone"
