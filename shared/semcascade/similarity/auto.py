"""The similarity that fits the answers, chosen pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, Query, Similarity, answer_text
from semcascade.similarity.canonical import Form, canonical, options
from semcascade.similarity.code import Code
from semcascade.similarity.extract import final_answer
from semcascade.similarity.focus import focus, focus_alike
from semcascade.similarity.kinds import Kind, classify
from semcascade.similarity.lexical import ChrF
from semcascade.similarity.structured import Json, ToolCalls
from semcascade.similarity.tokens import tokenize

__all__ = ["Auto"]

_STRUCTURED: dict[str, type[Similarity]] = {"tool_calls": ToolCalls, "json": Json, "code": Code}


@dataclass(frozen=True, slots=True)
class _View:
    """What matters of one answer: its kind, what it states, and the words on which it can differ."""

    kind: Kind
    form: Form | None
    focus: frozenset[str] | None


class Auto(Similarity):
    """Compares each pair of answers by what both are; the method says which ways were taken.

    - `tool_calls`: by name and arguments; a call and a text are `unlike`;
    - `exact`: numbers, short answers and final answers of worked solutions by what they state;
    - `json` by field, `code` by structure;
    - `focus`: brief answers by the words that go beyond the question, so that "The capital is Paris." and "The
      capital is Lyon." are not alike;
    - `chrf`: all others by their wording.

    How alike two answers are never depends on the other answers. The tie-break is chrF throughout.
    """

    name = "auto"

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers in the way that fits both."""
        asked, offered = frozenset(tokenize(query.text)), options(query.text)
        views = [_view(answer, asked, offered) for answer in answers]
        wording = ChrF().compare(query, answers).matrix
        ways = {(i, j): _way(views[i], views[j]) for j in range(len(answers)) for i in range(j)}
        used = set(ways.values())
        parts = {way: _part(_STRUCTURED[way](), way, query, answers, ways) for way in sorted(used & _STRUCTURED.keys())}
        matrix = np.eye(len(answers))
        for (i, j), way in ways.items():
            alike = parts[way].matrix[i, j] if way in parts else _alike(way, views[i], views[j], float(wording[i, j]))
            matrix[i, j] = matrix[j, i] = alike
        return Comparison(
            matrix,
            f"auto: {', '.join(sorted(used))}",
            notes=tuple(note for part in parts.values() for note in part.notes),
            same_at=Code.same_at if used == {"code"} else 0.5,
            canonical=not used & {"chrf", "code"},
            tiebreak=wording,
        )


def _view(answer: Candidate, asked: frozenset[str], offered: dict[str, str]) -> _View:
    kind = classify(answer)
    if kind in {Kind.TOOL_CALLS, Kind.CODE}:
        return _View(kind, None, None)
    text = answer_text(answer)
    final = final_answer(text)
    stated = text if final is None and kind in {Kind.NUMBER, Kind.SHORT} else final
    form = None if stated is None else canonical(stated, offered)
    return _View(kind, form, None if kind is Kind.JSON else focus(text if stated is None else stated, asked))


def _way(first: _View, second: _View) -> str:
    """Say how to compare two answers; the same whichever comes first."""
    kinds = {first.kind, second.kind}
    if Kind.TOOL_CALLS in kinds:
        return "tool_calls" if len(kinds) == 1 else "unlike"
    if first.form is not None and second.form is not None:
        return "exact"
    if kinds == {Kind.JSON}:
        return "json"
    if kinds == {Kind.CODE}:
        return "code"
    if first.focus is not None and second.focus is not None:
        return "focus"
    return "chrf"


def _alike(way: str, first: _View, second: _View, wording: float) -> float:
    if way == "exact" and first.form is not None and second.form is not None:
        return float(first.form.same(second.form))
    if way == "focus" and first.focus is not None and second.focus is not None:
        return focus_alike(first.focus, second.focus)
    return 0.0 if way == "unlike" else wording


def _part(
    similarity: Similarity, way: str, query: Query, answers: Sequence[Candidate], ways: dict[tuple[int, int], str]
) -> Comparison:
    """Compare the answers that take one way, and place the result among all answers."""
    members = sorted({index for pair, chosen in ways.items() if chosen == way for index in pair})
    found = similarity.compare(query, [answers[index] for index in members])
    matrix = np.eye(len(answers))
    matrix[np.ix_(members, members)] = found.matrix
    return Comparison(matrix, way, notes=found.notes)
