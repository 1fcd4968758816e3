"""Times of day, as people write them."""

from __future__ import annotations

import re

__all__ = ["parse_time"]

_TIME = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s?([ap])\.?\s?m\.?|(\d{1,2}):(\d{2})")
_NAMED = {"noon": "12:00 pm", "12 noon": "12:00 pm", "midnight": "0:00", "12 midnight": "0:00"}


def parse_time(text: str) -> str | None:
    """Return the time of day that a whole text in lower case names, in one spelling; None where it names none.

    A time up to 12:59 without "am" or "pm" may be of either half of the day, and is neither.

    >>> parse_time("3:30 p.m.") == parse_time("3:30pm") == parse_time("15:30") == "15:30"
    True
    >>> parse_time("3:30"), parse_time("3:30 am"), parse_time("25:00")
    ('3:30', '3:30 am', None)
    """
    if text in _NAMED:
        return _NAMED[text]
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute = int(found[1] or found[4]), found[2] or found[5] or "00"
    if int(minute) > 59:
        return None
    if found[3] is None:
        return f"{hour}:{minute}" if hour < 24 else None
    if not 1 <= hour <= 12:
        return None
    if found[3] == "p":
        return f"12:{minute} pm" if hour == 12 else f"{hour + 12}:{minute}"
    return f"0:{minute}" if hour == 12 else f"{hour}:{minute} am"
