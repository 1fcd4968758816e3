"""What queries like this one have come to before: the nearest of those that a policy was fitted on.

Past queries stand in a policy as vectors of small whole numbers, never as text: hashed character n-grams
(`semcascade.deferral.wording`), or a local model's embeddings. They cannot be read; who guesses a query can find out
whether it was among them.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from semcascade.deferral.tables import Finite, FloatArray, Share, Table
from semcascade.locks import cached_property

__all__ = ["HASHED", "MOST_NEIGHBOURS", "WIDTH", "Near", "Neighbours", "unit_rows"]

HASHED = "hashed"
"""Names the embedding that needs nothing: hashed character n-grams."""

WIDTH = 256
"""Buckets of that embedding."""

MOST_NEIGHBOURS = 2_000
"""No more past queries stand in a policy."""

MOST_WIDTH = 1_024

NEAREST = 25
"""How many past queries are looked at."""

_SCALE = 127.0
_FEWER = 1e-9


@dataclass(frozen=True)
class Near:
    """What the nearest past queries of m queries have come to; all between what they did and what is usual.

    Attributes:
        likeness: (m,) cosine of the nearest.
        entropy: (m,) their mean semantic entropy in the first tier, as a share of the largest possible.
        deferred: (m, tiers) share of them that each tier before the target deferred.
        gains: (m, tiers) how much better the target's answers were than those that each tier accepted.
    """

    likeness: FloatArray
    entropy: FloatArray
    deferred: FloatArray
    gains: FloatArray


class Neighbours(Table):
    """Past queries, and what they came to.

    Entropy labels and nearest neighbours by embedding follow Zhang et al. (2025, arXiv 2502.11021); the entropy is
    semantic entropy (Farquhar et al. 2024, doi 10.1038/s41586-024-07421-0).
    """

    embedding: Annotated[str, Field(min_length=1, max_length=500)] = HASHED
    """`"hashed"`, or the id of a sentence-transformers model."""
    width: Annotated[int, Field(ge=1, le=MOST_WIDTH)] = WIDTH
    nearest: Annotated[int, Field(ge=1, le=1_000)] = NEAREST
    """How many of them are looked at."""
    vectors: Annotated[str, Field(max_length=MOST_NEIGHBOURS * MOST_WIDTH * 4 // 3 + 4)]
    """One row after the other, each number a signed byte, in base64."""
    entropy: list[Share] = Field(min_length=1, max_length=MOST_NEIGHBOURS)
    deferred: list[list[Share]] = Field(min_length=1, max_length=16)
    """For each tier before the target, one for each past query."""
    gains: list[list[Finite]] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.entropy)
        if self.embedding == HASHED and (self.width < 2 or self.width & (self.width - 1)):
            raise ValueError(f"width: n-grams are hashed into a power of two of buckets, not {self.width}")
        if len(self.deferred) != len(self.gains) or any(len(tier) != n for tier in (*self.deferred, *self.gains)):
            raise ValueError(f"deferred and gains need {n} numbers for each tier")
        try:
            size = len(base64.b64decode(self.vectors, validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("vectors: they are no base64") from None
        if size != n * self.width:
            raise ValueError(f"vectors: {n} rows of {self.width} take {n * self.width} bytes, not {size}")
        return self

    @classmethod
    def of(
        cls,
        vectors: FloatArray,
        entropy: FloatArray,
        deferred: FloatArray,
        gains: FloatArray,
        *,
        embedding: str = HASHED,
    ) -> Self:
        """Return the table of these past queries.

        Args:
            vectors: (n, width), of any length.
            entropy: (n,) in [0, 1].
            deferred: (tiers, n) 1 where deferred.
            gains: (tiers, n) how much better the target's answer is than the tier's.
            embedding: What made the vectors.
        """
        steps = unit_rows(vectors)
        steps = np.round(steps / np.maximum(np.abs(steps).max(axis=1, keepdims=True), _FEWER) * _SCALE)
        return cls(
            embedding=embedding,
            width=vectors.shape[1],
            vectors=base64.b64encode(steps.astype(np.int8).tobytes()).decode("ascii"),
            entropy=_listed(entropy),
            deferred=[_listed(tier) for tier in deferred],
            gains=[_listed(tier) for tier in gains],
        )

    def __len__(self) -> int:
        return len(self.entropy)

    @cached_property
    def _rows(self) -> npt.NDArray[np.float32]:
        raw = np.frombuffer(base64.b64decode(self.vectors), dtype=np.int8).reshape(len(self), self.width)
        return unit_rows(raw.astype(np.float64)).astype(np.float32)

    @cached_property
    def _labels(self) -> FloatArray:
        """(n, 1 + tiers): entropy, and what each tier deferred."""
        return np.array([self.entropy, *self.deferred], dtype=np.float64).T

    @cached_property
    def _gains(self) -> FloatArray:
        return np.array(self.gains, dtype=np.float64).T

    @cached_property
    def _usual(self) -> tuple[FloatArray, FloatArray]:
        """Return what all came to on average: labels, and gains of what was accepted."""
        taken = 1.0 - self._labels[:, 1:]
        gains = (self._gains * taken).sum(axis=0) / np.maximum(taken.sum(axis=0), 1.0)
        return np.asarray(self._labels.mean(axis=0)), np.asarray(gains)

    def look(self, vectors: FloatArray, *, own: bool = False) -> Near:
        """Return what the nearest past queries have come to.

        Each counts by its squared cosine; beside them stands what all came to on average, with the weight of one query
        that is the same, so that a query like no other is expected to be like all others.

        Args:
            vectors: (m, width).
            own: Whether these are the past queries themselves, in order: then none is its own neighbour.
        """
        alike = np.clip(_cosines(unit_rows(vectors).astype(np.float32), self._rows), 0.0, 1.0).astype(np.float64)
        if own:
            np.fill_diagonal(alike, 0.0)
        count = min(self.nearest, len(self))
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        weights = np.take_along_axis(alike, nearest, axis=1)[:, :, None] ** 2
        labels, (usual, usual_gains) = self._labels[nearest], self._usual
        gains = _mean(self._gains[nearest], weights * (1.0 - labels[:, :, 1:]), usual_gains)
        labels = _mean(labels, weights, usual)
        return Near(alike.max(axis=1), labels[:, 0], labels[:, 1:], gains)


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Return the rows at Euclidean length 1; rows of zeros as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0), dtype=np.float64)


def _cosines(some: npt.NDArray[np.float32], past: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (m, n) products; of one query without BLAS, whose threads take longer to meet than the work takes."""
    return np.einsum("mw,nw->mn", some, past) if len(some) == 1 else some @ past.T


def _mean(labels: FloatArray, weights: FloatArray, usual: FloatArray) -> FloatArray:
    return np.asarray(((weights * labels).sum(axis=1) + usual) / (weights.sum(axis=1) + 1.0))


def _listed(values: FloatArray) -> list[float]:
    found: list[float] = np.asarray(values, dtype=np.float64).round(4).tolist()
    return found
