"""A member that fails and fails is left alone for a while, then tried by one request.

closed ──failures in a row──→ open ──after the cooldown──→ half-open, one probe ──→ closed, or open again
"""

from __future__ import annotations

import time
from collections.abc import Callable

from semcascade.errors import BadRequestError, CircuitOpenError, MemberError, MemberTimeoutError
from semcascade.limits import Breaker
from semcascade.locks import ForkLock

__all__ = ["Circuit", "HurriedError", "Pass", "tells_of_health"]

Clock = Callable[[], float]


def tells_of_health(error: Exception) -> bool:
    """Whether a failure says that the member is unwell: it does unless the request itself was refused."""
    return not isinstance(error, BadRequestError)


class HurriedError(MemberTimeoutError):
    """The query's deadline left the member far less time than it usually has, which says nothing of its health."""


class Pass:
    """Leave for one request; whoever has it tells once what came of it."""

    def __init__(self, circuit: Circuit, term: int) -> None:
        self._circuit: Circuit | None = circuit
        self._term = term

    def answered(self) -> None:
        """The member is well: it answered, or it looked at the request and refused it."""
        self._tell(None, known=True)

    def failed(self, error: MemberError) -> None:
        """The member is unwell."""
        self._tell(error, known=True)

    def left(self) -> None:
        """Nobody waited for what came of it."""
        self._tell(None, known=False)

    def _tell(self, error: MemberError | None, *, known: bool) -> None:
        circuit, self._circuit = self._circuit, None
        if circuit is not None:
            circuit._told(self._term, error, known=known)


class Circuit:
    """One member's breaker. Safe to use from any thread.

    Args:
        member: The member's name.
        settings: After how many failures it opens, and for how long.
        clock: Seconds.
    """

    def __init__(self, member: str, settings: Breaker, clock: Clock = time.monotonic) -> None:
        self._member, self._settings, self._clock, self._lock = member, settings, clock, ForkLock()
        self._term = 0
        """Counts every opening, probing and closing: what an earlier request says of then says nothing of now."""
        self._failures = 0
        self._reason = ""
        self._probe_at: float | None = None
        """When it is tried again; None while it is closed."""
        self._probing = False

    def refusal(self) -> CircuitOpenError | None:
        """Return why the member is not asked now, or None where it may be."""
        if self._probe_at is None:
            return None
        with self._lock:
            return self._refusal()

    def enter(self) -> Pass:
        """Get leave for one request.

        Raises:
            CircuitOpenError: If the member is left alone.
        """
        with self._lock:
            refusal = self._refusal()
            if refusal is not None:
                raise refusal
            if self._probe_at is not None:
                self._probing, self._term = True, self._term + 1
            return Pass(self, self._term)

    def _refusal(self) -> CircuitOpenError | None:
        if self._probe_at is None:
            return None
        wait = self._probe_at - self._clock()
        if wait <= 0 and not self._probing:
            return None
        when = "it is being tried now" if self._probing else f"it is tried again in {max(wait, 0.1):.1f} s"
        message = f"not asked after {self._failures} failures in a row; {when} ({self._reason})"
        return CircuitOpenError(message, member=self._member, retry_after=max(0.0, wait))

    def _told(self, term: int, error: MemberError | None, *, known: bool) -> None:
        with self._lock:
            if term != self._term:
                return
            probed, self._probing = self._probing, False
            if not known:
                return  # a probe that was left says nothing, so the next request is the probe
            if error is None:
                self._failures = 0
                if probed:
                    self._probe_at, self._term = None, term + 1
                return
            self._failures += 1
            self._reason = f"the last one: {str(error).removeprefix(f'{self._member}: ')[:160]}"
            if probed or self._failures >= self._settings.failures:
                self._probe_at, self._term = self._clock() + self._settings.cooldown, term + 1
