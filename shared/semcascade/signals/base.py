"""What a signal is: a pure function of the similarity matrix (and logprobs) with a documented direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.signals.clusters import complete_link

__all__ = ["Evidence", "FloatArray", "Score", "Signal"]

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """All that a signal may look at. What several signals need is worked out once.

    Attributes:
        matrix: n×n similarities in [0, 1], symmetric, ones on the diagonal.
        primary: Index of the primary member's answer.
        logprobs: Mean token log-probability of each answer, or None where a provider sent none.
        same_at: Similarity from which two answers count as the same, for signals that count meanings.
        clusters: A cluster number for each answer where the comparison found the clusters itself; otherwise
            None, and they are found by complete linkage at `same_at`.
    """

    matrix: FloatArray
    primary: int = 0
    logprobs: tuple[float | None, ...] | None = None
    same_at: float = 0.5
    clusters: tuple[int, ...] | None = None

    @property
    def n(self) -> int:
        """How many answers there are."""
        return int(self.matrix.shape[0])

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The cluster of each answer."""
        return complete_link(self.matrix, self.same_at) if self.clusters is None else self.clusters

    @cached_property
    def spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (n,), ascending, and eigenvectors (n, n), in columns, of the normalised graph Laplacian.

        L = I - D^(-1/2) W D^(-1/2), W the symmetrised matrix, D its row sums (Lin et al. 2024, arXiv 2305.19187).
        """
        weights = (self.matrix + self.matrix.T) / 2
        scale = 1.0 / np.sqrt(weights.sum(axis=1))
        laplacian = np.eye(self.n) - weights * np.outer(scale, scale)
        values, vectors = np.linalg.eigh(laplacian)
        return values, vectors


@dataclass(frozen=True, slots=True)
class Score:
    """A signal's value for one set of answers.

    Attributes:
        value: The value in the literature's own scale, or None where undefined.
        reliability: The same in [0, 1], higher = more reliable, or None where undefined.
        note: Why it is undefined, or "".
    """

    value: float | None
    reliability: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """A named signal.

    Attributes:
        name: The name it is chosen by.
        compute: The function; returns None where undefined for this evidence.
        rescale: (value, n) → reliability in [0, 1], higher = more reliable.
        higher_is_better: The direction of the raw value.
        min_answers: Fewer answers leave it undefined.
        summary: One sentence: what it measures and its range.
    """

    name: str
    compute: Callable[[Evidence], float | None]
    rescale: Callable[[float, int], float]
    higher_is_better: bool
    min_answers: int
    summary: str

    def score(self, evidence: Evidence) -> Score:
        """Evaluate the signal, or say why it is undefined."""
        if evidence.n < self.min_answers:
            return Score(None, None, f"{self.name} needs {self.min_answers} answers, got {evidence.n}")
        value = self.compute(evidence)
        if value is None or not np.isfinite(value):
            return Score(None, None, f"{self.name} is undefined for these answers")
        return Score(float(value), float(np.clip(self.rescale(float(value), evidence.n), 0.0, 1.0)))
