"""Likeness of wording: ROUGE-L, token F1, chrF. No model, no network, any script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from semcascade.similarity.base import FloatArray, TextSimilarity
from semcascade.similarity.tokens import tokenize

__all__ = ["ChrF", "RougeL", "TokenF1"]


class RougeL(TextSimilarity):
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004, aclanthology.org/W04-1013)."""

    name = "rouge_l"

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return 2·LCS/(m + n) for every pair of texts of m and n words.

        >>> RougeL().matrix(["the cat sat", "the cat ran"]).round(3).tolist()
        [[1.0, 0.667], [0.667, 1.0]]
        """
        words = [tokenize(text) for text in texts]
        vocabulary: dict[str, int] = {}
        # One character a word lets the compiled subsequence search work on strings.
        coded = ["".join(chr(vocabulary.setdefault(word, len(vocabulary))) for word in line) for line in words]
        common = cdist(coded, coded, scorer=LCSseq.similarity, dtype=np.int64)
        return _f1(common.astype(np.float64), [len(line) for line in words])


class TokenF1(TextSimilarity):
    """F1 of the words that two texts share, each as often as both have it (Rajpurkar et al. 2016, arXiv 1606.05250)."""

    name = "token_f1"

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return 2·|common words|/(m + n) for every pair of texts of m and n words.

        >>> TokenF1().matrix(["the cat sat", "sat the cat", "a dog"]).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        bags = [Counter(tokenize(text)) for text in texts]
        sizes = [bag.total() for bag in bags]
        common = np.diag(np.array(sizes, dtype=np.float64))
        for i, first in enumerate(bags):
            for j, second in enumerate(bags[:i]):
                small, large = sorted((first, second), key=len)
                common[i, j] = common[j, i] = sum(min(count, large[word]) for word, count in small.items())
        return _f1(common, sizes)


class ChrF(TextSimilarity):
    """chrF2: F-score of shared character n-grams, n = 1 to 6, recall counted twice (Popović 2015, W15-3049).

    As sacreBLEU computes it (case kept, white space dropped, orders that one of the texts is too short for left
    out); made symmetric by the mean of both directions.
    """

    name = "chrf"

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return chrF, 0 to 1, for every pair of texts.

        >>> ChrF().matrix(["abc", "abd"]).round(3).tolist()
        [[1.0, 0.389], [0.389, 1.0]]
        """
        n = len(texts)
        precision = np.zeros((n, n))
        orders = np.zeros((n, n))
        for ids, owners in _ngrams(["".join(text.split()) for text in texts]):
            shared, totals = _shared(ids, owners, n)
            both = np.outer(totals > 0, totals > 0)
            precision += np.divide(shared, totals[:, None], out=np.zeros((n, n)), where=both)
            orders += both
        precision = np.divide(precision, orders, out=np.zeros((n, n)), where=orders > 0)
        recall = precision.T
        weight = 4.0 * precision + recall
        forward = np.divide(5.0 * precision * recall, weight, out=np.zeros((n, n)), where=weight > 0)
        return _settled((forward + forward.T) / 2, texts)


_ORDERS = 6


def _ngrams(texts: Sequence[str]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Number all n-grams of every order: (ids, index of the text that each stands in)."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    _, letters = np.unique(codes, return_inverse=True)
    ids, size = letters.astype(np.int64), int(letters.max(initial=0)) + 1
    orders = [(ids, owners)]
    for order in range(1, min(_ORDERS, len(owners))):
        # An n-gram is the (n-1)-gram before it and its last letter; numbering anew keeps the product small.
        _, ids = np.unique(ids[:-1] * size + letters[order:], return_inverse=True)
        inside = owners[order:] == owners[: len(owners) - order]
        orders.append((ids[inside], owners[order:][inside]))
    return orders


def _shared(ids: npt.NDArray[np.int64], owners: npt.NDArray[np.int64], n: int) -> tuple[FloatArray, FloatArray]:
    """Count the n-grams that each pair of texts shares (n×n), and those of each text (n,)."""
    size = int(ids.max(initial=0)) + 1
    shared = np.zeros((n, n))
    bags: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    for i in range(n):
        counts = np.bincount(ids[owners == i], minlength=size)
        for j, (present, times) in enumerate(bags):
            shared[i, j] = shared[j, i] = np.minimum(counts[present], times).sum()
        present = np.flatnonzero(counts)
        bags.append((present, counts[present]))
        shared[i, i] = counts.sum()
    return shared, np.diagonal(shared).copy()


def _f1(common: FloatArray, sizes: Sequence[int]) -> FloatArray:
    lengths = np.array(sizes, dtype=np.float64)
    total = lengths[:, None] + lengths[None, :]
    matrix = np.divide(2.0 * common, total, out=np.zeros_like(common), where=total > 0)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _settled(matrix: FloatArray, texts: Sequence[str]) -> FloatArray:
    """Set what rounding and texts without characters leave open."""
    matrix = np.clip(matrix, 0.0, 1.0)
    same = np.array([[first == second for second in texts] for first in texts], dtype=bool)
    return np.asarray(np.where(same, 1.0, matrix), dtype=np.float64)
