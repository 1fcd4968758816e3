"""The one way to compare answers, whatever the similarity: what holds for all of them is seen to here.

Answers that say nothing resemble no other. Answers with the same words are the same and are compared once. What
a similarity returns is checked before it is used.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from semcascade.errors import ConfigError
from semcascade.locks import ForkLock
from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, FloatArray, Query, Similarity, answer_text
from semcascade.similarity.kinds import Kind, classify

__all__ = ["acompare", "compare", "is_brief"]

TOLERANCE = 1e-6
"""How far rounding may take a matrix from [0, 1], from symmetry and from ones on its diagonal."""

INLINE_CHARACTERS = 4_000
"""More text than this is compared in a worker thread: an event loop should not wait for more than a few ms."""

_TURN = ForkLock()

_FILLED_IN: Mapping[str, tuple[Any, Any]] = {
    "tiebreak": (0.0, 1.0),
    "entailment": ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    "contradiction": (1.0, 0.0),
    "unsupported": (1.0, 0.0),
    "twins": (0.0, 1.0),
    "apart": (1.0, 0.0),
}
"""By field: what stands between an answer that says nothing and any other one, and between an answer and itself."""


def compare(similarity: Similarity, query: Query | str, answers: Sequence[Candidate]) -> Comparison:
    """Compare every pair of answers to a query.

    Empty, refused and truncated answers are 0 like every other answer, each other included, and 1 like
    themselves. The similarity sees the others only, one of each wording.

    Args:
        similarity: How to compare.
        query: What was asked; a text stands for a query without tools.
        answers: The answers, n ≥ 1.

    Raises:
        ConfigError: If the similarity returns something that is no similarity matrix.

    >>> from semcascade.similarity import get_similarity
    >>> answers = [Candidate("a", text="Paris."), Candidate("b", text="paris"), Candidate("c")]
    >>> compare(get_similarity("exact"), "The capital of France?", answers).matrix.tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    groups = _Groups.of(answers)
    if len(groups.firsts) < 2:
        return groups.trivial(similarity)
    return groups.spread(similarity, similarity.compare(_query(query), groups.distinct(answers)))


async def acompare(similarity: Similarity, query: Query | str, answers: Sequence[Candidate]) -> Comparison:
    """Compare like `compare`, without holding up the event loop."""
    brief = is_brief(answers)
    if not (brief or similarity.remote):
        return await asyncio.to_thread(compare if similarity.heavy else _in_turn, similarity, query, answers)
    groups = _Groups.of(answers) if brief else await asyncio.to_thread(_Groups.of, answers)
    if len(groups.firsts) < 2:
        return groups.trivial(similarity)
    return groups.spread(similarity, await similarity.acompare(_query(query), groups.distinct(answers)))


def _in_turn(similarity: Similarity, query: Query | str, answers: Sequence[Candidate]) -> Comparison:
    """Compare while no other thread does: the more threads want the interpreter, the longer an event loop waits for it.

    Those that wait here do not want it, and all together they take no longer.
    """
    with _TURN:
        return compare(similarity, query, answers)


def is_brief(answers: Sequence[Candidate]) -> bool:
    """Say whether answers are brief enough to be looked at on an event loop."""
    return sum(len(answer_text(answer)) for answer in answers) <= INLINE_CHARACTERS


def _query(query: Query | str) -> Query:
    return Query(query) if isinstance(query, str) else query


