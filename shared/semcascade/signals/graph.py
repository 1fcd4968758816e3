"""Measures of the graph whose nodes are answers and whose weights are similarities.

n = 1: undefined. n = 2: each is a function of the one similarity.
"""

from __future__ import annotations

import math

import numpy as np

from semcascade.signals.base import Evidence, FloatArray, Signal

__all__ = ["DEG", "ECC", "EIGV", "KLE", "kernel_entropy"]

NEAR_ZERO = 0.9
"""Eigenvalues below this one carry the clusters; the authors' choice."""

HEAT = 0.3
"""How long heat flows, t; the authors' choice."""


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


def kernel_entropy(weights: FloatArray, heat: float = HEAT) -> float:
    """Return the von Neumann entropy of a graph's heat kernel, -Σ λ ln λ.

    K = exp(-t(D - W)), scaled to ones on the diagonal, over n (Nikitin et al. 2024, arXiv 2405.20003; the graph
    Laplacian as in the authors' code, not normalised).

    Args:
        weights: W, n×n, symmetric, not negative; its diagonal does not count.
        heat: t > 0.

    >>> round(kernel_entropy(np.zeros((2, 2))), 4)
    0.6931
    """
    edges = weights - np.diag(np.diagonal(weights))
    values, vectors = np.linalg.eigh(np.diag(edges.sum(axis=1)) - edges)
    kernel = (vectors * np.exp(-heat * values)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diagonal(kernel))
    spectrum = np.linalg.eigvalsh(kernel * np.outer(scale, scale)) / len(weights)
    positive = spectrum[spectrum > 0]
    return float(-(positive * np.log(positive)).sum())


def _kle(evidence: Evidence) -> float:
    """Weigh an edge 0 to 2: by both directions' most likely labels, else by the similarity counted twice."""
    if evidence.entailment is None:
        return kernel_entropy(evidence.matrix + evidence.matrix.T)
    label = evidence.entailment.argmax(axis=2)
    one_way = np.where(label == 0, 1.0, np.where(label == 1, 0.5, 0.0))
    return kernel_entropy(one_way + one_way.T)


def _by_kernel_range(value: float, evidence: Evidence) -> float:
    """Map the range, from the entropy of answers that all entail each other to ln n, onto 1 to 0."""
    n = evidence.n
    cooled = math.exp(-2 * n * HEAT)
    total = 1 + (n - 1) * cooled
    least = -(math.log(1 / total) + (n - 1) * cooled * math.log(cooled / total)) / total
    return (math.log(n) - value) / (math.log(n) - least)


_LIN = "Lin, Trivedi, Sun 2024, arXiv 2305.19187"
_ONE_SIMILARITY = "n = 1: undefined; n = 2: a function of the one similarity"

EIGV = Signal(
    name="eigv",
    compute=_eigv,
    rescale=lambda value, evidence: 1 - (value - 1) / (evidence.n - 1),
    higher_is_better=False,
    min_answers=2,
    summary="Sum of the graph Laplacian's max(0, 1-λ): a continuous number of clusters.",
    span="1 to n",
    few=_ONE_SIMILARITY,
    source=_LIN,
)

DEG = Signal(
    name="deg",
    compute=_deg,
    rescale=lambda value, evidence: 1 - value * evidence.n / (evidence.n - 1),
    higher_is_better=False,
    min_answers=2,
    summary="Mean dissimilarity, pairs of an answer with itself included.",
    span="0 to 1 - 1/n",
    few=_ONE_SIMILARITY,
    source=_LIN,
    rises_with="similarity",
)

ECC = Signal(
    name="ecc",
    compute=_ecc,
    rescale=lambda value, evidence: 1 - value / math.sqrt(evidence.n - 1),
    higher_is_better=False,
    min_answers=2,
    summary=(
        "Eccentricity: how far answers lie from their centre in the graph's spectral coordinates; it jumps where "
        "an eigenvalue crosses 0.9."
    ),
    span="0 to √(n-1)",
    few=_ONE_SIMILARITY,
    source=_LIN,
)

KLE = Signal(
    name="kle",
    compute=_kle,
    rescale=_by_kernel_range,
    higher_is_better=False,
    min_answers=2,
    summary=(
        "Kernel language entropy, t = 0.3: of the graph of entailments where they are known, else of the "
        "similarities, each counted for both directions."
    ),
    span="above 0 (its least value falls with n) to ln n",
    few=_ONE_SIMILARITY,
    source="Nikitin et al. 2024, arXiv 2405.20003",
    uses=frozenset({"entailment"}),
)
