"""Likeness of tool calls and of JSON answers."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from semcascade.errors import ConfigError
from semcascade.messages import Candidate, ToolCall
from semcascade.similarity.base import Comparison, FloatArray, Query, Similarity, TextSimilarity, answer_text
from semcascade.similarity.canonical import Form, canonical
from semcascade.similarity.catalog import get_similarity
from semcascade.similarity.extract import as_json
from semcascade.similarity.fields import CONFLICT_WEIGHT, LONG_TEXT_WORDS, Match, leaves, match
from semcascade.similarity.schemas import normalised

__all__ = ["Json", "ToolCalls"]

Fields: TypeAlias = Mapping[str, Any]
Call: TypeAlias = tuple[str, Fields]

MAX_MATCHED = 10
"""More calls in one answer are matched greedily."""


class _ByField(Similarity):
    """Compares values field by field, free texts in them by a similarity of their wording.

    Args:
        text: How free texts are compared: the name, or settings with a name, of a similarity of texts.
        long_words: From how many words on a text is free; a shorter one is the same or a conflict.

    Raises:
        ConfigError: If a setting is wrong.
    """

    def __init__(self, text: str | Mapping[str, Any] = "chrf", *, long_words: int = LONG_TEXT_WORDS) -> None:
        found = get_similarity(text)
        if not isinstance(found, TextSimilarity):
            raise ConfigError(f"{found.name!r} does not compare texts alone; take e.g. 'chrf'", field="similarity.text")
        if long_words < 0:
            raise ConfigError(f"must be 0 or more, got {long_words}", field="similarity.long_words")
        self._text, self._long_words = found, long_words

    def prepare(self) -> None:
        """Get the similarity of texts ready."""
        self._text.prepare()

    def _match(self, first: Fields, second: Fields) -> Match:
        return match(first, second, wording=self._wording, long_words=self._long_words)

    def _wording(self, first: str, second: str) -> float:
        return float(self._text.matrix([first, second])[0, 1])


class ToolCalls(_ByField):
    """1 for the same calls, at most 0.4 for others, by the share of names and arguments that agree.

    Arguments are read by the tool's JSON schema (see `semcascade.similarity.schemas`): members of an enum whatever
    their case, numbers and truth values also where they are written as texts, texts as texts, arrays in order unless
    their items are unique, defaults where an argument is left out. Without a schema, numbers are compared by value.
    The order of keys and of parallel calls does not matter; calls are matched one to one so that most agrees. Texts
    of eight words and more are compared by their wording. An answer without calls resembles no answer with calls; two
    without are compared by what they state. The notes name the arguments that disagree.

    Args:
        text: How free texts are compared: the name, or settings with a name, of a similarity of texts.
        long_words: From how many words on a text is free; a shorter one is the same or a conflict.
    """

    name = "tool_calls"
    pairwise = True

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare the tool calls of every pair of answers."""
        schemas = _schemas(query.tools)
        calls = [tuple(_call(call, schemas) for call in answer.tool_calls) for answer in answers]
        forms = [None if own else canonical(answer_text(answer)) for own, answer in zip(calls, answers, strict=True)]
        disagree: Counter[str] = Counter()

        def alike(i: int, j: int) -> float:
            if calls[i] and calls[j]:
                score, fields = _calls_alike(calls[i], calls[j], self._match)
                disagree.update(fields)
                return score
            return _same(forms[i], forms[j])

        matrix = _pairwise(len(answers), alike)
        return Comparison(matrix, self.name, notes=_disagreement("arguments", disagree))