@dataclass(frozen=True, slots=True)
class _Groups:
    """Which answers say something, and which of them say it in the same words.

    Attributes:
        kinds: What each answer is.
        group: For each answer the number of its wording, or None where it says nothing.
        firsts: For each wording the first answer that has it.
    """

    kinds: tuple[Kind, ...]
    group: tuple[int | None, ...]
    firsts: tuple[int, ...]

    @classmethod
    def of(cls, answers: Sequence[Candidate]) -> _Groups:
        kinds = tuple(classify(answer) for answer in answers)
        numbers: dict[str, int] = {}
        firsts: list[int] = []
        group: list[int | None] = []
        for index, (answer, kind) in enumerate(zip(answers, kinds, strict=True)):
            if kind.degenerate:
                group.append(None)
                continue
            number = numbers.setdefault(answer_text(answer), len(firsts))
            if number == len(firsts):
                firsts.append(index)
            group.append(number)
        return cls(kinds, tuple(group), tuple(firsts))

    def distinct(self, answers: Sequence[Candidate]) -> list[Candidate]:
        return [answers[index] for index in self.firsts]

    def trivial(self, similarity: Similarity) -> Comparison:
        """Return the comparison where there is nothing to compare."""
        live = sum(number is not None for number in self.group)
        why = "equal texts" if live > 1 else "only one answer says anything" if live else "no answer says anything"
        method, m = f"{similarity.name}: {why}", len(self.firsts)
        given: dict[str, Any] = {
            name: _full(m, itself) for name, (_, itself) in _FILLED_IN.items() if name in similarity.gives
        }
        same = np.ones((m, m))
        return self._filled(Comparison(same, method, **given), {"matrix": same})

    def spread(self, similarity: Similarity, found: Comparison) -> Comparison:
        """Check the comparison of the distinct wordings, and extend it to all answers."""
        n, what = len(self.firsts), f"similarity {similarity.name!r}"
        checked = {"matrix": _checked(found.matrix, n, what)}
        if found.tiebreak is not None:
            checked["tiebreak"] = _checked(found.tiebreak, n, f"tie-break of {what}")
        return self._filled(found, checked)

    def _filled(self, found: Comparison, checked: Mapping[str, FloatArray]) -> Comparison:
        """Return what was found for all answers, and what was checked of it in its place."""
        known: dict[str, Any] = {
            name: self._expanded(value, *fill)
            for name, fill in _FILLED_IN.items()
            if (value := checked.get(name, getattr(found, name))) is not None
        }
        return dataclasses.replace(
            found,
            matrix=self._expanded(checked["matrix"], 0.0, 1.0),
            clusters=None if found.clusters is None else self._clusters(found.clusters),
            notes=(*found.notes, *self._note()),
            kinds=self.kinds,
            **{"twins": self._expanded(np.eye(len(self.firsts)), *_FILLED_IN["twins"]), **known},
        )

    def _expanded(self, small: FloatArray, apart: Any, itself: Any) -> FloatArray:
        """Extend what is known of the wordings to all answers."""
        if len(self.firsts) == len(self.group):
            return small
        full = _full(len(self.group), apart)
        full[np.diag_indices(len(full))] = itself
        live = [index for index, number in enumerate(self.group) if number is not None]
        chosen = [number for number in self.group if number is not None]
        full[np.ix_(live, live)] = small[np.ix_(chosen, chosen)]
        return full

    def _clusters(self, found: tuple[int, ...]) -> tuple[int, ...]:
        """Give each answer its wording's cluster, and each that says nothing one of its own."""
        numbers: dict[tuple[str, int], int] = {}
        keys = (
            ("nothing", index) if number is None else ("cluster", found[number])
            for index, number in enumerate(self.group)
        )
        return tuple(numbers.setdefault(key, len(numbers)) for key in keys)

    def _note(self) -> tuple[str, ...]:
        empty = [kind.value for kind in self.kinds if kind.degenerate]
        if not empty:
            return ()
        return (f"{len(empty)} of {len(self.kinds)} answers agree with none: {', '.join(sorted(set(empty)))}",)


def _full(n: int, value: Any) -> FloatArray:
    """Return an n×n array with the value, which may be a vector, in every place."""
    return np.full((n, n, *np.shape(value)), value, dtype=np.float64)


def _checked(matrix: FloatArray, n: int, what: str) -> FloatArray:
    """Refuse what is no similarity matrix; set right what is only rounded.

    Raises:
        ConfigError: If shape, values, symmetry or diagonal are wrong.
    """
    try:
        matrix = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{what} must return a matrix of numbers", field="similarity") from None
    if matrix.shape != (n, n):
        raise ConfigError(f"{what} must return a {n}x{n} matrix, got shape {matrix.shape}", field="similarity")
    least, most = float(matrix.min()), float(matrix.max())  # NaN if there is any
    if not (isfinite(least) and isfinite(most)):
        raise ConfigError(f"{what} returned values that are not finite", field="similarity")
    if least < -TOLERANCE or most > 1 + TOLERANCE:
        raise ConfigError(f"{what} must return values from 0 to 1, got {least:.4g} to {most:.4g}", field="similarity")
    lopsided, off_one = abs(matrix - matrix.T).max(), abs(matrix.diagonal() - 1).max()
    if lopsided > TOLERANCE:
        raise ConfigError(f"{what} must return a symmetric matrix", field="similarity")
    if off_one > TOLERANCE:
        raise ConfigError(f"{what} must return ones on the diagonal", field="similarity")
    if least >= 0 and most <= 1 and not lopsided and not off_one:
        return matrix.copy()
    settled = np.clip((matrix + matrix.T) / 2, 0.0, 1.0)
    np.fill_diagonal(settled, 1.0)
    return settled
