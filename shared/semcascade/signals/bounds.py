"""What a signal can still become while answers are missing.

Each missing answer may come with any similarities, may say nothing (then it resembles no other), or may fail (then it
is none of the answers). So with a answers there and m missing, n runs from a to a + m, and every unknown similarity
from 0 to 1. The bounds hold for all of these at once: a decision that they settle cannot change any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.locks import cached_property
from semcascade.signals.base import Evidence, FloatArray, Signal

__all__ = ["MOST_MISSING", "UNDEFINED", "Partial", "bounds", "foreseeable"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]

MOST_MISSING = 16
"""With more answers missing, everything counts as open: nothing is settled that early, and looking takes time."""

UNDEFINED = -1.0
"""Stands for a reliability that is undefined, which no rule accepts."""


@dataclass(frozen=True)
class Partial:
    """The answers that are there, and how many are missing.

    Attributes:
        evidence: What is known of those that are there.
        live: Which of them say something; the others resemble no answer, whatever comes.
        missing: How many may still come.
        twins: n×n; two answers that every other answer, whatever it be, resembles equally.
        apart: n×n; two answers that no third one, whatever it be, can both resemble; None: there may be none such.
    """

    evidence: Evidence
    live: tuple[bool, ...]
    missing: int
    twins: BoolArray
    apart: BoolArray | None = None

    @property
    def n(self) -> int:
        """How many answers are there."""
        return self.evidence.n

    @cached_property
    def rows(self) -> FloatArray:
        """Each answer's similarities to the others, added up."""
        matrix = self.evidence.matrix
        return np.asarray(matrix.sum(axis=1) - np.diagonal(matrix), dtype=np.float64)

    @cached_property
    def in_classes(self) -> bool:
        """Whether any two answers that say something are either twins or apart, so that a newcomer joins one class."""
        live = np.flatnonzero(self.live)
        known = self.twins if self.apart is None else self.twins | self.apart
        return bool(known[np.ix_(live, live)].all())

    @cached_property
    def circles(self) -> tuple[npt.NDArray[np.intp], ...]:
        """The sets of answers, as large as can be, that one newcomer may resemble: classes, or all that say something.

        >>> two = Evidence(np.eye(2))
        >>> yes, no = np.ones((2, 2), dtype=bool), np.zeros((2, 2), dtype=bool)
        >>> [circle.tolist() for circle in Partial(two, (True, True), 1, no, None).circles]
        [[0, 1]]
        >>> [circle.tolist() for circle in Partial(two, (True, True), 1, np.eye(2, dtype=bool), yes).circles]
        [[0], [1]]
        """
        live = np.flatnonzero(self.live)
        if not self.in_classes or not len(live):
            return (live,)
        firsts = [i for i in live if not any(self.twins[i, j] for j in live if j < i)]
        return tuple(np.array([j for j in live if j == i or self.twins[i, j]], dtype=np.intp) for i in firsts)

    def completions(self, arrived: int) -> Iterator[Evidence]:
        """Yield the extremes with so many of the missing answers there: they resemble none; or all of one circle."""
        n = self.n + arrived
        lonely = np.eye(n)
        lonely[: self.n, : self.n] = self.evidence.matrix
        yield self._with(lonely)
        if not arrived:
            return
        for circle in self.circles:
            joined = lonely.copy()
            joined[self.n :, self.n :] = 1.0
            joined[self.n :, circle] = 1.0
            joined[circle, self.n :] = 1.0
            yield self._with(joined)

    def _with(self, matrix: FloatArray) -> Evidence:
        return dataclasses.replace(self.evidence, matrix=matrix, clusters=None)


def bounds(signal: Signal, partial: Partial, *, arrived: int | None = None) -> tuple[float, float]:
    """Return bounds on a signal's reliability once nothing is missing any more.

    Args:
        signal: The signal.
        partial: The answers that are there. A signal that judges the chosen answer takes `evidence.chosen` for it.
        arrived: How many of the missing answers come; any number unless given.

    Returns:
        (low, high), -1 standing for undefined; (-1, 1) where nothing can be said.

    >>> from semcascade.signals.agreement import AGREEMENT
    >>> matrix = np.array([[1.0, 0.8], [0.8, 1.0]])
    >>> bounds(AGREEMENT, Partial(Evidence(matrix), (True, True), 1, np.eye(2, dtype=bool)))
    (0.4, 1.0)
    """
    if not foreseeable(signal, partial):
        return UNDEFINED, 1.0
    found = [
        UNDEFINED if (score := signal.score(evidence)).reliability is None else score.reliability
        for number in (range(partial.missing + 1) if arrived is None else (arrived,))
        for evidence in partial.completions(number)
    ]
    return min(found), max(found)


def foreseeable(signal: Signal, partial: Partial) -> bool:
    """Say whether the extremes of the unknown similarities are the extremes of the signal."""
    if partial.missing > MOST_MISSING or signal.rises_with is None:
        return False
    return signal.rises_with == "similarity" or partial.in_classes
