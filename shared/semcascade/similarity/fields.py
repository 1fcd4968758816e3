"""Likeness of structured values: by field, numbers by value, whatever the order of keys."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from semcascade.similarity.lexical import ChrF
from semcascade.similarity.numbers import parse_date, parse_number

__all__ = ["CONFLICT_WEIGHT", "LONG_TEXT_WORDS", "Match", "Verbatim", "Wording", "leaves", "match", "wording_by_chrf"]

Wording: TypeAlias = Callable[[str, str], float]
"""How alike two free texts are, 0 to 1."""

LONG_TEXT_WORDS = 8
"""From so many words on, a field is free text, compared by its wording."""

CONFLICT_WEIGHT = 0.4
"""A conflict in a field that is no free text makes two values different, however much else agrees."""

MAX_DEPTH = 64
"""Values nested deeper are compared as texts."""


class Verbatim(str):
    """A text of which it is known that its digits are no number and no date."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Match:
    """How alike two structured values are.

    Attributes:
        score: 1 for equal values; at most 0.4 where fields conflict.
        disagree: Paths of the fields that differ, sorted.
    """

    score: float
    disagree: tuple[str, ...] = ()


def leaves(value: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the fields of a nested value by their paths; a null says the same as an absent field.

    >>> leaves({"a": {"b": 1}, "c": [2, None]})
    {'a.b': 1, 'c[0]': 2}
    """
    if depth > MAX_DEPTH:
        return {path: repr(value)}
    if isinstance(value, Mapping):
        parts = ((_inside(path, str(key)), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    else:
        return {} if value is None else {path: value}
    found: dict[str, Any] = {}
    for name, item in parts:
        found |= leaves(item, name, depth + 1)
    # An empty list or object inside is a statement; at the top it is just nothing.
    return found or ({path: value} if path and len(value) == 0 else {})


def _inside(path: str, key: str) -> str:
    """Return the path of a field; a key that reads like a path itself is quoted."""
    if any(sign in key for sign in ".[]"):
        return f"{path}[{key!r}]"
    return f"{path}.{key}" if path else key


def wording_by_chrf(first: str, second: str) -> float:
    """Return chrF of two texts."""
    return float(ChrF().matrix([first, second])[0, 1])


def match(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    wording: Wording = wording_by_chrf,
    long_words: int = LONG_TEXT_WORDS,
) -> Match:
    """Compare two values by their fields (see `leaves`).

    The score is the mean over all fields of either: 1 where they are equal, their wording's for free texts, 0
    otherwise; 0.4 of that where a field that is no free text conflicts.

    Args:
        first: Fields by path.
        second: Fields by path.
        wording: How free texts are compared.
        long_words: From so many words on a text is free.

    >>> match({"a": 1, "b": "x"}, {"a": 1.0, "b": "y"})
    Match(score=0.2, disagree=('b',))
    """
    paths = first.keys() | second.keys()
    if not paths:
        return Match(1.0)
    scores = {path: _alike(first.get(path), second.get(path), wording, long_words) for path in paths}
    disagree = tuple(sorted(path for path, (score, _) in scores.items() if score < 1))
    conflict = any(score < 1 and not free for score, free in scores.values())
    mean = sum(score for score, _ in scores.values()) / len(scores)
    return Match(CONFLICT_WEIGHT * mean if conflict else mean, disagree)


def _alike(first: Any, second: Any, wording: Wording, long_words: int) -> tuple[float, bool]:
    """Return how alike two fields are, and whether they are free text."""
    if isinstance(first, str) and isinstance(second, str):
        if _folded(first) == _folded(second):
            return 1.0, True
        if min(len(first.split()), len(second.split())) >= long_words:
            return wording(first, second), True
    return float(_equal(first, second)), False


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Verbatim) or isinstance(second, Verbatim):
        return isinstance(first, str) and isinstance(second, str) and _folded(first) == _folded(second)
    if isinstance(first, bool) or isinstance(second, bool):
        return _truth(first) is not None and _truth(first) == _truth(second)
    one, other = _number(first), _number(second)
    if one is not None or other is not None:
        return one == other
    if isinstance(first, str) and isinstance(second, str):
        day = parse_date(first)
        return _folded(first) == _folded(second) or (day is not None and day == parse_date(second))
    return type(first) is type(second) and bool(first == second)


def _truth(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _number(value: Any) -> Fraction | None:
    if isinstance(value, str):
        return parse_number(value) if len(value) <= 40 and any(c.isdigit() for c in value) else None
    if isinstance(value, int):
        return Fraction(value)
    return Fraction(str(value)) if isinstance(value, float) and math.isfinite(value) else None


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
