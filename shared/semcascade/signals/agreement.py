"""Agreement: how alike an answer is to the others.

n = 1: undefined, for one answer has nothing to agree with. n = 2: both answers have the same centrality, their
one similarity; which of them to return is left to priority.
"""

from __future__ import annotations

import numpy as np

from semcascade.clusters import cluster_sizes
from semcascade.signals.base import Evidence, FloatArray, Signal

__all__ = ["AGREEMENT", "AGREEMENT_MEAN", "AGREEMENT_PRIMARY", "MAJORITY", "NUM_SETS", "centrality"]


def centrality(matrix: FloatArray) -> FloatArray:
    """Return each answer's mean similarity to the others, a_i = 1/(n-1) · Σ_{j≠i} S_ij.

    Args:
        matrix: n×n similarities.

    Returns:
        (n,) values in [0, 1]; NaN for a single answer, where it is undefined.

    >>> centrality(np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 1.0], [0.0, 1.0, 1.0]])).tolist()
    [0.25, 0.75, 0.5]
    """
    n = matrix.shape[0]
    if n < 2:
        return np.full(n, np.nan)
    return np.asarray((matrix.sum(axis=1) - np.diagonal(matrix)) / (n - 1), dtype=np.float64)


def _mean(evidence: Evidence) -> float:
    return float(centrality(evidence.matrix).mean())


def _majority(evidence: Evidence) -> float:
    return max(cluster_sizes(evidence.labels)) / evidence.n


def _num_sets(evidence: Evidence) -> float:
    return float(len(cluster_sizes(evidence.labels)))


_CASCADES = "Soiffer, Kolawole, Smith 2025, arXiv 2509.21837"
_ONE_SIMILARITY = "n = 1: undefined; n = 2: the one similarity"


def _as_it_is(value: float, evidence: Evidence) -> float:
    return value


AGREEMENT = Signal(
    name="agreement",
    compute=lambda evidence: float(centrality(evidence.matrix).max()),
    rescale=_as_it_is,
    higher_is_better=True,
    min_answers=2,
    summary="The most central answer's mean similarity to the others.",
    span="0 to 1",
    few=_ONE_SIMILARITY,
    source=_CASCADES,
    rises_with="similarity",
)

AGREEMENT_MEAN = Signal(
    name="agreement_mean",
    compute=_mean,
    rescale=_as_it_is,
    higher_is_better=True,
    min_answers=2,
    summary="The mean similarity over all pairs of answers.",
    span="0 to 1",
    few=_ONE_SIMILARITY,
    source=_CASCADES,
    rises_with="similarity",
)

AGREEMENT_PRIMARY = Signal(
    name="agreement_primary",
    compute=lambda evidence: float(centrality(evidence.matrix)[evidence.chosen]),
    rescale=_as_it_is,
    higher_is_better=True,
    min_answers=2,
    summary="The returned answer's mean similarity to the others: the primary member's, where that one answers.",
    span="0 to 1",
    few=_ONE_SIMILARITY,
    source=_CASCADES,
    of_chosen=True,
    rises_with="similarity",
)

MAJORITY = Signal(
    name="majority",
    compute=_majority,
    rescale=_as_it_is,
    higher_is_better=True,
    min_answers=2,
    summary="The share of answers in the largest cluster; not rescaled, so that 2/3 means two of three.",
    span="1/n to 1",
    few="n = 1: undefined; n = 2: 1 (the same) or 1/2",
    source="Kolawole et al. 2025, arXiv 2407.02348",
    rises_with="clusters",
)

NUM_SETS = Signal(
    name="num_sets",
    compute=_num_sets,
    rescale=lambda value, evidence: 1 - (value - 1) / (evidence.n - 1),
    higher_is_better=False,
    min_answers=2,
    summary="The number of clusters.",
    span="1 to n",
    few="n = 1: undefined; n = 2: 1 (the same) or 2",
    source="Lin, Trivedi, Sun 2024, arXiv 2305.19187",
    rises_with="clusters",
)
