"""Measures of the graph whose nodes are answers and whose weights are similarities.

Lin, Trivedi, Sun 2024 (arXiv 2305.19187). n = 1: undefined. n = 2: each is a function of the one similarity.
"""

from __future__ import annotations

import math

import numpy as np

from semcascade.signals.base import Evidence, Signal

__all__ = ["DEG", "ECC", "EIGV"]

NEAR_ZERO = 0.9
"""Eigenvalues below this one carry the clusters; the authors' choice."""


def _eigv(evidence: Evidence) -> float:
    return float(np.maximum(0.0, 1.0 - evidence.spectrum[0]).sum())


def _deg(evidence: Evidence) -> float:
    """trace(nI - D)/n², D the row sums, self-similarity included."""
    return float(1.0 - evidence.matrix.sum() / evidence.n**2)


def _ecc(evidence: Evidence) -> float:
    """Frobenius norm of the answers' centred coordinates in the eigenvectors that carry the clusters."""
    values, vectors = evidence.spectrum
    chosen = vectors[:, values < NEAR_ZERO]
    return float(np.linalg.norm(chosen - chosen.mean(axis=0, keepdims=True)))


EIGV = Signal(
    name="eigv",
    compute=_eigv,
    rescale=lambda value, n: 1 - (value - 1) / (n - 1),
    higher_is_better=False,
    min_answers=2,
    summary="Sum of the graph Laplacian's eigenvalues max(0, 1-λ): a continuous number of clusters, 1 to n.",
)

DEG = Signal(
    name="deg",
    compute=_deg,
    rescale=lambda value, n: 1 - value * n / (n - 1),
    higher_is_better=False,
    min_answers=2,
    summary="Mean dissimilarity, pairs of an answer with itself included, in [0, 1 - 1/n].",
)

ECC = Signal(
    name="ecc",
    compute=_ecc,
    rescale=lambda value, n: 1 - value / math.sqrt(n - 1),
    higher_is_better=False,
    min_answers=2,
    summary=(
        "Eccentricity: how far answers lie from their centre in the graph's spectral coordinates, in [0, √(n-1)]; "
        "it jumps where an eigenvalue crosses 0.9."
    ),
)
