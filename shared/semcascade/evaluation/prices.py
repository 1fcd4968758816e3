"""What asking each tier costs, row by row: as it was recorded, else by prices that are assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.errors import InputError
from semcascade.evaluation.curve import FloatArray

__all__ = ["MEMBER_COST", "TARGET_COST", "Prices"]

MEMBER_COST, TARGET_COST = 0.05, 1.0
"""Assumed prices where none were recorded."""

_FEW = 0.05
"""Share of a system's answers whose cost may be unknown: these count as its mean."""


@dataclass(frozen=True)
class Prices:
    """The cost of every answer.

    Attributes:
        by_system: (n,) by the system's name.
        recorded: Whether these are the US dollars that were paid, not assumed prices.
    """

    by_system: dict[str, FloatArray]
    recorded: bool

    @classmethod
    def of(
        cls,
        paid: Mapping[str, FloatArray],
        tiers: Sequence[Sequence[str]],
        *,
        answers: Mapping[str, FloatArray],
        member_cost: float | Sequence[float] = MEMBER_COST,
        target_cost: float = TARGET_COST,
    ) -> Prices:
        """Return what was recorded if the cost of every system is known, else what is assumed.

        Args:
            paid: (n,) US dollars for each system's answers, NaN where unknown.
            tiers: The systems of each tier, the target's last.
            answers: (n,) how many answers each system gave.
            member_cost: Assumed price of one answer of a member, or one for each tier before the target.
            target_cost: Assumed price of an answer of the target.

        Raises:
            InputError: If there are not as many prices as tiers before the target, or one is no price.
        """
        known = {
            name: cost for name, cost in ((name, _filled(cost)) for name, cost in paid.items()) if cost is not None
        }
        if len(known) == len(paid) and known[tiers[-1][0]].mean() > 0:
            return cls(known, recorded=True)
        each = [member_cost] if isinstance(member_cost, int | float) else list(member_cost)
        if not all(0 <= price < np.inf for price in each):
            raise InputError("a price is a number from 0 up", field="member_cost")
        if not 0 < target_cost < np.inf:
            raise InputError("must be a number greater than 0", field="target_cost")
        if len(each) == 1:
            each *= len(tiers) - 1
        if len(each) != len(tiers) - 1:
            wrong = f"{len(each)} prices, tiers before the target: {len(tiers) - 1}; give one, or one for each tier"
            raise InputError(wrong, field="member_cost")
        assumed = {name: price * answers[name] for price, tier in zip(each, tiers, strict=False) for name in tier}
        return cls(assumed | {tiers[-1][0]: target_cost * answers[tiers[-1][0]]}, recorded=False)

    def of_tier(self, tier: Sequence[str]) -> FloatArray:
        """Return (n,) what asking the whole tier costs."""
        return np.asarray(np.sum([self.by_system[name] for name in tier], axis=0))


def _filled(costs: FloatArray) -> FloatArray | None:
    """Return costs without gaps, or None where there are too many."""
    unknown = np.isnan(costs)
    if unknown.mean() > _FEW:
        return None
    return np.where(unknown, costs[~unknown].mean(), costs)
