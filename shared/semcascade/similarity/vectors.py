"""Vectors of texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semcascade.similarity.base import FloatArray

__all__ = ["Embedded", "cosines"]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's vector, and whether the text was too long for the model and lost its end."""

    vector: FloatArray
    cut: bool = False


def cosines(vectors: FloatArray) -> FloatArray:
    """Return the cosines of every pair of rows, negative ones as 0.

    A row of zeros, or one with a value that is no number, is like no other row.

    >>> cosines(np.array([[1.0, 0.0], [3.0, 4.0], [-1.0, 0.0]])).round(3).tolist()
    [[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=(norms > 0) & np.isfinite(norms))
    matrix: FloatArray = np.clip(unit @ unit.T, 0.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return matrix
