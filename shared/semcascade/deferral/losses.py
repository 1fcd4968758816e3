"""What accepting an answer loses, in the terms of what a policy promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from semcascade.deferral.certificate import Claim, lost
from semcascade.deferral.policy import Policy

__all__ = ["Yardstick"]


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What counts as a loss.

    Attributes:
        claim: What is bounded.
        bar: What makes an answer bad, as in `Certificate`; None for a graded claim, or where nobody said.
        likeness: Whether qualities are likeness to the target's own answer.
    """

    claim: Claim = "graded"
    bar: float | None = None
    likeness: bool = True

    @classmethod
    def of(cls, policy: Policy | None) -> Self:
        """Return what a policy's certificate measures by: quality lost against the target where there is none.

        >>> Yardstick.of(None).of_scores(0.25, 1.0)
        0.75
        """
        found = policy.certificate if policy is not None else None
        if policy is None or found is None:
            return cls()
        return cls(found.claim, found.bar, policy.data is None or policy.data.likeness)

    def of_scores(self, accepted: float, target: float) -> float | None:
        """Return the loss of an accepted answer of this quality; None where nobody said what is bad."""
        return lost(self.claim, self.bar, accepted, target)

    def of_unlikeness(self, unlike: float) -> float | None:
        """Return the loss of an accepted answer so unlike the target's; None where only scores can tell.

        >>> Yardstick("regret", bar=0.05).of_unlikeness(0.2), Yardstick(likeness=False).of_unlikeness(0.2)
        (1.0, None)
        """
        return self.of_scores(1.0 - unlike, 1.0) if self.likeness else None
