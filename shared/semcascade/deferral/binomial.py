"""Exact binomial tails and bounds without SciPy.

The distribution function is a regularised incomplete beta function, P(Bin(n, p) ≤ k) = I_{1-p}(n-k, k+1), by its
continued fraction (DLMF 8.17.22) in Lentz's form.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["binomial_cdf", "clopper_pearson_upper", "critical_counts", "hoeffding_bentkus", "items_needed"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_STEPS = 10_000
_TINY = 1e-300


def binomial_cdf(k: float, n: float, p: float) -> float:
    """Return P(Bin(n, p) ≤ k).

    >>> binomial_cdf(1, 2, 0.5)
    0.75
    """
    k = math.floor(k)
    if k < 0 or k >= n:
        return float(k >= n)
    return min(1.0, max(0.0, _incomplete_beta(n - k, k + 1.0, 1.0 - p)))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1.0 + term * d)
            c = _away(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return value


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def clopper_pearson_upper(k: int, n: int, delta: float) -> float:
    """Return the exact upper bound of a rate, sup{r : P(Bin(n, r) ≤ k) ≥ delta} (Clopper & Pearson 1934).

    Args:
        k: Bad ones among n.
        n: How many were looked at; 0 gives 1.
        delta: Probability with which the bound may fail.

    >>> round(clopper_pearson_upper(0, 59, 0.05), 4)
    0.0495
    """
    if n == 0 or k >= n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_cdf(k, n, middle) >= delta else (low, middle)
    return high


def hoeffding_bentkus(mean: float, n: int, limit: float) -> float:
    """Return the p-value of "the expected loss exceeds the limit" for n losses in [0, 1] with this mean.

    min(exp(-n·h(min(mean, limit), limit)), e·P(Bin(n, limit) ≤ ⌈n·mean⌉)), h the relative entropy of two coins
    (Bates et al. 2021, arXiv 2101.02703; Angelopoulos et al. 2021, arXiv 2110.01052).
    """
    below = min(mean, limit)
    first = below * math.log(below / limit) if below > 0 else 0.0
    second = (1 - below) * math.log((1 - below) / (1 - limit)) if below < 1 else 0.0
    bentkus = math.e * binomial_cdf(math.ceil(round(n * mean, 9)), n, limit)
    return min(1.0, math.exp(-n * (first + second)), bentkus)


@lru_cache(maxsize=32)
def critical_counts(most: int, limit: float, delta: float) -> npt.NDArray[np.int64]:
    """Return for n = 0, ..., most the greatest k with P(Bin(n, limit) ≤ k) ≤ delta, -1 where there is none.

    So many bad ones among n still show, with confidence 1 - delta, a rate below the limit. Worked out from n to n + 1:
    P(Bin(n+1, p) ≤ k) = P(Bin(n, p) ≤ k) - p·P(Bin(n, p) = k), and k grows by one at most.

    >>> counts = critical_counts(208, 0.05, 0.05)
    >>> [int(counts[n]) for n in (58, 59, 93, 208)]
    [-1, 0, 1, 5]
    """
    found = np.full(most + 1, -1, dtype=np.int64)
    k, up_to, at = 0, 1.0, 1.0  # the least k that is too many, P(Bin ≤ k) and P(Bin = k)
    for n in range(1, most + 1):
        up_to -= limit * at
        at *= (1.0 - limit) * n / (n - k)
        if up_to <= delta:
            at *= (n - k) / (k + 1) * limit / (1.0 - limit)
            up_to += at
            k += 1
        found[n] = k - 1
    found.flags.writeable = False
    return found


def items_needed(errors: int, limit: float, delta: float) -> int:
    """Return how many items, with so many errors among them, show with confidence 1 - delta a rate below the limit.

    >>> [items_needed(errors, 0.05, 0.05) for errors in (0, 1, 5)]
    [59, 93, 208]
    """
    low, high = errors, max(errors + 1, math.ceil(math.log(delta) / math.log(1 - limit)))
    while binomial_cdf(errors, high, limit) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_cdf(errors, middle, limit) > delta else (low, middle)
    return high
