"""Entropies over meanings: semantic entropy in its forms, and its smooth relative SNNE. Natural logarithms.

n = 1: undefined, for a single answer shows nothing of how answers scatter. n = 2: two values only for the
discrete forms, 0 (the same) and ln 2.
"""

from __future__ import annotations

import math

import numpy as np

from semcascade.clusters import cluster_sizes
from semcascade.signals.base import Evidence, FloatArray, Signal

__all__ = [
    "SEMANTIC_ENTROPY",
    "SEMANTIC_ENTROPY_CORRECTED",
    "SEMANTIC_ENTROPY_WEIGHTED",
    "SNNE",
    "SNNE_WEIGHTED",
    "snne",
]


def _weights(evidence: Evidence) -> FloatArray | None:
    """Return each answer's share e^(l_i) / Σ e^(l), l_i its mean token log-probability; None where one is missing."""
    logprobs = evidence.mean_logprobs
    if logprobs is None:
        return None
    shares = np.exp(logprobs - logprobs.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _entropy(shares: FloatArray) -> float:
    positive = shares[shares > 0]
    return max(0.0, float(-(positive * np.log(positive)).sum()))


def _discrete(evidence: Evidence) -> float:
    """SE = -Σ_k |C_k|/n ln |C_k|/n."""
    shares = [size / evidence.n for size in cluster_sizes(evidence.labels)]
    return max(0.0, -sum(share * math.log(share) for share in shares))


def _weighted(evidence: Evidence) -> float | None:
    """SE = -Σ_k p_k ln p_k with p_k = Σ_{i∈C_k} e^(l_i) / Σ_i e^(l_i), l_i the mean token log-probability."""
    weights = _weights(evidence)
    return None if weights is None else _entropy(np.bincount(evidence.labels, weights).astype(np.float64))


def _corrected(evidence: Evidence) -> float:
    """Correct the discrete entropy for meanings that a small sample has not shown.

    With f1 clusters of one answer, k clusters, and EigV as a floor U, the number of meanings is estimated as
    U if f1 = n, otherwise max(k·n/(n-f1), U) (Good-Turing); each share is scaled by k over that, and each term
    divided by the chance 1-(1-q)^n of having been seen (Chao-Shen; McCabe et al. 2026).
    """
    n = evidence.n
    sizes = np.array(cluster_sizes(evidence.labels), dtype=np.float64)
    k, singles = len(sizes), int((sizes == 1).sum())
    floor = float(np.maximum(0.0, 1.0 - evidence.spectrum[0]).sum())
    meanings = floor if singles == n else max(k * n / (n - singles), floor)
    shares = np.minimum(1.0, (k / meanings) * sizes / n)
    return max(0.0, float(-(shares * np.log(shares) / (1.0 - (1.0 - shares) ** n)).sum()))


def snne(matrix: FloatArray, *, temperature: float = 1.0, weights: FloatArray | None = None) -> float:
    """Return the semantic nearest-neighbour entropy, -Σ_i w_i ln Σ_j exp(S_ij/τ), self-terms included.

    Nguyen et al. 2025 (arXiv 2506.00245); w_i = 1/n in its plain form.

    Args:
        matrix: n×n similarities.
        temperature: τ > 0.
        weights: (n,), summing to 1.

    >>> round(snne(np.eye(2)), 4)
    -1.3133
    """
    scaled = matrix / temperature
    peak = scaled.max(axis=1)
    near = peak + np.log(np.exp(scaled - peak[:, None]).sum(axis=1))
    return float(-near.mean() if weights is None else -(weights * near).sum())


def _snne_weighted(evidence: Evidence) -> float | None:
    weights = _weights(evidence)
    return None if weights is None else snne(evidence.matrix, weights=weights)


def _by_log(value: float, evidence: Evidence) -> float:
    return 1 - value / math.log(evidence.n)


def _by_snne_range(value: float, evidence: Evidence) -> float:
    """Map the range for similarities in [0, 1], -(1 + ln n) (all the same) to -ln(e + n - 1), onto 1 to 0."""
    scattered = -math.log(math.e + evidence.n - 1)
    return (scattered - value) / (scattered + 1 + math.log(evidence.n))


_LOGPROBS = frozenset({"logprobs"})
_TWO_CASES = "n = 1: undefined; n = 2: 0 (the same) or ln 2"
_SNNE_RANGE = "-(1 + ln n) to -ln(e + n - 1)"
_NGUYEN = "Nguyen et al. 2025, arXiv 2506.00245"

SEMANTIC_ENTROPY = Signal(
    name="semantic_entropy",
    compute=_discrete,
    rescale=_by_log,
    higher_is_better=False,
    min_answers=2,
    summary="Discrete semantic entropy: the entropy of the clusters' shares.",
    span="0 to ln n",
    few=_TWO_CASES,
    source="Farquhar et al. 2024, doi 10.1038/s41586-024-07421-0",
    rises_with="clusters",
)

SEMANTIC_ENTROPY_WEIGHTED = Signal(
    name="semantic_entropy_weighted",
    compute=_weighted,
    rescale=_by_log,
    higher_is_better=False,
    min_answers=2,
    summary="Semantic entropy with answers weighted by their length-normalised likelihood.",
    span="0 to ln n",
    few="n = 1: undefined; n = 2: 0 (the same), else up to ln 2",
    source="Kuhn, Gal, Farquhar 2023, arXiv 2302.09664",
    needs=_LOGPROBS,
)

SEMANTIC_ENTROPY_CORRECTED = Signal(
    name="semantic_entropy_corrected",
    compute=_corrected,
    rescale=lambda value, _: math.exp(-value),
    higher_is_better=False,
    min_answers=2,
    summary=(
        "Discrete semantic entropy corrected for meanings not yet seen; its reliability exp(-value) is one over "
        "the effective number of meanings."
    ),
    span="0 and up",
    few="n = 1: undefined; n = 2: about 0 (the same), else up to (4/3) ln 2, by their similarity",
    source="McCabe et al. 2026, at second hand",
)

SNNE = Signal(
    name="snne",
    compute=lambda evidence: snne(evidence.matrix),
    rescale=_by_snne_range,
    higher_is_better=False,
    min_answers=2,
    summary="Semantic nearest-neighbour entropy, τ = 1.",
    span=_SNNE_RANGE,
    few="n = 1: undefined; n = 2: a function of the one similarity",
    source=_NGUYEN,
    rises_with="similarity",
)

SNNE_WEIGHTED = Signal(
    name="snne_weighted",
    compute=_snne_weighted,
    rescale=_by_snne_range,
    higher_is_better=False,
    min_answers=2,
    summary="Semantic nearest-neighbour entropy with answers weighted by their length-normalised likelihood.",
    span=_SNNE_RANGE,
    few="n = 1: undefined; n = 2: a function of the one similarity",
    source=_NGUYEN,
    needs=_LOGPROBS,
)
