"""Settings that trade money for time: when to speculate, when to ask twice."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator

__all__ = ["HedgeAfter", "Speculate", "quantile_of"]

_QUANTILE = re.compile(r"p([1-9]\d?)")


def _seconds(value: Any) -> float | None:
    """Return a number of seconds, or None where the value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _speculate(value: Any) -> Any:
    if value in ("off", "always", "likely"):
        return value
    if (seconds := _seconds(value)) is None:
        raise ValueError("expected 'off', 'always', 'likely', or the seconds after which the target is started")
    return seconds


def _hedge_after(value: Any) -> Any:
    if value is None or (isinstance(value, str) and _QUANTILE.fullmatch(value)):
        return value
    if not (seconds := _seconds(value)):
        raise ValueError("expected seconds above 0, or a quantile of the member's own latencies such as 'p95'")
    return seconds


Speculate: TypeAlias = Annotated[Literal["off", "always", "likely"] | float, BeforeValidator(_speculate)]
"""When the target is asked before it is known to be needed; a number: after so many seconds."""

HedgeAfter: TypeAlias = Annotated[str | float | None, BeforeValidator(_hedge_after)]
"""After how many seconds, or after which quantile of its own latencies ("p95"), a member is asked a second time."""


def quantile_of(after: str) -> float:
    """Return the share that such a name stands for.

    >>> quantile_of("p95")
    0.95
    """
    return int(after[1:]) / 100
