"""Hard caps on what is spent: reserved before it is sent, settled when it is known.

A request may begin only where what is spent, what is reserved, and the most that it may take fit every cap
together. So no cap is overshot by requests whose most is known; one that takes more than was reserved for it
overshoots by that difference.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from semcascade.decision import money
from semcascade.limits import Budget, Caps, PeriodCaps
from semcascade.locks import ForkLock

__all__ = ["Clock", "QueryBudget", "Refusal", "Reservation", "Spend", "Till"]

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""

_PICO = 10**12
"""Costs are added up in whole picodollars: sums of floats would drift from what was reserved."""

_SLICES = 60
"""A period's spend is forgotten slice by slice."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What requests take.

    Attributes:
        calls: Requests.
        tokens: Tokens of prompts and answers.
        pico: Cost in 10⁻¹² US dollars.

    >>> Spend.of(tokens=120, cost=0.5) + Spend.of(tokens=30)
    Spend(calls=2, tokens=150, pico=500000000000)
    """

    calls: int = 0
    tokens: int = 0
    pico: int = 0

    @classmethod
    def of(cls, calls: int = 1, tokens: int = 0, cost: float = 0.0) -> Spend:
        """Return what so many requests take, the cost in US dollars."""
        return cls(calls, tokens, round(cost * _PICO))

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.calls + other.calls, self.tokens + other.tokens, self.pico + other.pico)

    def __sub__(self, other: Spend) -> Spend:
        return Spend(self.calls - other.calls, self.tokens - other.tokens, self.pico - other.pico)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something may not be spent.

    Attributes:
        reason: Which cap is in the way, in a few words.
        retry_after: Seconds until a period makes room, or None where waiting does not help.
    """

    reason: str
    retry_after: float | None = None


class _Account:
    """What was spent and reserved against one set of caps; not locked."""

    def __init__(self, caps: Caps, name: str, clock: Clock) -> None:
        self._name, self._clock = name, clock
        self._period = caps.seconds if isinstance(caps, PeriodCaps) else None
        self._caps = {
            field.name: None if cap is None else round(cap * _PICO) if field.name == "pico" else int(cap)
            for field, cap in zip(fields(Spend), (caps.calls, caps.tokens, caps.cost), strict=True)
        }
        self._spent: deque[tuple[int, Spend]] = deque()
        self._used = Spend()

    @property
    def used(self) -> Spend:
        """What counts against the caps: reserved, or spent within the period."""
        self._forget()
        return self._used

    def refuse(self, need: Spend) -> Refusal | None:
        """Say which cap leaves no room for `need`, or None where all do."""
        used = self.used
        for what, cap in self._caps.items():
            wanted, taken = getattr(need, what), getattr(used, what)
            if cap is not None and taken + wanted > cap:
                setting = f"{self._name}.{'cost' if what == 'pico' else what}"
                left, most = _amount(what, max(0, cap - taken)), _amount(what, cap)
                text = f"{_needed(what, wanted)} needed, {left} of {most} left ({setting})"
                return Refusal(text, self._wait(what, wanted, cap))
        return None

    def reserve(self, need: Spend) -> None:
        self._used += need

    def settle(self, need: Spend, spent: Spend) -> None:
        self._used += spent - need
        if self._period is not None:
            now = self._slice()
            if self._spent and self._spent[-1][0] == now:
                spent += self._spent.pop()[1]
            self._spent.append((now, spent))

    def _slice(self) -> int:
        return 0 if self._period is None else math.floor(self._clock() * _SLICES / self._period)

    def _forget(self) -> None:
        """Drop slices that have left the period whole, so that no stretch of its length holds more than the cap."""
        oldest = self._slice() - _SLICES
        while self._spent and self._spent[0][0] < oldest:
            self._used -= self._spent.popleft()[1]

    def _wait(self, what: str, wanted: int, cap: int) -> float | None:
        """Return the seconds until enough of the period is forgotten; None where that does not help."""
        if self._period is None:
            return None
        used: int = getattr(self._used, what)
        for number, spend in self._spent:
            used -= getattr(spend, what)
            if used + wanted <= cap:
                return (number + _SLICES + 1) * self._period / _SLICES - self._clock()
        return None


class Till:
    """The caps of a cascade: one account for the period, and one for each query. Safe to use from any thread.

    Args:
        budget: The caps; None: there are none.
        clock: Seconds, for the period.
    """

    def __init__(self, budget: Budget | None, clock: Clock = time.monotonic) -> None:
        self._budget, self._clock, self._lock = budget, clock, ForkLock()
        period = budget.period if budget else None
        self._period = None if period is None else _Account(period, "budget.period", clock)

    def query(self) -> QueryBudget:
        """Open the account of one query."""
        caps = self._budget.query if self._budget else None
        own = None if caps is None else _Account(caps, "budget.query", self._clock)
        return QueryBudget(self._lock, [account for account in (own, self._period) if account is not None])


class QueryBudget:
    """What one query may spend: its own caps, and those of the period."""

    def __init__(self, lock: ForkLock, accounts: Sequence[_Account]) -> None:
        self._lock, self._accounts = lock, accounts

    @property
    def capped(self) -> bool:
        """Whether anything is capped at all."""
        return bool(self._accounts)

    @property
    def used(self) -> Iterator[Spend]:
        """What is reserved or spent: by this query, by all of the period; those that are capped."""
        with self._lock:
            return iter([account.used for account in self._accounts])

    def reserve(self, *needs: Spend) -> tuple[Reservation, ...] | Refusal:
        """Set aside the most that requests may take, for all of them or for none.

        Returns:
            One reservation for each, or why there is no room.
        """
        total = sum(needs, start=Spend())
        with self._lock:
            for account in self._accounts:
                refusal = account.refuse(total)
                if refusal is not None:
                    return refusal
            for account in self._accounts:
                account.reserve(total)
        return tuple(Reservation(self, need) for need in needs)

    def _settle(self, need: Spend, spent: Spend) -> None:
        with self._lock:
            for account in self._accounts:
                account.settle(need, spent)


class Reservation:
    """What was set aside for one request, until it is settled.

    Attributes:
        need: The most that the request was taken to need.
    """

    def __init__(self, budget: QueryBudget, need: Spend) -> None:
        self.need = need
        self._budget: QueryBudget | None = budget

    def settle(self, spent: Spend) -> None:
        """Put what was spent in place of what was set aside, once; later calls change nothing."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget._settle(self.need, spent)

    def release(self) -> None:
        """Give it back: nothing was sent."""
        self.settle(Spend())


def _amount(what: str, number: int) -> str:
    return money(number / _PICO) if what == "pico" else f"{number:,}"


def _needed(what: str, number: int) -> str:
    if what == "calls":
        return f"{number:,} call{'s' if number > 1 else ''}"
    return f"up to {_amount(what, number)}{' tokens' if what == 'tokens' else ''}"