class Json(_ByField):
    """Likeness of JSON answers by field; the notes name the fields that disagree.

    1 for equal values; where only free texts differ, the mean over the fields; where anything else conflicts, 0.4
    of that. An answer that is no JSON resembles only answers that state the same. Where a JSON schema was asked for,
    values are read by it, as arguments of tools are.

    Args:
        text: How free texts are compared: the name, or settings with a name, of a similarity of texts.
        long_words: From how many words on a text is free; a shorter one is the same or a conflict.
    """

    name = "json"
    pairwise = True

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers field by field."""
        values = [as_json(answer_text(answer)) for answer in answers]
        schema = _wanted_schema(query)
        fields = [None if value is None else leaves(normalised(value, schema)) for value in values]
        forms = [
            canonical(answer_text(answer)) if value is None else None
            for value, answer in zip(values, answers, strict=True)
        ]
        disagree: Counter[str] = Counter()

        def alike(i: int, j: int) -> float:
            first, second = fields[i], fields[j]
            if first is None or second is None:
                return _same(forms[i], forms[j])
            if type(values[i]) is not type(values[j]):
                return 0.0
            found = self._match(first, second)
            disagree.update(found.disagree)
            return found.score

        matrix = _pairwise(len(answers), alike)
        return Comparison(matrix, self.name, notes=_disagreement("fields", disagree))


def _same(first: Form | None, second: Form | None) -> float:
    """Compare what two plain texts state; None stands for an answer that is none."""
    return float(first is not None and second is not None and first.same(second))


def _pairwise(n: int, alike: Callable[[int, int], float]) -> FloatArray:
    matrix = np.eye(n)
    for i in range(n):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = alike(j, i)
    return matrix


def _disagreement(what: str, fields: Counter[str]) -> tuple[str, ...]:
    if not fields:
        return ()
    named = sorted(fields, key=lambda path: (-fields[path], path))
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return (f"{what} that disagree: {', '.join(path or 'the value' for path in named[:8])}{more}",)


def _schemas(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the schema of each tool's arguments by the tool's name."""
    functions = (tool.get("function", tool) for tool in tools)
    return {
        str(function.get("name")): function.get("parameters") for function in functions if isinstance(function, Mapping)
    }


def _wanted_schema(query: Query) -> Any:
    wanted = (query.response_format or {}).get("json_schema")
    return wanted.get("schema") if isinstance(wanted, Mapping) else None


def _call(call: ToolCall, schemas: Mapping[str, Any]) -> Call:
    arguments = call.parsed()
    if arguments is None:
        return call.name, {"arguments that are no JSON": call.arguments}
    return call.name, leaves(normalised(arguments, schemas.get(call.name)))


def _calls_alike(
    first: tuple[Call, ...], second: tuple[Call, ...], alike: Callable[[Fields, Fields], Match]
) -> tuple[float, set[str]]:
    """Match calls one to one so that most agrees.

    Returns:
        The mean over the longer list, capped where any of several calls differs; the arguments that disagree.
    """
    found = [[alike(one, other) if name == called else None for called, other in second] for name, one in first]
    scores = [[0.0 if match is None else match.score for match in row] for row in found]
    longer = max(len(first), len(second))
    pairs = _assigned(scores) if longer <= MAX_MATCHED else _greedy(scores)
    share = sum(scores[i][j] for i, j in pairs) / longer
    matched = (match for i, j in pairs if (match := found[i][j]) is not None)
    fields = {path for match in matched for path in match.disagree}
    return share if share == 1.0 or longer == 1 else min(share, CONFLICT_WEIGHT), fields


Pairs: TypeAlias = tuple[tuple[int, int], ...]


def _assigned(scores: Sequence[Sequence[float]]) -> Pairs:
    """Return the one-to-one matching of rows and columns with the greatest sum."""
    if len(scores) > len(scores[0]):
        return tuple((i, j) for j, i in _assigned([list(column) for column in zip(*scores, strict=True)]))

    @functools.cache
    def best(row: int, used: int) -> tuple[float, Pairs]:
        if row == len(scores):
            return 0.0, ()
        return max(
            (
                (scores[row][column] + rest, ((row, column), *pairs))
                for column in range(len(scores[0]))
                if not used >> column & 1
                for rest, pairs in [best(row + 1, used | 1 << column)]
            ),
            key=operator.itemgetter(0),
        )

    return best(0, 0)[1]


def _greedy(scores: Sequence[Sequence[float]]) -> Pairs:
    ranked = sorted(((score, i, j) for i, row in enumerate(scores) for j, score in enumerate(row)), reverse=True)
    chosen: dict[int, int] = {}
    columns: set[int] = set()
    for _, i, j in ranked:
        if i not in chosen and j not in columns:
            chosen[i] = j
            columns.add(j)
    return tuple(chosen.items())
