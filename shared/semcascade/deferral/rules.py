"""Rules: reliability → accept or defer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass

from semcascade.config import CascadeConfig, Tier

__all__ = ["EscalationRate", "Foreseeing", "Leaning", "Rule", "Threshold", "Verdict", "rule_for"]

TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says about one score.

    Attributes:
        accept: Whether the tier's answer is good enough.
        threshold: What the score was held against; None where there was no score.
        reason: Why, in one clause.
    """

    accept: bool
    threshold: float | None
    reason: str


class Rule(ABC):
    """Decides from a reliability in [0, 1]."""

    __slots__ = ()

    @abstractmethod
    def decide(self, reliability: float) -> Verdict:
        """Accept or defer."""


class Foreseeing(ABC):
    """A rule that depends on nothing but the reliability, so that bounds on it can settle the decision."""

    __slots__ = ()

    @abstractmethod
    def settled(self, low: float, high: float) -> bool | None:
        """Say what every reliability from `low` to `high` leads to: True to accept, False to defer; None if to both."""


class Leaning(ABC):
    """A rule that can be asked about a reliability that is not the last word."""

    __slots__ = ()

    @abstractmethod
    def leans_to_defer(self, reliability: float) -> bool:
        """Say whether this reliability, if it is the last word, is deferred; nothing is remembered."""


@dataclass(frozen=True, slots=True)
class Threshold(Rule, Foreseeing, Leaning):
    """Accept iff the reliability reaches a fixed threshold.

    >>> Threshold(0.6).decide(0.75).accept
    True
    """

    threshold: float

    def decide(self, reliability: float) -> Verdict:
        """Accept or defer."""
        accept = reliability >= self.threshold - TIE
        return Verdict(accept, self.threshold, f"{reliability:.2f} {'≥' if accept else '<'} {self.threshold:.2f}")

    def settled(self, low: float, high: float) -> bool | None:
        """Say what every reliability from `low` to `high` leads to: True to accept, False to defer; None if to both.

        >>> Threshold(0.6).settled(0.7, 0.9), Threshold(0.6).settled(0.1, 0.5), Threshold(0.6).settled(0.5, 0.7)
        (True, False, None)
        """
        if low >= self.threshold - TIE / 2:
            return True
        return False if high < self.threshold - 2 * TIE else None

    def leans_to_defer(self, reliability: float) -> bool:
        """Say whether this reliability, if it is the last word, is deferred."""
        return not self.decide(reliability).accept


class EscalationRate(Rule, Leaning):
    """Defer about a given share of queries: the threshold is a running quantile of the scores seen so far.

    As it remembers every score, a tier that it rules waits for all its answers: it has no `settled`.

    The first scores, before there is a quantile to speak of, are held against `initial`. Scores tie a lot (three
    short answers agree to 0, ½ or 1), so a score equal to the quantile is deferred only while the share deferred
    so far lies below the rate. The rule remembers: unlike a threshold, it depends on the queries before.

    Args:
        rate: Share of queries to defer, 0 to 1.
        initial: Threshold for the first `warmup` scores.
        warmup: How many scores to see before trusting their quantile.
        window: How many of the latest scores the quantile is taken over.
    """

    def __init__(self, rate: float, *, initial: float = 0.6, warmup: int = 10, window: int = 1000) -> None:
        self.rate, self.initial, self.warmup = rate, initial, warmup
        self._recent: deque[float] = deque(maxlen=window)
        self._sorted: list[float] = []
        self._deferred: deque[bool] = deque(maxlen=window)

    def decide(self, reliability: float) -> Verdict:
        """Accept or defer, and remember the score."""
        threshold = self._threshold()
        accept = reliability > threshold + TIE
        if not accept and reliability >= threshold - TIE:
            accept = sum(self._deferred) >= self.rate * (len(self._deferred) + 1)
        if self.rate in (0.0, 1.0):
            accept = self.rate == 0.0
        self._remember(reliability, deferred=not accept)
        relation = ">" if reliability > threshold + TIE else "<" if reliability < threshold - TIE else "="
        return Verdict(
            accept, threshold, f"{reliability:.2f} {relation} {threshold:.2f}, kept to defer {self.rate:.0%}"
        )

    def leans_to_defer(self, reliability: float) -> bool:
        """Say whether this reliability, if it is the last word, is deferred; nothing is remembered."""
        return reliability < self._threshold() - TIE

    def _threshold(self) -> float:
        seen = len(self._sorted)
        if seen < self.warmup:
            return self.initial
        return self._sorted[min(seen - 1, int(self.rate * seen))]

    def _remember(self, reliability: float, *, deferred: bool) -> None:
        if len(self._recent) == self._recent.maxlen:
            oldest = self._recent[0]
            del self._sorted[bisect_left(self._sorted, oldest, hi=bisect_right(self._sorted, oldest))]
        self._recent.append(reliability)
        insort(self._sorted, reliability)
        self._deferred.append(deferred)


def rule_for(tier: Tier, config: CascadeConfig) -> Rule:
    """Return the tier's own rule, or the cascade's."""
    if tier.escalation_rate is not None:
        return EscalationRate(tier.escalation_rate, initial=config.threshold)
    return Threshold(config.threshold if tier.threshold is None else tier.threshold)
