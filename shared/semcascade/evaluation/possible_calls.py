"""References of the Berkeley function-calling leaderboard's form: what each argument of a call may be.

`{"name": {"argument": [value, ...]}}` stands for one call; `""` among the values: the argument may be left out. Several
names stand for several calls, in any order, numbered where one is called again (`name_1`, `name_2`); `NO_CALL` for
none. (Patil et al. 2024, "Gorilla", arXiv 2305.15334, and the leaderboard's checker: words are compared without case
and punctuation.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

from semcascade.messages import ToolCall
from semcascade.similarity.extract import as_json

__all__ = ["Wanted", "fulfils", "wanted_calls"]

Wanted: TypeAlias = tuple[str, Mapping[str, Any]]
"""A tool's name, and for each argument what it may be."""

_NO_CALL = "NO_CALL"
_NUMBERED = re.compile(r"[_ ]\d+$")
_PASSED_OVER = re.compile(r"[ ,./\-_*^]")


def wanted_calls(reference: str) -> tuple[Wanted, ...] | None:
    """Return the calls that a reference of this form wants; None where it is of another form.

    >>> wanted_calls('{"area_1": {"base": [10], "unit": ["cm", ""]}, "area_2": {"base": [5]}}')
    (('area', {'base': [10], 'unit': ['cm', '']}), ('area', {'base': [5]}))
    >>> wanted_calls("NO_CALL"), wanted_calls("42")
    ((), None)
    """
    if reference.strip() == _NO_CALL:
        return ()
    value = as_json(reference)
    if not _is_wanted(value):
        return None
    if len(value) == 1:
        return tuple(value.items())
    return tuple((_NUMBERED.sub("", name), arguments) for name, arguments in value.items())


def fulfils(wanted: Sequence[Wanted], calls: Sequence[ToolCall]) -> bool:
    """Say whether calls are those that are wanted, each once, in any order.

    >>> fulfils([("area", {"base": [10], "unit": ["cm", ""]})], [ToolCall("area", '{"base": 10}')])
    True
    """
    if len(wanted) != len(calls):
        return False
    if not wanted:
        return True
    first, rest = wanted[0], wanted[1:]
    return any(
        _is(first, call) and fulfils(rest, [*calls[:place], *calls[place + 1 :]]) for place, call in enumerate(calls)
    )


def _is_wanted(value: object) -> TypeGuard[dict[str, dict[str, Any]]]:
    if not isinstance(value, dict) or not value:
        return False
    return all(
        isinstance(arguments, dict) and all(isinstance(allowed, list) for allowed in arguments.values())
        for arguments in value.values()
    )


def _is(wanted: Wanted, call: ToolCall) -> bool:
    name, allowed = wanted
    given = call.parsed()
    if given is None or _tool(call.name) != _tool(name) or not given.keys() <= allowed.keys():
        return False
    return all(
        any(_same(given[key], value) for value in values) if key in given else "" in values
        for key, values in allowed.items()
    )


def _tool(name: str) -> str:
    """Return a tool's name as it is where dots are not allowed in it."""
    return name.replace(".", "_")


def _same(given: Any, value: Any) -> bool:
    if isinstance(given, bool) or isinstance(value, bool):
        return given is value
    if isinstance(given, str) and isinstance(value, str):
        return _words(given) == _words(value)
    if isinstance(given, list) and isinstance(value, list):
        return len(given) == len(value) and all(map(_same, given, value))
    if isinstance(given, dict) and isinstance(value, dict):
        return given.keys() <= value.keys() and all(
            any(_same(given[key], one) for one in _listed(values)) if key in given else "" in _listed(values)
            for key, values in value.items()
        )
    return bool(given == value)


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _words(text: str) -> str:
    return _PASSED_OVER.sub("", text).lower().replace("'", '"')
