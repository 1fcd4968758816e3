"""The similarity that fits the answers, chosen pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, Query, Similarity, answer_text
from semcascade.similarity.canonical import Form, canonical, options, stance
from semcascade.similarity.code import Code
from semcascade.similarity.extract import final_answer
from semcascade.similarity.focus import CONFLICTING, CONTAINED, NEGATIONS, asked_words, focus, focus_alike
from semcascade.similarity.kinds import Kind, classify
from semcascade.similarity.lexical import ChrF
from semcascade.similarity.structured import Json, ToolCalls
from semcascade.similarity.tokens import tokenize

__all__ = ["Auto"]

MENTION_CHARACTERS = 400
"""How much of a long text's end is searched for another's stated answer."""

NEGATED_WITHIN = 3
"""A negation at most so many words before a stated answer denies it."""

_STRUCTURED: dict[str, type[Similarity]] = {"tool_calls": ToolCalls, "json": Json, "code": Code}


@dataclass(frozen=True, slots=True)
class _View:
    """What matters of one answer: its kind, what it states, the words on which it can differ, and its last words."""

    kind: Kind
    said: str
    form: Form | None = None
    focus: frozenset[str] | None = None
    words: tuple[str, ...] = ()
    stance: str | None = None


class Auto(Similarity):
    """Compares each pair of answers by what both are; the method says which ways were taken.

    - `tool_calls`: by name and arguments; a call and a text are `unlike`;
    - `exact`: numbers, short answers and final answers of worked solutions by what they state;
    - `json` by field, `code` by structure;
    - `focus`: brief answers by the words that go beyond the question, so that "The capital is Paris." and "The
      capital is Lyon." are not alike;
    - `stance`: answers of which one opens with yes, the other with no, are not alike; those of which one says no
      more than the other's yes or no are;
    - `mention`: a stated answer and a long text by whether the text mentions it, and does not deny it;
    - `chrf`: all others by their wording.

    How alike two answers are never depends on the other answers. The tie-break is chrF of the final answers, or of
    the whole texts where there are none.
    """

    name = "auto"
    pairwise = True

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers in the way that fits both."""
        asked, offered = asked_words(query.text), options(query.text)
        views = [_view(answer, asked, offered) for answer in answers]
        texts, said = [answer_text(answer) for answer in answers], [view.said for view in views]
        wording = ChrF().matrix(texts)
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
            tiebreak=wording if said == texts else ChrF().matrix(said),
        )


def _view(answer: Candidate, asked: frozenset[str], offered: dict[str, str]) -> _View:
    kind = classify(answer)
    text = answer_text(answer)
    if kind in {Kind.TOOL_CALLS, Kind.CODE}:
        return _View(kind, text)
    final = final_answer(text)
    stated = text if final is None and kind in {Kind.NUMBER, Kind.SHORT} else final
    form = None if stated is None else canonical(stated, offered)
    brief = None if kind is Kind.JSON and stated is None else focus(text if stated is None else stated, asked)
    words = tuple(tokenize(text[-MENTION_CHARACTERS:]))
    return _View(kind, final or text, form, brief, words, stance(text) if final is None else None)


def _way(first: _View, second: _View) -> str:
    """Say how to compare two answers; the same whichever comes first."""
    kinds = {first.kind, second.kind}
    if Kind.TOOL_CALLS in kinds:
        return "tool_calls" if len(kinds) == 1 else "unlike"
    if kinds == {Kind.CODE}:
        return "code"
    if first.stance and second.stance and (first.stance != second.stance or _only_stance(first, second)):
        return "stance"
    if first.form is not None and second.form is not None:
        return "exact"
    if kinds == {Kind.JSON} and first.form is second.form:
        return "json"
    if first.focus is not None and second.focus is not None:
        return "focus"
    return "chrf" if first.form is second.form or Kind.CODE in kinds else "mention"


def _alike(way: str, first: _View, second: _View, wording: float) -> float:
    match way:
        case "exact":
            return _stated_alike(first, second)
        case "stance":
            return float(first.stance == second.stance)
        case "focus":
            return focus_alike(first.focus or frozenset(), second.focus or frozenset())
        case "mention":
            return CONTAINED if _mentions(first, second) else CONFLICTING * wording
        case "unlike":
            return 0.0
        case _:
            return wording


def _only_stance(first: _View, second: _View) -> bool:
    """Whether one of the answers is a bare yes or no."""
    return any(view.form is not None and view.form.text == view.stance for view in (first, second))


def _stated_alike(first: _View, second: _View) -> float:
    if first.form is None or second.form is None:
        return 0.0
    if first.form.same(second.form):
        return 1.0
    if first.form.words is not second.form.words or first.form.day or second.form.day:
        return max(_number_within(first, second), _day_within(first, second))
    if first.focus is None or second.focus is None or not (first.form.words and second.form.words):
        return 0.0
    return focus_alike(first.focus, second.focus)


def _number_within(first: _View, second: _View) -> float:
    """How alike a bare number and a few words are: the words may do no more than say what the number counts."""
    bare, other = (second, first) if first.form is not None and first.form.words else (first, second)
    if bare.form is None or other.form is None or bare.form.quantity is None:
        return 0.0
    numbers = [word for word in other.form.text.split() if word.lstrip("-")[:1].isdigit()]
    return CONTAINED if numbers == [bare.form.text] else 0.0


def _day_within(first: _View, second: _View) -> float:
    """How alike a day and a rougher date are: "1969" or "July 1969" says less than "20 July 1969"."""
    for exact, rough in ((first, second), (second, first)):
        if exact.form is not None and exact.form.day is not None and rough.form is not None and rough.form.day is None:
            day = exact.form.day
            parts = {str(day.year), str(day.day), *day.strftime("%B %b").lower().split()}
            said = [word for word in tokenize(rough.form.text) if word not in {"in", "on", "of"}]
            return CONTAINED if str(day.year) in said and parts.issuperset(said) else 0.0
    return 0.0


def _mentions(first: _View, second: _View) -> bool:
    """Whether the one text has the words of the other's stated answer in a row, and no negation right before them."""
    stating, other = (first, second) if first.form is not None else (second, first)
    said = tokenize(stating.form.text) if stating.form is not None else []
    starts = range(len(other.words) - len(said) + 1)
    found = [start for start in starts if other.words[start : start + len(said)] == tuple(said)]
    return bool(said) and any(NEGATIONS.isdisjoint(other.words[max(0, at - NEGATED_WITHIN) : at]) for at in found)


def _part(
    similarity: Similarity, way: str, query: Query, answers: Sequence[Candidate], ways: dict[tuple[int, int], str]
) -> Comparison:
    """Compare the answers that take one way, and place the result among all answers."""
    members = sorted({index for pair, chosen in ways.items() if chosen == way for index in pair})
    found = similarity.compare(query, [answers[index] for index in members])
    matrix = np.eye(len(answers))
    matrix[np.ix_(members, members)] = found.matrix
    return Comparison(matrix, way, notes=found.notes)
