"""Whether a cascade pays for itself: what its members cost against the calls of the target that they spare."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from semcascade.decision import money, one_line

__all__ = ["Audit", "MemberSpend"]


@dataclass(frozen=True, slots=True)
class MemberSpend:
    """What one member took, or all that compared answers.

    Attributes:
        name: The member's name, or "scoring".
        calls: Requests that were sent.
        failures: Answers that did not come, those that nobody waited for left out.
        tokens: Tokens of prompts and answers, as far as providers counted them.
        cost: US dollars, as far as known.
        unpriced: Answers, or queries' scoring, of unknown cost.
    """

    name: str
    calls: int = 0
    failures: int = 0
    tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def plus(self, calls: int, cost: float | None, tokens: int = 0, failures: int = 0) -> MemberSpend:
        """Return it with one more answer, or one more query's scoring, of known or unknown cost."""
        return MemberSpend(
            self.name,
            self.calls + calls,
            self.failures + failures,
            self.tokens + tokens,
            self.cost + (cost or 0.0),
            self.unpriced + (cost is None),
        )

    def __str__(self) -> str:
        unknown = f" and {self.unpriced} of unknown cost" if self.unpriced else ""
        failed = f", {self.failures} failed" if self.failures else ""
        known = f"{money(self.cost)}{unknown}" if self.cost or not self.unpriced else money(None)
        return f"{one_line(self.name, 60)}: {_calls(self.calls)}{failed}, {known}"


@dataclass(frozen=True, slots=True)
class Audit:
    """Break-even: a cascade saves only if members and scoring cost less than the target calls that they spare.

    Σ c_member + c_scoring < (1 - deferral rate) · c_target, all for the mean query (Kolawole et al. 2025, arXiv
    2407.02348, whose published costs leave the members out). Only queries count whose cost is known, and for which it
    is known what the target alone would have cost. Amounts in US dollars.

    Attributes:
        queries: Queries that count.
        left_out: Queries that do not, as a price is unknown, or nobody answered.
        deferral_rate: Share of them that went to the target; None before the first.
        cheap_cost: What a query cost beside the target that it needed: members, failed and cancelled calls, scoring,
            and asking the target on speculation, in vain.
        target_cost: What the target alone costs a query.
        spared_cost: What was not paid to it, a query; below (1 - deferral rate) · target cost where deferred queries
            are dearer than others.
        speculated_cost: The part of `cheap_cost` that went into speculation.
        spent: What each member took, and scoring, over all queries.
    """

    queries: int = 0
    left_out: int = 0
    deferral_rate: float | None = None
    cheap_cost: float = 0.0
    target_cost: float = 0.0
    spared_cost: float = 0.0
    speculated_cost: float = 0.0
    spent: tuple[MemberSpend, ...] = ()

    @property
    def savings(self) -> float | None:
        """What a query saves against always asking the target; negative where the cascade loses money."""
        return self.spared_cost - self.cheap_cost if self.queries else None

    @property
    def pays(self) -> bool | None:
        """Whether it saves anything, or None before the first query."""
        return None if self.savings is None else self.savings > 0

    @property
    def break_even_rate(self) -> float | None:
        """Deferral rate below which it saves, 1 - cheap cost / target cost; None where the target is free.

        Negative where members and scoring cost more than the target: then no deferral rate saves.
        """
        return 1 - self.cheap_cost / self.target_cost if self.target_cost > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain data."""
        return asdict(self) | {"savings": self.savings, "pays": self.pays, "break_even_rate": self.break_even_rate}

    def __str__(self) -> str:
        return "\n".join([self._verdict(), *(f"  {spend}" for spend in self.spent)])

    def _verdict(self) -> str:
        if self.savings is None or self.deferral_rate is None:
            why = f"; of {self.left_out} nobody answered, or a price is unknown" if self.left_out else ""
            return f"no query to judge by{why}"
        each = money(abs(self.savings))
        if self.savings > 0:
            text = f"the cascade saves {each} a query"
        elif self.savings < 0:
            text = f"the cascade LOSES {each} a query: asking the target alone is cheaper"
        else:
            text = "the cascade saves nothing"
        what = "Members, scoring and speculation" if self.speculated_cost else "Members and scoring"
        text += (
            f". {what} cost {money(self.cheap_cost)} a query, the target alone {money(self.target_cost)}; "
            f"{self.deferral_rate:.0%} of {_queries(self.queries)} went to it, which spared {money(self.spared_cost)} "
            "each. "
        )
        rate = self.break_even_rate
        if rate is None:
            text += "The target is free: nothing can be saved"
        elif rate <= 0:
            text += f"{what} cost as much as the target or more: no deferral rate saves"
        else:
            text += f"It breaks even at a deferral rate of {rate:.0%}"
        left = f". {_queries(self.left_out)} left out, as a price is unknown or nobody answered"
        return text + (left if self.left_out else "")


def _queries(number: int) -> str:
    return f"{number:,} quer{'y' if number == 1 else 'ies'}"


def _calls(number: int) -> str:
    return f"{number:,} call{'' if number == 1 else 's'}"
