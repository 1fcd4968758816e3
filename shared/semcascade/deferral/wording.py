"""A text as numbers: its character n-grams, hashed into a few buckets (Weinberger et al. 2009, arXiv 0902.2206).

No vocabulary is kept, so a policy stays small and holds no text; every script is served alike.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_CHARACTERS", "hashed", "looked_at"]

MAX_CHARACTERS = 4_000
"""How much of a text is looked at: its beginning and its end, half each."""

ORDERS = (3, 4)

_MULTIPLIER, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def looked_at(text: str) -> str:
    """Return the part of a text that its hashed n-grams are of."""
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[: MAX_CHARACTERS // 2]} {text[1 - MAX_CHARACTERS // 2 :]}"


def hashed(text: str, buckets: int) -> npt.NDArray[np.float64]:
    """Return the text's n-grams of three and four characters in buckets, (buckets,), of Euclidean length 1.

    Each n-gram counts with a sign of its own, so that those which share a bucket cancel rather than add up; counts
    are damped, sign(c)·ln(1 + |c|).

    Args:
        text: Any text; upper and lower case, and kinds of white space, are not told apart.
        buckets: How many numbers to return, a power of two.

    >>> bool(np.allclose(hashed("Hello  World", 64), hashed("hello world", 64)))
    True
    """
    plain = f" {' '.join(unicodedata.normalize('NFKC', looked_at(text)).casefold().split())} "
    signs = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    counts = np.zeros(buckets)
    shift = np.uint64(64 - (buckets.bit_length() - 1))
    for order in ORDERS:
        if len(signs) < order:
            break
        grams = np.full(len(signs) - order + 1, np.uint64(order))
        for offset in range(order):
            grams = (grams ^ signs[offset : len(signs) - order + 1 + offset]) * _MULTIPLIER
            grams ^= grams >> np.uint64(29)
        mixed = grams * _MIX
        sign = np.where(grams & np.uint64(1), 1.0, -1.0)
        counts += np.bincount((mixed >> shift).astype(np.intp), weights=sign, minlength=buckets)
    damped = np.sign(counts) * np.log1p(np.abs(counts))
    length = float(np.linalg.norm(damped))
    return damped / length if length > 0 else damped
