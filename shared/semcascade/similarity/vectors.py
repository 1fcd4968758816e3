"""Vectors of texts that were embedded before."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from semcascade.similarity.base import FloatArray

__all__ = ["Embedded", "VectorCache", "cosines"]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's vector, and whether the text was too long for the model and lost its end."""

    vector: FloatArray
    cut: bool = False


class VectorCache:
    """The vectors of the texts that were used last. Safe to use from many threads.

    Args:
        size: How many to keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str) -> Embedded | None:
        """Return what is known of a text."""
        key = _digest(text)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, text: str, embedded: Embedded) -> None:
        """Keep a text's vector, and forget the one that was not used for longest when there are too many."""
        with self._lock:
            self._kept[_digest(text)] = embedded
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


def cosines(vectors: FloatArray) -> FloatArray:
    """Return the cosines of every pair of rows, negative ones as 0; a row of zeros is like no other row.

    >>> cosines(np.array([[1.0, 0.0], [3.0, 4.0], [-1.0, 0.0]])).round(3).tolist()
    [[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    matrix: FloatArray = np.clip(unit @ unit.T, 0.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
