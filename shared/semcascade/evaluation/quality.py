"""How good answers are: by references, by a function of one's own, by a judge, or by agreement with the target.

`by` names the way, here, in `score_rows` and in `semcascade score --by`:

- a similarity (`exact`, `token_f1`, `rouge_l`, `chrf`, `tool_calls`, `json`, ...): likeness to the reference; of
  several, to the one that the answer is most like;
- `numeric`: 1 where the answer's final number is the reference's, else 0;
- `target`, or `target:SIMILARITY`: likeness to the target's own answer, by `auto` unless said otherwise;
  needs no labels;
- `judge:MODEL`: 1 where the answer is better than the target's, 0.5 where it is as good, 0 where it is worse, as a
  model sees it in two orders; the target's own is 0.5;
- `module:function`: what the function makes of (answer, row), 0 to 1.

A failure or an empty answer is worth 0. One file's qualities are made one way: all earlier scores go. A row that cannot
be scored (no reference, no answer of the target, a judge that failed) stays without scores, and is told of.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from semcascade.errors import ConfigError, InputError
from semcascade.evaluation.possible_calls import Wanted, fulfils, wanted_calls
from semcascade.evaluation.rows import Row
from semcascade.messages import Candidate, ToolCall, question_text
from semcascade.similarity import Query, Similarity, answer_text, get_similarity, similarities
from semcascade.similarity.base import PaidCall
from semcascade.similarity.canonical import strip_markup
from semcascade.similarity.extract import as_json, final_answer
from semcascade.similarity.numbers import Quantity, parse_quantity

__all__ = [
    "ByFunction", "ByNumber", "ByReference", "ByTarget", "Judgement", "Marks", "Quality", "Scores", "quality_by",
    "stated_number",
]  # fmt: skip

Judgement: TypeAlias = Callable[[Candidate, Row], float]
"""A function of one's own: (answer, row) → quality, 0 to 1."""

_TAIL = 20_000
_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:[$€£¥]\s?)?\d(?:[\d,]*\d)?(?:\.\d+)?(?:\s?%)?")

Scores: TypeAlias = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Marks:
    """What became of one row.

    Attributes:
        scores: Quality of each answer of each system, 0 to 1; None where the row cannot be scored.
        why: Why it cannot.
        paid: Paid calls that it took.
        notes: What else the user should know.
    """

    scores: Scores | None
    why: str = ""
    paid: tuple[PaidCall, ...] = ()
    notes: tuple[str, ...] = field(default=())


class Quality(ABC):
    """A way to say how good answers are.

    Attributes:
        name: The way, as `by` writes it.
        paid: Whether it asks models that cost something.
    """

    name: str
    paid: bool = False

    @abstractmethod
    async def marks(self, row: Row) -> Marks:
        """Score every answer of a row."""

    def prepare(self) -> None:  # noqa: B027 - most ways are ready as they are
        """Load what the first row would wait for.

        Raises:
            SemcascadeError: If a package, a model or a key is missing.
        """


class ByReference(Quality):
    """Likeness to the reference, by a similarity; of several references the most like one counts.

    For `tool_calls` a reference is a JSON text: `{"name": ..., "arguments": {...}}`, or a list of such calls; or of the
    form of `semcascade.evaluation.possible_calls`, where an answer is right or wrong.
    """

    def __init__(self, similarity: Similarity) -> None:
        self.name, self._similarity = similarity.name, similarity

    def prepare(self) -> None:
        """Get the similarity ready."""
        self._similarity.prepare()

    async def marks(self, row: Row) -> Marks:
        """Compare every answer with every reference."""
        if not row.references:
            return Marks(None, "no reference")
        if self.name == "tool_calls":
            wanted = [calls for text in row.references if (calls := wanted_calls(text)) is not None]
            if wanted:
                return Marks(
                    {name: tuple(_right(one, wanted) for one in row.all_answers(name)) for name in row.answers}
                )
        references = [_reference(text) for text in row.references]
        if self.name == "tool_calls" and not any(reference.tool_calls for reference in references):
            return Marks(None, "no reference that is a tool call")
        return await _likeness(self._similarity, row, references)


class ByTarget(Quality):
    """Likeness to the target's own answer, by a similarity: needs no labels."""

    def __init__(self, similarity: Similarity, target: str) -> None:
        self.name, self._similarity, self._target = f"target:{similarity.name}", similarity, target

    def prepare(self) -> None:
        """Get the similarity ready."""
        self._similarity.prepare()

    async def marks(self, row: Row) -> Marks:
        """Compare every answer with the target's."""
        own = row.answers.get(self._target)
        if own is None or not _says_something(own):
            return Marks(None, f"no answer of the target {self._target!r}")
        found = await _likeness(self._similarity, row, [own])
        scores = {**(found.scores or {}), self._target: tuple(1.0 for _ in row.all_answers(self._target))}
        return Marks(scores, notes=found.notes)


class ByNumber(Quality):
    """1 where the number that an answer ends up with is the reference's, else 0.

    It is the answer's final answer where it states one, else the last number in it.
    """

    name = "numeric"

    async def marks(self, row: Row) -> Marks:
        """Compare the last number of every answer with those of the references."""
        wanted = [number for text in row.references if (number := stated_number(text)) is not None]
        if not wanted:
            return Marks(None, "no reference that holds a number")

        def quality(answer: Candidate) -> float:
            found = stated_number(answer.text) if answer.ok else None
            return float(found is not None and any(found.same(number) for number in wanted))

        return Marks({system: tuple(map(quality, row.all_answers(system))) for system in row.answers})


