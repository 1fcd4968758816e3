"""When there are samples enough: the leading meaning is unlikely to be overtaken."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

__all__ = ["CONFIDENCE", "lead_is_stable"]

CONFIDENCE = 0.95
"""How sure it must be; the authors' choice."""


def lead_is_stable(sizes: Sequence[int], confidence: float = CONFIDENCE) -> bool:
    """Say whether the largest cluster is the one that more samples would make the largest, too.

    With v1 and v2 the sizes of the two largest, and a uniform prior on the first one's share p of what falls to
    either, P(p > 1/2) = 1 - I_{1/2}(v1+1, v2+1) = P(Bin(v1+v2+1, 1/2) ≤ v1) (Aggarwal et al. 2023, adaptive
    consistency, arXiv 2305.11860).

    Args:
        sizes: How many answers each cluster holds.
        confidence: The least probability.

    >>> [lead_is_stable([4]), lead_is_stable([3]), lead_is_stable([7, 2]), lead_is_stable([6, 2])]
    [True, False, False, False]
    """
    first, second = sorted([*sizes, 0, 0], reverse=True)[:2]
    n = first + second + 1
    return bool(sum(comb(n, k) for k in range(first + 1)) >= confidence * 2**n)
