"""How large a mean is, watched all the time: a confidence sequence, which holds at every moment at once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.errors import InputError

__all__ = ["LossEstimate", "MeanSequence", "Wealth"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_STEPS = 1000
_TRUNCATE = 0.5
"""No bet stakes more than this share of what would ruin it."""


class MeanSequence:
    """An interval for the mean of values that come one by one; it holds at all times together.

    With probability `confidence` over the whole stream, the mean lies in the interval after every value. So it may be
    looked at as often as one likes, and stopping when it says something is no cheating; an interval of fixed size
    would sooner or later be wrong. It is the hedged capital of Waudby-Smith and Ramdas 2024 (JRSS-B 86, arXiv
    2010.09686, theorem 3): for every possible mean, two gamblers bet that the true one is larger, or smaller; a mean
    at which one of them has made `1 / (1 - confidence)` times their stake of one half each is ruled out for good.

    The values must have the same mean given those before, as random samples of a stream that does not change have.

    Args:
        low: Least possible value.
        high: Greatest possible value.
        confidence: Share of streams for which every interval holds the mean.

    >>> losses = MeanSequence()
    >>> for _ in range(200):
    ...     losses.add(0.0)
    >>> losses.interval[0], losses.interval[1] < 0.05
    (0.0, True)
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, *, confidence: float = 0.95) -> None:
        if not low < high or not 0 < confidence < 1:
            raise InputError("low must be less than high, confidence between 0 and 1", field="confidence")
        self.confidence = confidence
        self._low, self._high = low, high
        self._wealth = Wealth(np.linspace(0.0, 1.0, _STEPS + 1)[None, :], confidence)
        self._total = 0.0
        self.count = 0
        """How many values there were."""

    def add(self, value: float) -> None:
        """Take one more value.

        Raises:
            InputError: If it is outside of what is possible.
        """
        if not self._low <= value <= self._high:
            raise InputError(f"{value!r} is outside {self._low:g} to {self._high:g}", field="value")
        self._wealth.add(np.array([(value - self._low) / (self._high - self._low)]))
        self.count += 1
        self._total += value

    @property
    def mean(self) -> float | None:
        """The mean of the values, or None before the first."""
        return self._total / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the mean lies; between two means that were tried counts as both."""
        alive = np.flatnonzero(self._wealth.possible[0])
        if not len(alive):  # the values have no common mean: nothing but their own can be said
            inside = (self._total / self.count - self._low) / (self._high - self._low)
            alive = np.array([round(inside * _STEPS)])
        first, last = max(int(alive[0]) - 1, 0), min(int(alive[-1]) + 1, _STEPS)
        width = self._high - self._low
        return self._low + width * first / _STEPS, self._low + width * last / _STEPS


class Wealth:
    """What the two gamblers have made, for streams of values in [0, 1] and for each mean that may be theirs.

    Args:
        means: (streams, k) or (1, k), the means to rule out.
        confidence: Share of streams whose true mean is never ruled out.
    """

    def __init__(self, means: FloatArray, confidence: float) -> None:
        self._means, self._limit = means, -math.log(1 - confidence)
        self._stake = 2 * math.log(2 / (1 - confidence))
        with np.errstate(divide="ignore"):
            self._most_up, self._most_down = _TRUNCATE / means, _TRUNCATE / (1 - means)
        self._up, self._down = np.zeros(means.shape), np.zeros(means.shape)
        self._sum, self._squares, self._count = np.array([0.5]), np.array([0.25]), 0
        self.possible: npt.NDArray[np.bool_] = np.ones(means.shape, dtype=bool)
        """Which means were never ruled out."""

    def add(self, x: FloatArray) -> None:
        """Take one value of each stream, (streams,)."""
        t = self._count + 1
        # The bet on a value may depend on those before it only (their equation 26).
        bet = np.sqrt(self._stake / (self._squares * math.log(t + 1)))[:, None]
        distance = x[:, None] - self._means
        self._up = self._up + np.log1p(np.minimum(bet, self._most_up) * distance)
        self._down = self._down + np.log1p(-np.minimum(bet, self._most_down) * distance)
        self.possible = self.possible & (np.maximum(self._up, self._down) + math.log(0.5) < self._limit)
        self._count, self._sum = t, self._sum + x
        self._squares = self._squares + (x - self._sum / (t + 1)) ** 2


@dataclass(frozen=True, slots=True)
class LossEstimate:
    """What audits say about the loss of accepted answers against the target's.

    Attributes:
        audits: Accepted answers that were held against the target's.
        mean: Their mean loss, or None before the first.
        low: Least mean loss that is still possible.
        high: Greatest mean loss that is still possible.
        confidence: Share of streams for which `low` and `high` hold at all times together.
    """

    audits: int
    mean: float | None
    low: float
    high: float
    confidence: float

    @classmethod
    def of(cls, sequence: MeanSequence) -> Self:
        """Return the state of a sequence of losses."""
        return cls(sequence.count, sequence.mean, *sequence.interval, sequence.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)
