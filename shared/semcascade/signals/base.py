"""What a signal is: a pure function of what is known about the answers, with a documented direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.clusters import complete_link
from semcascade.locks import cached_property

__all__ = ["NEEDS", "Evidence", "FloatArray", "Score", "Signal"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

NEEDS: Final = {
    "logprobs": "token log-probabilities (logprobs = true for the members, where their providers send them)",
    "sentences": "the answers' sentences",
    "entailment": "entailment probabilities (similarity = 'entailment')",
    "contradiction": "contradiction by sentence (similarity = 'entailment')",
    "unsupported": "support by sentence (similarity = 'judge' with support = true)",
}
"""What a signal may need beside the matrix, by the field of `Evidence`, and where it comes from."""


@dataclass(frozen=True)
class Evidence:
    """All that a signal may look at. What several signals need is worked out once.

    Attributes:
        matrix: n×n similarities in [0, 1], symmetric, ones on the diagonal.
        chosen: Index of the answer that would be returned.
        logprobs: Natural-log probabilities of each answer's tokens, None where a provider sent none.
        same_at: Similarity from which two answers count as the same, for signals that count meanings.
        clusters: A cluster number for each answer where the comparison found the clusters itself; otherwise
            None, and they are found by complete linkage at `same_at`.
        sentences: Each answer's sentences, each of them as its words in lower case.
        entailment: (n, n, 3) probabilities that answer i entails answer j, is neutral to it, contradicts it.
        contradiction: (n, n) how far answer j contradicts answer i: the mean over the sentences of i of
            P(contradiction) with neutrality left out.
        unsupported: (n, n) how far answer j does not support answer i: the mean over the sentences of i of
            0 for supported, 1 for not supported, 0.5 for unsaid.
    """

    matrix: FloatArray
    chosen: int = 0
    logprobs: tuple[tuple[float, ...] | None, ...] | None = None
    same_at: float = 0.5
    clusters: tuple[int, ...] | None = None
    sentences: tuple[tuple[tuple[str, ...], ...], ...] | None = None
    entailment: FloatArray | None = None
    contradiction: FloatArray | None = None
    unsupported: FloatArray | None = None

    @property
    def n(self) -> int:
        """How many answers there are."""
        return int(self.matrix.shape[0])

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The cluster of each answer."""
        return complete_link(self.matrix, self.same_at) if self.clusters is None else self.clusters

    @cached_property
    def others(self) -> npt.NDArray[np.intp]:
        """Indices of the answers beside the chosen one."""
        return np.flatnonzero(np.arange(self.n) != self.chosen)

    @cached_property
    def tokens(self) -> FloatArray | None:
        """Log-probabilities of the chosen answer's tokens, or None where there are none."""
        found = None if self.logprobs is None else self.logprobs[self.chosen]
        return np.array(found, dtype=np.float64) if found else None

    @cached_property
    def mean_logprobs(self) -> FloatArray | None:
        """Each answer's mean token log-probability, (n,), or None where one answer has none."""
        if self.logprobs is None or not all(self.logprobs):
            return None
        return np.array([np.mean(one) for one in self.logprobs if one], dtype=np.float64)

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
        rescale: (value, evidence) → reliability in [0, 1], higher = more reliable.
        higher_is_better: The direction of the raw value.
        min_answers: Fewer answers leave it undefined.
        summary: One sentence: what it measures.
        span: The raw value's range.
        few: What it is for one and for two answers.
        source: Who proposed it.
        needs: What must be there beside the matrix: names of fields of `Evidence`, see `NEEDS`.
        uses: What else it takes into account where it is there.
        of_chosen: Whether it depends on which answer is chosen.
        rises_with: What its reliability never falls with, at one number of answers: "similarity", of any two answers;
            "clusters", their growth, where being the same is an equivalence. Then what it can still become while
            answers are missing is known (see `semcascade.signals.bounds`). None: nothing is known of that.
    """

    name: str
    compute: Callable[[Evidence], float | None]
    rescale: Callable[[float, Evidence], float]
    higher_is_better: bool
    min_answers: int
    summary: str
    span: str = ""
    few: str = ""
    source: str = ""
    needs: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    of_chosen: bool = False
    rises_with: Literal["similarity", "clusters"] | None = None

    def score(self, evidence: Evidence) -> Score:
        """Evaluate the signal, or say why it is undefined."""
        if evidence.n < self.min_answers:
            return Score(None, None, f"{self.name} needs {self.min_answers} answers, got {evidence.n}")
        for need in sorted(self.needs):
            if getattr(evidence, need) is None:
                return Score(None, None, f"{self.name} is undefined without {NEEDS[need]}")
        value = self.compute(evidence)
        if value is None or not math.isfinite(value):
            return Score(None, None, f"{self.name} is undefined for these answers")
        return Score(float(value), min(1.0, max(0.0, float(self.rescale(float(value), evidence)))))
