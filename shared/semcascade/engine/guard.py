"""At the door of every request: does a cap leave room for it, is the member well enough to be asked?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

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
    """One request that was let in; as a context it settles what the request took, and notes how the member is.

    Args:
        member: Who is asked.
        reservation: What was set aside for it; None where nothing is capped.
        leave: The breaker's leave; None where it has none to give.

    Attributes:
        begun: Whether a part of the answer is there, so that it is billed however it ends.
    """

    __slots__ = ("_leave", "_member", "_reservation", "_spent", "begun")

    def __init__(self, member: Member, reservation: Reservation | None, leave: Pass | None) -> None:
        self._member, self._reservation, self._leave = member, reservation, leave
        self._spent = None if reservation is None else reservation.need
        self.begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave is not None:
            self._tell(self._leave, error)
        if self._reservation is not None and self._spent is not None:
            refused = isinstance(error, Exception) and not (self.begun or may_be_billed(error))
            self._reservation.settle(Spend(self._reservation.need.calls) if refused else self._spent)

    def answered(self, answers: Sequence[Candidate]) -> None:
        """Tell what one request brought; what the provider did not count stays at the most it may have been."""
        if self._reservation is None:
            return
        need = self._reservation.need
        tokens, pico = need.tokens, need.pico
        if all(answer.usage is not None for answer in answers):
            tokens = sum(answer.billed.input_tokens + answer.billed.output_tokens for answer in answers)
        costs = [answer.cost for answer in answers if answer.cost is not None]
        if len(costs) == len(answers):
            pico = Spend.of(cost=sum(costs)).pico
        self._spent = Spend(need.calls, tokens, pico)

    def _tell(self, leave: Pass, error: BaseException | None) -> None:
        if error is None:
            leave.answered()
        elif isinstance(error, HurriedError) or not isinstance(error, Exception):  # nobody waited for what it came to
            leave.left()
        elif not tells_of_health(error):
            leave.answered()
        else:
            known = error if isinstance(error, MemberError) else None
            leave.failed(known or MemberError(type(error).__name__, member=self._member.name))


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
        found = self._circuits.get(key)
        if found is None:
            with self._lock:
                found = self._circuits.setdefault(key, Circuit(member.name, self._settings, self._clock))
        return found


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
        if not needs:
            yield None
            return
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

    def admitted(self, member: Member, need: Spend) -> Entry:
        """Let one request in, for as long as the context lasts that is returned.

        Raises:
            MemberBudgetError: If a cap leaves no room for it.
            CircuitOpenError: If the member is left alone.
        """
        reservation = self._reserve(member, need) if self.reckons else None
        try:
            return Entry(member, reservation, self._enter(member))
        except CircuitOpenError:
            if reservation is not None:
                reservation.release()
            raise

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
