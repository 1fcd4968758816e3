"""What a recording may spend, and what it has spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from semcascade.config import Member
from semcascade.engine.attempts import with_preamble
from semcascade.engine.budget import Spend
from semcascade.engine.estimate import most
from semcascade.engine.transports import Transports
from semcascade.errors import ConfigError
from semcascade.messages import Candidate, Request, Usage

__all__ = ["Spending"]

_ROUNDING = 1e-9
"""Sums of many prices are off by so much."""


@dataclass
class Spending:
    """Adds up what answers cost, and says what one more may cost.

    A call is reckoned at its price for the tokens of the prompt, estimated from above, and as many tokens of answer as
    `max_tokens` allows, else as the longest answer of the member so far had. So a limit is kept as far as answers are
    bounded by `max_tokens`, and is otherwise passed only by answers longer than all before. Calls of unknown cost
    (a timeout, no usage) count against the limit with what they may have cost.

    Attributes:
        transports: Know the prices.
        limit: US dollars; None: no limit.
        spent: What is known to have been spent.
        unpriced: Calls whose cost is not known.
    """

    transports: Transports
    limit: float | None = None
    spent: float = 0.0
    unpriced: int = 0
    _assumed: float = 0.0
    _reserved: float = 0.0
    _longest: dict[str, int] = field(default_factory=dict)

    def check(self, members: Sequence[Member]) -> None:
        """Refuse a limit where a price is not known.

        Raises:
            ConfigError: If it is not.
        """
        for member in members if self.limit is not None else ():
            if self._price(member, Usage(1000, 1000)) is None:
                raise ConfigError(
                    f"the price of {member.name!r} is not known, so no limit can be kept; give the member "
                    "input_cost_per_token and output_cost_per_token",
                    field="max_cost",
                )

    def bounded(self, member: Member) -> bool:
        """Whether the length of the member's answers is known or bounded, so that their cost can be reckoned."""
        return member.name in self._longest or self._most(member) is not None

    def estimate(self, member: Member, request: Request) -> float:
        """Return what one answer may cost, 0 where its price is not known."""
        if self._most(member) is None:
            longest = max(1, self._longest.get(member.name, 0))
            request = dataclasses.replace(request, params={**request.params, "max_tokens": longest})
        need = most(self.transports.of(member), member, with_preamble(request, member))
        return need.pico / Spend.of(cost=1.0).pico

    def allows(self, amount: float) -> bool:
        """Whether so much more can be spent beside what is reserved already."""
        if self.limit is None:
            return True
        return self.spent + self._assumed + self._reserved + amount <= self.limit * (1 + _ROUNDING)

    def reserve(self, amount: float) -> None:
        """Put an amount aside; a negative one gives it back."""
        self._reserved += amount

    def add(self, answer: Candidate, estimate: float = 0.0) -> None:
        """Add what an answer cost; the estimate stands in where that is not known."""
        if answer.cost is None:
            self.unpriced += 1
            self._assumed += estimate
        else:
            self.spent += answer.cost
        if answer.usage is not None:
            longest = self._longest.get(answer.member, 0)
            self._longest[answer.member] = max(longest, answer.usage.output_tokens)

    def _price(self, member: Member, usage: Usage) -> float | None:
        return self.transports.of(member).price(member, usage)

    @staticmethod
    def _most(member: Member) -> int | None:
        params: Mapping[str, object] = member.params
        found = [params.get(name) for name in ("max_tokens", "max_completion_tokens")]
        return next((limit for limit in found if isinstance(limit, int)), None)