class ByFunction(Quality):
    """What a function of one's own makes of each answer that is none of the failures."""

    def __init__(self, function: Judgement, name: str) -> None:
        self.name, self._function = name, function

    async def marks(self, row: Row) -> Marks:
        """Call the function for every answer, in a worker thread.

        Raises:
            InputError: If it fails, or returns no number from 0 to 1.
        """
        return Marks(await asyncio.to_thread(self._scores, row))

    def _scores(self, row: Row) -> Scores:
        return {system: tuple(self._score(answer, row) for answer in row.all_answers(system)) for system in row.answers}

    def _score(self, answer: Candidate, row: Row) -> float:
        if not answer.ok:
            return 0.0
        try:
            value = self._function(answer, row)
        except Exception as error:
            wrong = f"{self.name} failed on the answer of {answer.member!r}: {type(error).__name__}: {error}"
            raise InputError(wrong, field=row.where or row.id) from error
        if not isinstance(value, bool | int | float | np.number) or not 0 <= value <= 1:
            raise InputError(f"{self.name} must return a number from 0 to 1, got {value!r}", field=row.where or row.id)
        return float(value)


def quality_by(by: str | Judgement | Quality, *, target: str | None = None) -> Quality:
    """Return the way that a setting names; `judge:MODEL` is `semcascade.evaluation.preference`.

    Args:
        by: See above; or a function, or a way itself.
        target: Name of the target, where the way needs one.

    Raises:
        ConfigError: If there is no such way, or it needs a target and none is named.
    """
    if isinstance(by, Quality):
        return by
    if callable(by):
        return ByFunction(by, getattr(by, "__qualname__", type(by).__name__))
    kind, _, rest = by.partition(":")
    if kind == "target":
        return ByTarget(get_similarity(rest or "auto"), _need(target, by))
    if kind == "judge":
        from semcascade.evaluation.preference import Preference

        if not rest:
            raise ConfigError("name the model that judges, e.g. 'judge:openai/gpt-5'", field="by")
        return Preference(rest, _need(target, by))
    if by == ByNumber.name:
        return ByNumber()
    if rest:
        return ByFunction(_imported(by), by)
    if by not in similarities():
        known = ", ".join(["numeric", "target", "judge:MODEL", "module:function", *similarities()])
        raise ConfigError(f"there is no way {by!r} to score answers; known are {known}", field="by")
    return ByReference(get_similarity(by))


def stated_number(text: str) -> Quantity | None:
    """Return the number that a text ends up with: its final answer, else its last number; None where it has none.

    >>> stated_number("3 boxes of 4 make 12 pens.").value, stated_number("**$1,200**").value
    (Fraction(12, 1), Fraction(1200, 1))
    """
    final = final_answer(text)
    candidates = [text if final is None else final, *reversed(_NUMBER.findall(text[-_TAIL:]))]
    return next((found for one in candidates if (found := parse_quantity(strip_markup(one))) is not None), None)


async def _likeness(similarity: Similarity, row: Row, models: Sequence[Candidate]) -> Marks:
    """Return how like each answer is to the one of the models that it is most like."""
    answers = [(system, answer) for system in row.answers for answer in row.all_answers(system)]
    live = [index for index, (_, answer) in enumerate(answers) if _says_something(answer)]
    shown = [*models, *(answers[index][1] for index in live)]
    query = Query(question_text(row.messages), row.tools, row.response_format)
    if similarity.remote:
        comparison = await similarity.acompare(query, shown)
    else:
        comparison = await asyncio.to_thread(similarity.compare, query, shown)
    best = np.clip(np.asarray(comparison.matrix, dtype=np.float64)[len(models) :, : len(models)], 0, 1).max(axis=1)
    quality = dict(zip(live, best.tolist(), strict=True))
    scores: dict[str, tuple[float, ...]] = {}
    for index, (system, _) in enumerate(answers):
        scores[system] = (*scores.get(system, ()), quality.get(index, 0.0))
    return Marks(scores, paid=comparison.paid)


def _right(answer: Candidate, wanted: Sequence[Sequence[Wanted]]) -> float:
    return float(answer.ok and any(fulfils(calls, answer.tool_calls) for calls in wanted))


def _says_something(answer: Candidate) -> bool:
    return answer.ok and bool(answer_text(answer).strip())


def _reference(text: str) -> Candidate:
    """Return a reference as the answer that it stands for: tool calls where it is such, else its text."""
    value = as_json(text)
    listed = value if isinstance(value, list) else [value]
    calls = [call for call in listed if _is_call(call)]
    if calls and len(calls) == len(listed):
        return Candidate("reference", tool_calls=tuple(map(_call, calls)))
    return Candidate("reference", text=text)


def _is_call(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and value.keys() == {"name", "arguments"}


def _call(call: Mapping[str, Any]) -> ToolCall:
    arguments = call["arguments"]
    return ToolCall(str(call["name"]), arguments if isinstance(arguments, str) else json.dumps(arguments))


def _need(target: str | None, by: str) -> str:
    if target is None:
        raise ConfigError(f"{by!r} holds answers against the target's; say which system that is", field="target")
    return target


def _imported(spec: str) -> Judgement:
    module, _, name = spec.partition(":")
    try:
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"cannot import {spec!r}: {error}", field="by") from None
    if not callable(function):
        raise ConfigError(f"{spec!r} is a {type(function).__name__}, not a function", field="by")
    return function  # type: ignore[no-any-return]
