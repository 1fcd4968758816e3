"""What a policy is fitted for: a bound on what is lost, on what is spent, on what is deferred, or on quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias

from semcascade.errors import ConfigError

__all__ = ["Claimed", "Goal"]

Claimed: TypeAlias = Literal["graded", "joint", "selective", "regret"]

_SHARES = ("max_loss", "escalation_rate", "min_quality", "good", "worse")
_NUMBERS = (*_SHARES, "max_cost", "confidence")
_CLAIMS = ("graded", "joint", "selective", "regret")


@dataclass(frozen=True, slots=True)
class Goal:
    """What the thresholds are set by; exactly one of the first four is given, `max_loss=0.02` where none is.

    Attributes:
        max_loss: The most that `claim` may come to; a guarantee.
        max_cost: The most that a query may cost on average, as a share of always asking the target.
        escalation_rate: Share of queries that go to the target.
        min_quality: Mean quality of the cascade, 0 to 1, for the least cost.
        confidence: Probability, over draws of the calibration rows, that the guarantee holds; None: that it holds in
            expectation (conformal risk control).
        claim: What `max_loss` bounds. `graded`: mean quality lost against the target, per query; `joint`: share of
            queries that are accepted with a bad answer; `selective`: share of accepted answers that are bad;
            `regret`: share of accepted answers that are clearly worse than the target's.
        good: Least quality of a good answer; what is below is bad.
        worse: By how much an answer's quality must be below the target's to be clearly worse.
    """

    max_loss: float | None = None
    max_cost: float | None = None
    escalation_rate: float | None = None
    min_quality: float | None = None
    confidence: float | None = 0.95
    claim: Claimed = "graded"
    good: float = 0.5
    worse: float = 0.05

    def __post_init__(self) -> None:
        """Check the goal.

        Raises:
            ConfigError: If there are several, or one is out of range.
        """
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
                raise ConfigError(f"expected a number, got {value!r}", field=name)
        names = ("max_loss", "max_cost", "escalation_rate", "min_quality")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"it and {given[1]} exclude each other; give one goal", field=given[0])
        if not given:
            object.__setattr__(self, "max_loss", 0.02)
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"expected a number from 0 to 1, got {value}", field=name)
        if self.max_loss is not None and not 0 < self.max_loss < 1:
            raise ConfigError(
                "no rows can show that nothing is ever lost; give a number above 0, below 1", field="max_loss"
            )
        if self.max_cost is not None and not 0 < self.max_cost < math.inf:
            raise ConfigError(f"expected a share of the target's cost above 0, got {self.max_cost}", field="max_cost")
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(f"expected a probability from 0.5 to below 1, got {self.confidence}", field="confidence")
        if self.claim not in _CLAIMS:
            raise ConfigError(f"expected one of {', '.join(_CLAIMS)}, got {self.claim!r}", field="claim")
        if self.confidence is None and self.claim in {"selective", "regret"}:
            raise ConfigError(f"a {self.claim} claim holds with a confidence, not in expectation", field="confidence")

    @property
    def certified(self) -> bool:
        """Whether the goal is a guarantee, which takes rows of its own."""
        return self.max_loss is not None

    def reached(self, *, cost: float, rate: float, quality: float) -> bool:
        """Say whether a mean cost, a share of deferred queries and a mean quality are what was asked for."""
        if self.max_cost is not None:
            return cost <= self.max_cost + 1e-9
        if self.escalation_rate is not None:
            return rate <= self.escalation_rate + 1e-9
        return self.min_quality is None or quality >= self.min_quality - 1e-9

    def __str__(self) -> str:
        if self.max_cost is not None:
            return f"a mean cost of at most {self.max_cost:.0%} of the target's"
        if self.escalation_rate is not None:
            return f"{self.escalation_rate:.0%} of queries deferred"
        if self.min_quality is not None:
            return f"a mean quality of at least {self.min_quality:g}"
        return f"{self.claim} loss of at most {self.max_loss:g}"
