"""Replaying recorded rows through the engine: evaluation and production run the same code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from semcascade.decision import Decision
from semcascade.engine.cascade import Cascade
from semcascade.errors import InputError
from semcascade.evaluation.curve import (
    Outcome,
    auc,
    chord_gain,
    deferral_at,
    effective_members,
    gain,
    oracle_auc,
    random_auc,
)
from semcascade.evaluation.rows import Row
from semcascade.transport.recorded import RecordedTransport

__all__ = ["Evaluation", "evaluate", "replay"]

_DRAWS = 500


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a cascade decides on recorded rows; qualities and areas in [0, 1].

    Attributes:
        n: Rows.
        signal: The signal that was evaluated.
        target_quality: Mean quality of the target.
        ensemble_quality: Mean quality of the answers that the ensemble would return.
        best_member: Name and mean quality of the best single member.
        auc: Area under the deferral curve.
        auc_random: The same for deferral at random.
        auc_oracle: The same for deferral by the true gain.
        gain: Area above random.
        gain_ci: 95 % bootstrap interval of `gain`.
        oracle_share: `gain` as a share of the oracle's, or None where that is 0.
        chord_gain: Area above the best single member mixed at random with the target.
        chord_gain_ci: 95 % bootstrap interval of `chord_gain`.
        cost_at_99: Cost of reaching 99 % of the target's quality, as a share of always asking the target; the
            threshold is found on one half of the rows and measured on the other.
        deferral_at_99: Share of rows deferred there.
        n_effective: Effective number of independent members.
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
    cost_at_99: float
    deferral_at_99: float
    n_effective: float

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain data."""
        name, quality = self.best_member
        return asdict(self) | {"best_member": {"name": name, "quality": quality}}


async def replay(
    rows: Iterable[Row], ensemble: Sequence[str], target: str, *, concurrency: int = 8, **settings: Any
) -> list[Decision]:
    """Run every row through the engine, over its recorded answers, and return the decisions in order.

    Args:
        rows: The rows.
        ensemble: Systems of the ensemble; the first is the primary member.
        target: System of the target.
        concurrency: Rows under way at once.
        **settings: Further settings of `CascadeConfig`.

    Raises:
        InputError: If a row lacks an answer of one of the systems.
    """
    rows = list(rows)
    _require(rows, [*ensemble, target])
    transport = RecordedTransport({row.id: {name: row.all_answers(name) for name in row.answers} for row in rows})
    gate = asyncio.Semaphore(concurrency)
    async with Cascade(ensemble=list(ensemble), target=target, transport=transport, **settings) as cascade:

        async def one(row: Row) -> Decision:
            async with gate:
                result = await cascade.acomplete(
                    list(row.messages), tools=row.tools, response_format=row.response_format, recorded_id=row.id
                )
                return result.decision

        return await asyncio.gather(*(one(row) for row in rows))


async def evaluate(
    rows: Iterable[Row],
    ensemble: Sequence[str],
    target: str,
    *,
    member_cost: float = 0.05,
    target_cost: float = 1.0,
    seed: int = 0,
    **settings: Any,
) -> Evaluation:
    """Evaluate a cascade on recorded rows.

    Args:
        rows: The rows.
        ensemble: Systems of the ensemble; the first is the primary member.
        target: System of the target.
        member_cost: Price of asking one member.
        target_cost: Price of asking the target, in the same unit.
        seed: Of the bootstrap draws and the halvings.
        **settings: Further settings of `CascadeConfig`.

    Raises:
        InputError: If a row lacks an answer or a score of one of the systems.
    """
    rows = list(rows)
    decisions = await replay(rows, ensemble, target, **settings)
    outcome = outcome_of(rows, decisions, ensemble, target)
    quality = {name: float(np.mean([row.scores[name] for row in rows])) for name in ensemble}
    best = max(quality, key=lambda name: quality[name])
    rng = np.random.default_rng(seed)
    draws = [outcome.take(rng.integers(0, len(rows), len(rows))) for _ in range(_DRAWS)]
    possible = oracle_auc(outcome) - random_auc(outcome)
    scored = decisions[0].scored
    deferral = deferral_at(outcome, 0.99, seed=seed)
    return Evaluation(
        n=len(rows),
        signal=scored.signal or "" if scored else "",
        target_quality=float(outcome.target.mean()),
        ensemble_quality=float(outcome.accepted.mean()),
        best_member=(best, quality[best]),
        auc=auc(outcome),
        auc_random=random_auc(outcome),
        auc_oracle=oracle_auc(outcome),
        gain=gain(outcome),
        gain_ci=_interval([gain(draw) for draw in draws]),
        oracle_share=gain(outcome) / possible if possible > 0 else None,
        chord_gain=chord_gain(outcome),
        chord_gain_ci=_interval([chord_gain(draw) for draw in draws]),
        cost_at_99=len(ensemble) * member_cost / target_cost + deferral,
        deferral_at_99=deferral,
        n_effective=effective_members(1 - np.array([[row.scores[name] for name in ensemble] for row in rows])),
    )


def outcome_of(rows: Sequence[Row], decisions: Sequence[Decision], ensemble: Sequence[str], target: str) -> Outcome:
    """Return what accepting and deferring would have given, row by row."""
    quality = {name: np.array([row.scores[name] for row in rows]) for name in [*ensemble, target]}
    best = max(ensemble, key=lambda name: float(quality[name].mean()))
    accepted, reliability = [], []
    for row, decision in zip(rows, decisions, strict=True):
        tier = decision.tiers[0]
        chosen = tier.candidates[tier.chosen].member if tier.chosen is not None else ensemble[0]
        accepted.append(row.scores[chosen])
        reliability.append(np.nan if tier.score is None else tier.score)
    return Outcome(np.array(reliability), np.array(accepted), quality[target], quality[best])


def _require(rows: Sequence[Row], systems: Sequence[str]) -> None:
    if not rows:
        raise InputError("there are no rows", field="data")
    for row in rows:
        for system in systems:
            if system not in row.answers or system not in row.scores:
                raise InputError(f"row {row.id!r} has no answer or no score of {system!r}", field="data")


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
