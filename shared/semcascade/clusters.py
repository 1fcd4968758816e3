"""Which answers mean the same: clusters of a similarity matrix.

A clustering is a tuple with one number an answer; clusters are numbered from 0 in the order of their first
answers. Where "the same" is an equivalence (equality of canonical forms) every method here finds the same,
unique clusters. Where it is not (a ~ b, b ~ c, but not a ~ c) they differ as each says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["cluster_sizes", "complete_link", "greedy"]


def greedy(same: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Put each answer, in order, into the first cluster whose FIRST member it is the same as.

    The clustering of semantic entropy (Kuhn, Gal, Farquhar 2023, arXiv 2302.09664), without the slip of its
    published code: an answer that has a cluster keeps it. Where "the same" is no equivalence, the result
    depends on the order of the answers.

    Args:
        same: n×n, symmetric; whether two answers count as the same.

    >>> greedy(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool))
    (0, 0, 1)
    """
    firsts: list[int] = []
    labels: list[int] = []
    for index in range(same.shape[0]):
        label = next((number for number, first in enumerate(firsts) if same[first, index]), len(firsts))
        if label == len(firsts):
            firsts.append(index)
        labels.append(label)
    return tuple(labels)


def complete_link(matrix: npt.NDArray[np.float64], threshold: float) -> tuple[int, ...]:
    """Merge the most alike clusters as long as EVERY pair across them is at least `threshold` alike.

    The likeness of two clusters is that of their least alike pair (complete linkage). The result does not
    depend on the order of the answers, apart from exact ties between merges, which go to the pair that comes
    first.

    Args:
        matrix: n×n similarities, symmetric.
        threshold: Least similarity within a cluster.

    >>> complete_link(np.array([[1, 0.6, 0], [0.6, 1, 0.9], [0, 0.9, 1]]), 0.5)
    (0, 1, 1)
    """
    same = matrix >= threshold
    firsts = same.argmax(axis=1) if len(same) else np.zeros(0, dtype=np.intp)
    if (same == (firsts[:, None] == firsts)).all():
        return _numbered(firsts.tolist())
    links = matrix.astype(np.float64, copy=True)
    np.fill_diagonal(links, -np.inf)
    clusters = [[index] for index in range(len(links))]
    while True:
        first, second = sorted(divmod(int(links.argmax()), len(links)))
        if links[first, second] < threshold:
            return _numbered_by(clusters)
        clusters[first] += clusters[second]
        clusters[second] = []
        links[first] = links[:, first] = np.minimum(links[first], links[second])
        links[second] = links[:, second] = -np.inf


def cluster_sizes(labels: Sequence[int]) -> tuple[int, ...]:
    """Return how many answers each cluster holds, in the clusters' order.

    >>> cluster_sizes((0, 1, 0))
    (2, 1)
    """
    return tuple(Counter(labels).values())


def _numbered_by(clusters: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the cluster of each answer; each cluster stands at the place of its first answer."""
    numbers = {index: number for number, cluster in enumerate(filter(None, clusters)) for index in cluster}
    return tuple(numbers[index] for index in range(len(clusters)))


def _numbered(labels: Sequence[int]) -> tuple[int, ...]:
    """Number clusters from 0 in the order of their first answers."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(label, len(numbers)) for label in labels)
