"""What a JSON schema says of a value: which spellings are one and the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from semcascade.similarity.fields import Verbatim
from semcascade.similarity.numbers import parse_date, parse_number

__all__ = ["normalised"]

MAX_DEPTH = 32
"""Deeper values, and schemas that refer to themselves more often, are left as they are."""

MAX_NUMBER = 40
"""A longer text is no number."""

_TRUE = frozenset({"true", "yes", "1", "on"})
_FALSE = frozenset({"false", "no", "0", "off"})


def normalised(value: Any, schema: Any) -> Any:
    """Return a value in the one spelling that its schema gives it; what does not fit the schema stays as it is.

    Members of an enum are told apart by more than case; numbers and truth values may be written as texts where the
    schema wants numbers and truth values; texts are texts where it wants those, whatever digits they hold; an array
    of unique items has no order; what is left out of an object has its default.

    >>> schema = {"properties": {"unit": {"enum": ["Celsius"]}, "days": {"type": "integer", "default": 1}}}
    >>> normalised({"unit": "celsius"}, schema) == normalised({"unit": "Celsius", "days": "1"}, schema)
    True
    """
    return _Reader(schema).read(value, schema, 0)


class _Reader:
    """Reads values by one schema.

    Args:
        root: The schema that references are resolved in.
    """

    def __init__(self, root: Any) -> None:
        self._root = root

    def read(self, value: Any, schema: Any, depth: int) -> Any:
        schema = self._resolved(schema)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return value
        for choice in ("anyOf", "oneOf"):
            if choices := _listed(schema.get(choice)):
                return self._fitting(value, choices, depth)
        for part in _listed(schema.get("allOf")):
            value = self.read(value, part, depth + 1)
        if members := _members(schema):
            return _member(value, members)
        return self._typed(value, schema, depth)

    def _typed(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        for kind in _listed(schema.get("type")):
            if kind in {"integer", "number"} and (number := _number(value)) is not None:
                return number
            if kind == "boolean" and (truth := _truth(value)) is not None:
                return truth
            if kind == "string" and isinstance(value, str | int | float) and not isinstance(value, bool):
                return _text(value, schema)
        if isinstance(value, Mapping):
            return self._object(value, schema, depth)
        if isinstance(value, list):
            return self._array(value, schema, depth)
        return value

    def _object(self, value: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        known = properties if isinstance(properties, Mapping) else {}
        more = schema.get("additionalProperties")
        found = {
            key: self.read(item, known.get(key, more), depth + 1) for key, item in value.items() if item is not None
        }
        for key, part in ((key, self._resolved(part)) for key, part in known.items()):
            if key not in found and isinstance(part, Mapping) and part.get("default") is not None:
                found[key] = self.read(part["default"], part, depth + 1)
        return found

    def _array(self, value: list[Any], schema: Mapping[str, Any], depth: int) -> list[Any] | dict[str, Any]:
        """Read the items; those of a set by what they are, not by where they stand."""
        items = [self.read(item, schema.get("items"), depth + 1) for item in value]
        if schema.get("uniqueItems") is not True:
            return items
        return {json.dumps(item, sort_keys=True, ensure_ascii=False, default=str).casefold(): item for item in items}

    def _fitting(self, value: Any, choices: Sequence[Any], depth: int) -> Any:
        """Read a value by the first of several schemas whose type it has, else by the first that changes it."""
        resolved = [choice for choice in map(self._resolved, choices) if isinstance(choice, Mapping)]
        for choice in resolved:
            if _has_type(value, choice) and not self._breaks_a_constant(value, choice):
                return self.read(value, choice, depth + 1)
        readings = (self.read(value, choice, depth + 1) for choice in resolved)
        return next((reading for reading in readings if reading is not value), value)

    def _breaks_a_constant(self, value: Any, schema: Mapping[str, Any]) -> bool:
        """Say whether a property has none of the values it may have: then the object is one of another kind."""
        properties = schema.get("properties")
        if not isinstance(value, Mapping) or not isinstance(properties, Mapping):
            return False
        parts = ((value[key], self._resolved(part)) for key, part in properties.items() if key in value)
        return any(
            not any(_same_member(item, member) for member in members)
            for item, part in parts
            if isinstance(part, Mapping) and (members := _members(part))
        )

    def _resolved(self, schema: Any) -> Any:
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
                return schema
            schema = self._found(schema["$ref"])
        return None

    def _found(self, reference: str) -> Any:
        node = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if not isinstance(node, Mapping):
                return None
            node = node.get(step.replace("~1", "/").replace("~0", "~")) if step else node
        return node if reference.startswith("#") else None


def _has_type(value: Any, schema: Mapping[str, Any]) -> bool:
    if members := _members(schema):
        return any(_same_member(value, member) for member in members)
    kinds = _listed(schema.get("type", "object" if "properties" in schema else None))
    names = {
        bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}, str: {"string"},
        dict: {"object"}, list: {"array"}, type(None): {"null"},
    }.get(type(value), set())  # fmt: skip
    return any(name in kinds for name in names)


def _listed(value: Any) -> list[Any]:
    """Return a list of what a schema gives singly or as a list; nothing where it gives neither."""
    if isinstance(value, list | tuple):
        return list(value)
    return [value] if isinstance(value, str) else []


def _members(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else _listed(schema.get("enum"))


def _member(value: Any, members: Sequence[Any]) -> Any:
    """Return the member of an enum that a value spells, else the value."""
    exact = (member for member in members if type(member) is type(value) and member == value)
    spelt = (member for member in members if _same_member(value, member))
    found = next(exact, next(spelt, value))
    if not isinstance(found, str):
        return found
    # Members that differ by nothing but their case are told apart by their place.
    alike = [member for member in members if isinstance(member, str) and _same_member(member, found)]
    return Verbatim(f"{found} ({alike.index(found) + 1})" if len(alike) > 1 and found in alike else found)


def _same_member(value: Any, member: Any) -> bool:
    if isinstance(value, Mapping | list) or isinstance(member, Mapping | list):
        return bool(value == member)
    return _spelling(value) == _spelling(member)


def _spelling(value: Any) -> str:
    written = json.dumps(value) if isinstance(value, bool) or value is None else str(value)
    return " ".join(written.casefold().split())


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    number = parse_number(value.strip()) if isinstance(value, str) and len(value) <= MAX_NUMBER else None
    if number is None:
        return None
    return number.numerator if number.denominator == 1 else float(number)


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _text(value: Any, schema: Mapping[str, Any]) -> Verbatim:
    written = value if isinstance(value, str) else json.dumps(value)
    if schema.get("format") in {"date", "date-time"} and (day := parse_date(written.strip())) is not None:
        return Verbatim(day.isoformat())
    return Verbatim(written)
