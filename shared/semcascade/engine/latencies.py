"""How long members took of late."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from semcascade.config import Member
from semcascade.locks import ForkLock

__all__ = ["ENOUGH", "Latencies"]

ENOUGH = 20
"""Of fewer answers, no quantile is spoken of."""

KEPT = 200
"""How many of a member's latest answers count."""

_Key: TypeAlias = tuple[str, str, str | None]


class Latencies:
    """Seconds that each member's latest answers took. Safe to use from any thread.

    >>> known, member = Latencies(), Member(model="a")
    >>> for seconds in range(1, 21):
    ...     known.note(member, seconds / 10)
    >>> known.quantile(member, 0.95), known.quantile(Member(model="b"), 0.95)
    (1.9, None)
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._seconds: dict[_Key, deque[float]] = {}

    def note(self, member: Member, seconds: float) -> None:
        """Note how long an answer took, or how long it was waited for in vain."""
        with self._lock:
            self._seconds.setdefault(_key(member), deque(maxlen=KEPT)).append(seconds)

    def quantile(self, member: Member, share: float) -> float | None:
        """Return the seconds within which this share of the latest answers came, or None where too few are known."""
        with self._lock:
            seconds = sorted(self._seconds.get(_key(member), ()))
        if len(seconds) < ENOUGH:
            return None
        return seconds[min(len(seconds) - 1, max(0, round(share * len(seconds)) - 1))]


def _key(member: Member) -> _Key:
    return member.name, member.model, member.api_base
