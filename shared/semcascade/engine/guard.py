"""At the door of every request: does a cap leave room for it, is the member well enough to be asked?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from semcascade.engine.breaker import Circuit, HurriedError, Pass, tells_of_health
from semcascade.engine.budget import QueryBudget, Refusal, Reservation, Spend, Till
from semcascade.errors import (
    CircuitOpenError,
    MalformedReplyError,
    MemberBudgetError,
    MemberError,
    MemberTimeoutError,
    NotAskedError,
)
from semcascade.limits import Breaker, Budget
from semcascade.locks import ForkLock
from semcascade.member import Member
from semcascade.messages import Candidate

__all__ = ["Entry", "Guard", "Guards", "may_be_billed"]


def may_be_billed(error: Exception) -> bool:
    """Whether a request that failed so may be billed: one that was cut off or garbled, not one that was refused."""
    return isinstance(error, MemberTimeoutError | MalformedReplyError) and not isinstance(error, NotAskedError)


class Entry:
    """One request that was let in; what it took is told here before it ends.

    Attributes:
        need: The most that it was taken to need.
        spent: What it took; all it was taken to need, until that is known.
        begun: Whether a part of the answer is there, so that it is billed however it ends.
    """

    def __init__(self, need: Spend) -> None:
        self.need = self.spent = need
        self.begun = False

    def answered(self, answers: Sequence[Candidate]) -> None:
        """Tell what one request brought; what the provider did not count stays at the most it may have been."""
        tokens, pico = self.need.tokens, self.need.pico
        if all(answer.usage is not None for answer in answers):
            tokens = sum(answer.billed.input_tokens + answer.billed.output_tokens for answer in answers)
        costs = [answer.cost for answer in answers if answer.cost is not None]
        if len(costs) == len(answers):
            pico = Spend.of(cost=sum(costs)).pico
        self.spent = Spend(self.need.calls, tokens, pico)


class Guards:
    """What all queries of a cascade share in one process: the period's caps, and each member's breaker.

    Args:
        budget: The caps; None: there are none.
        breaker: When a member is left alone; None: never.
        clock: Seconds.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget, self._clock, self._lock = budget, clock, ForkLock()
        self._settings = breaker if breaker is not None and breaker.enabled else None
        self._begin()

    def _begin(self) -> None:
        self._pid, self._till = os.getpid(), Till(self._budget, self._clock)
        self._circuits: dict[tuple[str, str, str | None], Circuit] = {}

    def query(self) -> Guard:
        """Return the guard of one query."""
        with self._lock:
            if self._pid != os.getpid():  # what was under way at a fork never ends in the child
                self._begin()
            return Guard(self, self._till.query())

    def circuit(self, member: Member) -> Circuit | None:
        """Return the member's breaker; one for all places where it stands."""
        if self._settings is None:
            return None
        key = (member.name, member.model, member.api_base)
        with self._lock:
            if key not in self._circuits:
                self._circuits[key] = Circuit(member.name, self._settings, self._clock)
            return self._circuits[key]


class Guard:
    """Lets one query's requests in, or not.

    Attributes:
        notes: What was held back that no answer's failure tells.
    """

    def __init__(self, guards: Guards, budget: QueryBudget) -> None:
        self._guards, self._budget = guards, budget
        self._held: dict[int, list[Reservation]] = {}
        self._unconditional: Member | None = None
        self.notes: list[str] = []

    @property
    def reckons(self) -> bool:
        """Whether it matters what a request may take."""
        return self._budget.capped

    def ask_at_all_events(self, member: Member) -> None:
        """Ask this member even while its breaker is open: nobody else is left to answer."""
        self._unconditional = member

    def unwell(self, member: Member) -> CircuitOpenError | None:
        """Return why the member's breaker lets nothing through, or None where it does."""
        circuit = None if member is self._unconditional else self._guards.circuit(member)
        return None if circuit is None else circuit.refusal()

    @contextmanager
    def held(self, needs: Sequence[tuple[Member, Spend]]) -> Iterator[Refusal | None]:
        """Set aside what several requests may take, for all or for none; what is not used by the end is given back.

        Yields None, or why there is no room.
        """
        got = self._budget.reserve(*(need for _, need in needs))
        if isinstance(got, Refusal):
            yield got
            return
        for (member, _), reservation in zip(needs, got, strict=True):
            self._held.setdefault(id(member), []).append(reservation)
        try:
            yield None
        finally:
            for member, _ in needs:
                for reservation in self._held.pop(id(member), ()):
                    reservation.release()

    @contextmanager
    def admitted(self, member: Member, need: Spend) -> Iterator[Entry]:
        """Let one request in; when it ends, settle what it took, and note how the member is.

        Raises:
            MemberBudgetError: If a cap leaves no room for it.
            CircuitOpenError: If the member is left alone.
        """
        reservation = self._reserve(member, need)
        try:
            leave = self._enter(member)
        except CircuitOpenError:
            reservation.release()
            raise
        entry = Entry(reservation.need)
        try:
            yield entry
        except Exception as error:
            if not (entry.begun or may_be_billed(error)):
                entry.spent = Spend(reservation.need.calls)
            _tell(leave, member, error)
            raise
        except BaseException:  # nobody waits for it any more; what it costs is not known
            if leave is not None:
                leave.left()
            raise
        else:
            _tell(leave, member, None)
        finally:
            reservation.settle(entry.spent)

    def _reserve(self, member: Member, need: Spend) -> Reservation:
        for held in self._held.get(id(member), ()):
            if held.need == need:
                self._held[id(member)].remove(held)
                return held
        got = self._budget.reserve(need)
        if isinstance(got, Refusal):
            raise MemberBudgetError(f"not asked: {got.reason}", member=member.name, retry_after=got.retry_after)
        return got[0]

    def _enter(self, member: Member) -> Pass | None:
        circuit = self._guards.circuit(member)
        if circuit is None or (member is self._unconditional and circuit.refusal() is not None):
            return None
        return circuit.enter()


def _tell(leave: Pass | None, member: Member, error: Exception | None) -> None:
    if leave is None:
        return
    if isinstance(error, HurriedError):
        leave.left()
    elif error is None or not tells_of_health(error):
        leave.answered()
    else:
        leave.failed(error if isinstance(error, MemberError) else MemberError(type(error).__name__, member=member.name))
