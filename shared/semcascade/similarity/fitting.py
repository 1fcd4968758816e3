"""Whether an answer can be read as what was asked for: JSON by its schema, a call of a tool that was offered.

Applications parse such answers, and fail on one that does not parse, however many others it resembles. Read as
leniently as they do: a number may be written as a text, and a field that nobody asked for hurts nobody.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from semcascade.messages import Candidate
from semcascade.similarity.base import Query, answer_text
from semcascade.similarity.extract import as_json

__all__ = ["misfit"]

_WANTS_JSON = frozenset({"json_object", "json_schema"})
_HARMLESS = frozenset({"additionalProperties", "unevaluatedProperties", "format"})
_OF_TYPE = frozenset({"type", "anyOf", "oneOf"})
_WORDS_SUFFICE = (None, "auto", "none")
_LONGEST_PATH = 60


def misfit(query: Query, answer: Candidate) -> str | None:
    """Say why an answer cannot be read as what was asked for, in one clause, or return None where it can.

    >>> wanted = {"type": "json_object"}
    >>> misfit(Query("?", response_format=wanted), Candidate("m", text='{"city": "Rome"'))
    'it is no JSON'
    >>> misfit(Query("?", response_format=wanted), Candidate("m", text='{"city": "Rome"}')) is None
    True
    """
    if answer.tool_calls:
        return next(_of_calls(query, answer), None)
    if query.tools and query.tool_choice not in _WORDS_SUFFICE:
        return "it calls no tool, though one was required"
    wanted = query.response_format or {}
    if wanted.get("type") not in _WANTS_JSON:
        return None
    value = as_json(answer_text(answer))
    if value is None:
        return "it is no JSON"
    definition = wanted.get("json_schema")
    return _breach(value, definition.get("schema") if isinstance(definition, Mapping) else None)


def _of_calls(query: Query, answer: Candidate) -> Iterator[str]:
    """Yield what is wrong with each call; tools that the request itself does not list are the provider's own."""
    functions = (tool.get("function", tool) for tool in query.tools)
    offered = {function.get("name"): function.get("parameters") for function in functions}
    for call in answer.tool_calls:
        arguments = call.parsed()
        if arguments is None:
            yield "the arguments of a tool call are no JSON object"
        elif offered and call.name not in offered:
            yield "it calls a tool that was not offered"
        elif (breach := _breach(arguments, offered.get(call.name))) is not None:
            yield f"{call.name}: {breach}"


def _breach(value: Any, schema: Any) -> str | None:
    """Return how a value breaks a schema; a schema that is none itself, or that points elsewhere, is not held to."""
    if not isinstance(schema, Mapping) or not schema:
        return None
    from referencing.exceptions import Unresolvable

    try:
        validator = _validator(json.dumps(schema))
        errors = () if validator is None else validator.iter_errors(value)
        error = next(itertools.filterfalse(_harmless, errors), None)
    except (TypeError, Unresolvable, RecursionError):
        return None
    if error is None:
        return None
    where = error.json_path if len(error.json_path) <= _LONGEST_PATH else f"{error.json_path[:_LONGEST_PATH]}…"
    return f"at {where} it breaks the schema's {error.validator!r}"


@functools.lru_cache(maxsize=16)  # every answer to a query is held to the same schema
def _validator(schema: str) -> Any:
    """Return what holds values to a schema, or None where it is no schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    try:
        Draft202012Validator.check_schema(found := json.loads(schema))
    except (SchemaError, RecursionError):
        return None
    return Draft202012Validator(found, registry=Registry())


def _harmless(error: Any) -> bool:
    """Whether whoever reads the value leniently takes it: a scalar of another type is converted."""
    scalar = not isinstance(error.instance, dict | list) and error.instance is not None
    return error.validator in _HARMLESS or (scalar and error.validator in _OF_TYPE)
