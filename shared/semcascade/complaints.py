"""What was wrong with a setting, in one sentence that names the field as its user wrote it, and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from pydantic import ValidationError

from semcascade.errors import ConfigError

__all__ = ["config_error", "unknown"]

_EXPECTED = {"string_type": "expected a text", "tuple_type": "expected a list", "dict_type": "expected a mapping"}
"""Pydantic's kinds of complaint in the words of a settings file."""

_POLICY = "expected a policy's file, or the policy itself"

_BRANCHES = frozenset({"str", "dict[str,any]"})
"""What pydantic puts behind a field that may be one of several types."""

_FIELD = re.compile(r"([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+(?:\[\d+\])?)*): ")


def config_error(
    error: ValidationError, *, names: Iterable[str], member_names: Iterable[str], short: bool
) -> ConfigError:
    """Turn pydantic's first complaint into ours.

    Args:
        error: What pydantic says.
        names: Settings that may stand in a cascade or tier.
        member_names: Settings that may stand in a member.
        short: Whether `ensemble` and `target` were given, so that fields are named by them.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    loc = tuple(part for part in first["loc"] if part not in _BRANCHES)
    message = _EXPECTED.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    if len(loc) < len(first["loc"]):
        message = _POLICY if loc == ("policy",) else "expected a name, or a mapping with the name and settings"
    if first["type"] == "extra_forbidden":
        in_member = "members" in loc or loc[0] == "fallback"
        message = unknown(str(loc[-1]), member_names if in_member else names)
        message += "; parameters of one provider go under params" if in_member else ""
    elif first["type"] in {"model_type", "model_attributes_type"} and ("members" in loc or loc[0] == "fallback"):
        message = "expected a model id such as 'provider/model', or a mapping with its settings"
    field = _name(loc)
    while found := _FIELD.match(message):
        inner, message = found.group(1), message[found.end() :]
        field = inner if not field or inner.startswith(field) else f"{field}.{inner}"
    return ConfigError(message, field=(_shorten(field) if short else field) or None)


def _name(loc: tuple[int | str, ...]) -> str:
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def _shorten(field: str) -> str:
    """Name a tier as it was given: `tiers[0].members[1]` is `ensemble[1]`."""
    for index, given in enumerate(("ensemble", "target")):
        field = re.sub(rf"^tiers\[{index}\](\.members)?", given, field)
    return re.sub(r"^target\[0\]", "target", field)


def unknown(key: str, known: Iterable[str]) -> str:
    """Say that a setting is unknown, and which one may have been meant.

    >>> unknown("treshold", ["threshold", "timeout"])
    "unknown setting; did you mean 'threshold'?"
    """
    known = sorted(known)
    close = difflib.get_close_matches(key, known, n=1)
    return f"unknown setting; did you mean {close[0]!r}?" if close else f"unknown setting; known are {', '.join(known)}"
