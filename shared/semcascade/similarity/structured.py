"""Likeness of tool calls and of JSON answers."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from semcascade.messages import Candidate, ToolCall
from semcascade.similarity.base import Comparison, FloatArray, Query, Similarity, answer_text
from semcascade.similarity.canonical import canonical
from semcascade.similarity.extract import as_json
from semcascade.similarity.fields import CONFLICT_WEIGHT, leaves, match

__all__ = ["Json", "ToolCalls"]

Call = tuple[str, Mapping[str, Any]]

MAX_MATCHED = 10
"""More calls in one answer are matched greedily."""


class ToolCalls(Similarity):
    """1 for the same calls, at most 0.4 for others, by the share of names and arguments that agree.

    The order of keys and of parallel calls does not matter; calls are matched one to one so that most agrees.
    Numbers are compared by value, an argument left out equals its default in the tool's schema. An answer without
    calls resembles no answer with calls; two without are compared by what they state.
    """

    name = "tool_calls"

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare the tool calls of every pair of answers."""
        defaults = _defaults(query.tools)
        calls = [tuple(_call(call, defaults) for call in answer.tool_calls) for answer in answers]

        def alike(i: int, j: int) -> float:
            if calls[i] and calls[j]:
                return _calls_alike(calls[i], calls[j])
            if calls[i] or calls[j]:
                return 0.0
            return float(canonical(answers[i].text).same(canonical(answers[j].text)))

        return Comparison(_pairwise(len(answers), alike), self.name, canonical=True)


class Json(Similarity):
    """Likeness of JSON answers by field; the notes name the fields that disagree.

    1 for equal values; where only free texts differ, the mean over the fields; where anything else conflicts, 0.4
    of that. An answer that is no JSON resembles only answers that state the same.
    """

    name = "json"

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers field by field."""
        values = [as_json(answer_text(answer)) for answer in answers]
        fields = [None if value is None else leaves(value) for value in values]
        disagree: Counter[str] = Counter()

        def alike(i: int, j: int) -> float:
            first, second = fields[i], fields[j]
            if first is None or second is None:
                same = first is second and canonical(answers[i].text).same(canonical(answers[j].text))
                return float(same)
            if type(values[i]) is not type(values[j]):
                return 0.0
            found = match(first, second)
            disagree.update(found.disagree)
            return found.score

        matrix = _pairwise(len(answers), alike)
        return Comparison(matrix, self.name, notes=_disagreement(disagree), canonical=True)


def _pairwise(n: int, alike: Callable[[int, int], float]) -> FloatArray:
    matrix = np.eye(n)
    for i in range(n):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = alike(j, i)
    return matrix


def _disagreement(fields: Counter[str]) -> tuple[str, ...]:
    if not fields:
        return ()
    named = sorted(fields, key=lambda path: (-fields[path], path))
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return (f"fields that disagree: {', '.join(path or 'the value' for path in named[:8])}{more}",)


def _defaults(tools: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each tool's arguments that have a default, with it."""
    found: dict[str, dict[str, Any]] = {}
    for tool in tools:
        function = tool.get("function", tool)
        parameters = function.get("parameters") if isinstance(function, Mapping) else None
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        if isinstance(properties, Mapping):
            found[str(function.get("name"))] = {
                key: schema["default"]
                for key, schema in properties.items()
                if isinstance(schema, Mapping) and "default" in schema
            }
    return found


def _call(call: ToolCall, defaults: Mapping[str, Mapping[str, Any]]) -> Call:
    arguments = call.parsed()
    if arguments is None:
        return call.name, {"arguments that are no JSON": call.arguments}
    given = {key: value for key, value in arguments.items() if value is not None}
    return call.name, leaves({**defaults.get(call.name, {}), **given})


def _calls_alike(first: tuple[Call, ...], second: tuple[Call, ...]) -> float:
    """Match calls one to one so that most agrees; the mean over the longer list, capped where any call differs."""
    scores = [[_call_alike(one, other) for other in second] for one in first]
    best = _assigned(scores) if max(len(first), len(second)) <= MAX_MATCHED else _greedy(scores)
    share = best / max(len(first), len(second))
    return share if share == 1.0 or len(first) == len(second) == 1 else min(share, CONFLICT_WEIGHT)


def _call_alike(first: Call, second: Call) -> float:
    """0 for different tools; for the same tool 1 or, where arguments conflict, at most 0.4."""
    if first[0] != second[0]:
        return 0.0
    return match(first[1], second[1]).score


def _assigned(scores: Sequence[Sequence[float]]) -> float:
    """Return the greatest sum over one-to-one matchings of rows and columns."""
    if len(scores) > len(scores[0]):
        scores = [list(column) for column in zip(*scores, strict=True)]

    @functools.cache
    def best(row: int, used: int) -> float:
        if row == len(scores):
            return 0.0
        return max(
            scores[row][column] + best(row + 1, used | 1 << column)
            for column in range(len(scores[0]))
            if not used >> column & 1
        )

    return best(0, 0)


def _greedy(scores: Sequence[Sequence[float]]) -> float:
    ranked = sorted(((score, i, j) for i, row in enumerate(scores) for j, score in enumerate(row)), reverse=True)
    rows: set[int] = set()
    columns: set[int] = set()
    total = 0.0
    for score, i, j in ranked:
        if i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
            total += score
    return total
