"""Likeness of wording: ROUGE-L, token F1, chrF. No model, no network, any script."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, FloatArray, Query, TextSimilarity, answer_text
from semcascade.similarity.tokens import tokenize

__all__ = ["MOST_TOKENS", "ChrF", "RougeL", "TokenF1", "common_subsequences", "note_of_cuts"]

MOST_TOKENS = 20_000
"""Of a longer text only so many tokens are searched for subsequences: the time grows with the square."""


class RougeL(TextSimilarity):
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004, aclanthology.org/W04-1013).

    Of a text of more than 20,000 words the beginning counts; a note says so.
    """

    name = "rouge_l"
    pairwise = True

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return 2·LCS/(m + n) for every pair of texts of m and n words.

        >>> RougeL().matrix(["the cat sat", "the cat ran"]).round(3).tolist()
        [[1.0, 0.667], [0.667, 1.0]]
        """
        return common_subsequences([tokenize(text) for text in texts])

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers by their texts; a note tells of those that were cut."""
        words = [tokenize(answer_text(answer)) for answer in answers]
        return Comparison(common_subsequences(words), self.name, notes=note_of_cuts(words))


def common_subsequences(lines: Sequence[Sequence[str]]) -> FloatArray:
    """Return F1 of the longest common subsequence for every pair of lists of tokens."""
    vocabulary: dict[str, int] = {}
    # One character a token lets the compiled subsequence search work on strings.
    coded = [
        "".join(chr(vocabulary.setdefault(token, len(vocabulary))) for token in line[:MOST_TOKENS]) for line in lines
    ]
    common = cdist(coded, coded, scorer=LCSseq.similarity, dtype=np.int64)
    return _f1(common.astype(np.float64), [len(line) for line in coded])


def note_of_cuts(lines: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Say how many lists of tokens are longer than what of them is compared."""
    cut = sum(len(line) > MOST_TOKENS for line in lines)
    return (f"{cut} of {len(lines)} answers were compared by their first {MOST_TOKENS:,} tokens",) if cut else ()


class TokenF1(TextSimilarity):
    """F1 of the words that two texts share, each as often as both have it (Rajpurkar et al. 2016, arXiv 1606.05250)."""

    name = "token_f1"
    pairwise = True

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
    pairwise = True

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return chrF, 0 to 1, for every pair of texts.

        >>> ChrF().matrix(["abc", "abd"]).round(3).tolist()
        [[1.0, 0.389], [0.389, 1.0]]
        """
        return _chrf(tuple(texts)).copy()


_ORDERS = 6


@functools.lru_cache(maxsize=2)  # the same answers are compared for their agreement and for what a policy is shown
def _chrf(texts: tuple[str, ...]) -> FloatArray:
    shared, sizes = _shared_ngrams(["".join(text.split()) for text in texts])
    totals = np.maximum(sizes[None, :] - np.arange(_ORDERS)[:, None], 0)
    both = (totals[:, :, None] > 0) & (totals[:, None, :] > 0)
    shares = np.divide(shared, totals[:, :, None], out=np.zeros(shared.shape), where=both).sum(axis=0)
    orders = both.sum(axis=0)
    precision = np.divide(shares, orders, out=np.zeros_like(shares), where=orders > 0)
    recall = precision.T
    weight = 4.0 * precision + recall
    forward = np.divide(5.0 * precision * recall, weight, out=np.zeros_like(weight), where=weight > 0)
    return _settled((forward + forward.T) / 2, texts)


def _shared_ngrams(texts: Sequence[str]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Count the n-grams that each pair of different texts shares.

    An n-gram and its text are packed into one number, so that one sort brings the same ones together.

    Returns:
        (orders, n, n) counts, 0 between a text and itself, and the (n,) lengths of the texts.
    """
    n = len(texts)
    shared = np.zeros((_ORDERS, n * n))
    signs, size = _signs(texts)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    owners = np.repeat(np.arange(n), lengths + 1)[: len(signs)]
    owner_bits, sign_bits = max(1, (n - 1).bit_length()), (size - 1).bit_length()
    grams, bits = signs, sign_bits
    for order in range(min(_ORDERS, len(signs))):
        _count_pairs(np.sort(grams << owner_bits | owners[: len(grams)]), owner_bits, shared[order])
        if bits + sign_bits + owner_bits > _BITS:
            _, grams = np.unique(grams, return_inverse=True)
            bits = len(grams).bit_length()
        grams = grams[:-1] << sign_bits | signs[order + 1 :]
        bits += sign_bits
    square = shared.reshape(_ORDERS, n, n)
    return square + square.transpose(0, 2, 1), lengths


_BITS = 62
_FEW_SIGNS = 1024


def _signs(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], int]:
    """Return all texts in numbers, a number of its own behind each but the last; and how many numbers there are."""
    joined = "\0".join(texts)
    if joined.isascii():
        signs, size = np.frombuffer(joined.encode("ascii"), dtype=np.uint8).astype(np.int64), 128
    else:
        signs = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
        size = int(signs.max()) + 1
    if size > _FEW_SIGNS:
        found, signs = np.unique(signs, return_inverse=True)
        size = len(found)
    ends = np.cumsum([len(text) + 1 for text in texts[:-1]], dtype=np.int64) - 1
    signs[ends] = size + np.arange(len(ends))
    return signs, size + len(ends)


def _count_pairs(keys: npt.NDArray[np.int64], owner_bits: int, shared: FloatArray) -> None:
    """Add to the n² counts how often each pair of owners has the same gram: as often as the one that has it less."""
    ends = np.flatnonzero(keys[1:] != keys[:-1])
    distinct = keys[np.append(ends, len(keys) - 1)]
    grams, owners = distinct >> owner_bits, distinct & ((1 << owner_bits) - 1)
    left = np.flatnonzero(grams[1:] == grams[:-1])
    if not len(left):
        return
    counts = np.empty(len(distinct), dtype=np.int64)
    counts[0], counts[1:-1], counts[-1] = ends[0] + 1, np.diff(ends), len(keys) - 1 - ends[-1]
    n, lag = round(len(shared) ** 0.5), 1
    while len(left):
        right = left + lag
        times = np.minimum(counts[left], counts[right])
        shared += np.bincount(owners[left] * n + owners[right], weights=times, minlength=len(shared))
        lag += 1
        left = left[left + lag < len(grams)]
        left = left[grams[left + lag] == grams[left]]


def _f1(common: FloatArray, sizes: Sequence[int]) -> FloatArray:
    lengths = np.array(sizes, dtype=np.float64)
    total = lengths[:, None] + lengths[None, :]
    matrix = 2.0 * common / np.maximum(total, 1.0)  # two texts without words have none in common
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _settled(matrix: FloatArray, texts: Sequence[str]) -> FloatArray:
    """Set what rounding and texts without characters leave open."""
    matrix = np.clip(matrix, 0.0, 1.0)
    same = np.array([[first == second for second in texts] for first in texts], dtype=bool)
    return np.asarray(np.where(same, 1.0, matrix), dtype=np.float64)
