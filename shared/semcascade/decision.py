"""The frozen record of one query: who said what, how far they agreed, what was decided, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from semcascade.errors import CutShortError, MemberError
from semcascade.messages import Candidate, ToolCall, Usage

__all__ = ["FALLBACK", "Decision", "Result", "Route", "TierRecord", "one_line", "total_cost"]

FALLBACK = "fallback"
"""What records call those that answer in the target's place, as if they were a tier."""


@dataclass(frozen=True, slots=True)
class TierRecord:
    """What happened in one tier.

    Attributes:
        name: The tier's name.
        candidates: Every answer and failure, in the order of the members.
        accepted: Whether the tier's answer was returned.
        reason: Why, in one sentence.
        chosen: Index of the tier's best candidate, or None where nobody answered.
        signal: Name of the signal, or None where the tier was not scored.
        value: The signal's value in its own scale, or None where undefined.
        score: The signal as a reliability in [0, 1], or None where undefined.
        threshold: What the score was held against.
        similarity: How the answers were compared.
        agreement: Mean similarity of each candidate with the others, [0, 1]; None for failures.
        entropy: Discrete semantic entropy of the answers in nats, or None where undefined.
        scoring_cost: US dollars that comparing cost, or None where unknown.
        scoring_calls: How many requests comparing took: to a judge, to an embedding service.
        latency_s: Seconds the tier took.
        final: Whether it always answers: the target, or who answers in its place.
        notes: What else the user should know.
        speculated: Whether it is the target's, which was asked on speculation and not needed.
    """

    name: str
    candidates: tuple[Candidate, ...]
    accepted: bool
    reason: str
    chosen: int | None = None
    signal: str | None = None
    value: float | None = None
    score: float | None = None
    threshold: float | None = None
    similarity: str | None = None
    agreement: tuple[float | None, ...] = ()
    entropy: float | None = None
    scoring_cost: float | None = 0.0
    scoring_calls: int = 0
    latency_s: float = 0.0
    final: bool = False
    notes: tuple[str, ...] = ()
    speculated: bool = False

    @property
    def cost(self) -> float | None:
        """US dollars for answers and scoring, or None where any part is unknown."""
        return total_cost([*(candidate.cost for candidate in self.candidates), self.scoring_cost])

    def rows(self) -> Iterator[tuple[Candidate, float | None]]:
        """Yield each candidate with its agreement."""
        for index, candidate in enumerate(self.candidates):
            yield candidate, self.agreement[index] if index < len(self.agreement) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {
            "tier": self.name,
            "accepted": self.accepted,
            "signal": self.signal,
            "value": self.value,
            "score": self.score,
            "threshold": self.threshold,
            "similarity": self.similarity,
            "entropy": self.entropy,
            "reason": self.reason,
            "candidates": [_candidate_dict(candidate, agreement) for candidate, agreement in self.rows()],
            "cost": self.cost,
            "latency_s": self.latency_s,
            "final": self.final,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Route:
    """Where a query started, decided by itself alone, before any answer.

    Attributes:
        tier: Name of the tier that it started at.
        skipped: Names of those before, which were not asked.
        reason: Why, in one clause, with the numbers.
        complexity: How much it asks for, 0 to 1; see `semcascade.deferral.complexity`.
        threshold: What decided: the complexity from which on it starts there or, by a fitted policy, P(deferred) of
            the first tier above which it does; None where nothing else was possible.
        deferred: Predicted P(deferred) of each tier before the target, by a fitted policy.
        costs: Predicted cost of starting at each tier, the target's last, as shares of the target's, likewise.
        qualities: Predicted quality of the answer, less the target's, likewise.
        entropy: Mean semantic entropy of like queries' answers, as a share of the largest possible, likewise.
    """

    tier: str
    skipped: tuple[str, ...]
    reason: str
    complexity: float
    threshold: float | None = None
    deferred: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    qualities: tuple[float, ...] = ()
    entropy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the route as plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        way = f"skipped {', '.join(self.skipped)}" if self.skipped else f"started at {self.tier}"
        return f"{way}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The frozen record of one query.

    Attributes:
        tiers: One record for each tier that was reached.
        tier: Name of the tier that answered; "" where none did.
        member: Name of the member that answered; "" where none did.
        accepted: Whether a tier before the last one answered, that is, the target was not needed.
        reason: Why, in one sentence.
        latency_s: Seconds from the question to the complete answer.
        first_token_s: Seconds to the first piece of a streamed answer.
        always_target_cost: What the target alone would have cost (paid, or estimated by its prices), in US
            dollars; None where unknown.
        fallback: Whether the answer stands in for the target's, which failed or was over budget.
        notes: What else the user should know, of the whole query.
        route: Where the query started, and why; None without a router.
    """

    tiers: tuple[TierRecord, ...]
    tier: str
    member: str
    accepted: bool
    reason: str
    latency_s: float = 0.0
    first_token_s: float | None = None
    always_target_cost: float | None = None
    fallback: bool = False
    notes: tuple[str, ...] = ()
    route: Route | None = None

    @property
    def scored(self) -> TierRecord | None:
        """The last tier that was scored."""
        return next((tier for tier in reversed(self.tiers) if tier.signal is not None), None)

    @property
    def score(self) -> float | None:
        """The reliability that decided last, or None where undefined."""
        return self.scored.score if self.scored else None

    @property
    def cost(self) -> float | None:
        """US dollars for every call of the query, or None where any is unknown."""
        return total_cost(tier.cost for tier in self.tiers)

    @property
    def estimated_cost(self) -> float:
        """The part of `cost` that is an estimate: for calls that were not waited for."""
        return sum(candidate.estimated_cost for tier in self.tiers for candidate in tier.candidates)

    @property
    def target_cost(self) -> float | None:
        """US dollars for the target and who answered in its place, or None where unknown; not for asking it in vain."""
        return total_cost(tier.cost for tier in self.tiers if tier.final and not tier.speculated)

    @property
    def speculated_cost(self) -> float | None:
        """The part of `cost` that went into asking the target early, in vain; None where unknown."""
        return total_cost(tier.cost for tier in self.tiers if tier.speculated)

    @property
    def calls(self) -> int:
        """How many requests were sent, repeated ones and those that compared answers included."""
        asked = sum(candidate.attempts for tier in self.tiers for candidate in tier.candidates)
        return asked + sum(tier.scoring_calls for tier in self.tiers)

    @property
    def usage(self) -> Usage:
        """Tokens of every answer of the query, as far as the providers counted them; shared prompts count once."""
        candidates = [candidate for tier in self.tiers for candidate in tier.candidates]
        return sum((candidate.billed for candidate in candidates), start=Usage())

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, ready for JSON."""
        scored = self.scored
        return {
            "tier": self.tier,
            "member": self.member,
            "accepted": self.accepted,
            "signal": scored.signal if scored else None,
            "score": scored.score if scored else None,
            "threshold": scored.threshold if scored else None,
            "reason": self.reason,
            "candidates": [
                {**_candidate_dict(candidate, agreement), "tier": tier.name}
                for tier in self.tiers
                for candidate, agreement in tier.rows()
            ],
            "cost": self.cost,
            "estimated_cost": self.estimated_cost,
            "speculated_cost": self.speculated_cost,
            "latency_s": self.latency_s,
            "first_token_s": self.first_token_s,
            "always_target_cost": self.always_target_cost,
            "fallback": self.fallback,
            "notes": list(self.notes),
            "route": None if self.route is None else self.route.to_dict(),
            "tiers": [
                {key: value for key, value in tier.to_dict().items() if key != "candidates"} for tier in self.tiers
            ],
        }

    def explain(self) -> str:
        """Return the record as text for people."""
        lines = [self.reason, *(f"note: {one_line(note, 300)}" for note in self.notes if note not in self.reason)]
        if self.route is not None and self.route.reason not in self.reason:
            lines.append(f"router: {self.route}")
        for tier in self.tiers:
            lines.append(_tier_line(tier))
            lines.extend(
                _candidate_line(tier, index, candidate, agreement)
                for index, (candidate, agreement) in enumerate(tier.rows())
            )
            lines.extend(f"    note: {note}" for note in tier.notes)
        estimated = f" ({money(self.estimated_cost)} of it estimated)" if self.estimated_cost else ""
        lines.append(f"total {money(self.cost)}{estimated}, {self.latency_s:.2f} s; the target alone: {self._alone()}")
        return "\n".join(lines)

    def _alone(self) -> str:
        return money(self.always_target_cost)

    def __str__(self) -> str:
        return self.explain()


@dataclass(frozen=True, slots=True)
class Result:
    """The answer of a cascade, and how it came about.

    Attributes:
        candidate: The answer that was chosen.
        decision: The record of the query.
    """

    candidate: Candidate
    decision: Decision

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.candidate.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer."""
        return self.candidate.tool_calls

    def to_dict(self) -> dict[str, Any]:
        """Return answer and decision as plain data, ready for JSON."""
        data: dict[str, Any] = {"answer": self.text, "decision": self.decision.to_dict()}
        if self.tool_calls:
            data["tool_calls"] = [call.to_openai() for call in self.tool_calls]
        return data


def total_cost(costs: Iterable[float | None]) -> float | None:
    """Add costs; one unknown part makes the sum unknown.

    >>> total_cost([0.25, 0.5]), total_cost([0.25, None])
    (0.75, None)
    """
    total = 0.0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


def money(amount: float | None) -> str:
    """Write an amount in US dollars.

    >>> money(0.00123), money(1.4e-6), money(0.0), money(None)
    ('$0.00123', '$0.0000014', '$0', 'unknown cost')
    """
    if amount is None:
        return "unknown cost"
    return f"${Decimal(f'{amount:.3g}'):f}" if abs(amount) < 1 else f"${amount:.2f}"


def one_line(text: str, width: int = 72) -> str:
    r"""Return untrusted text on one line: control characters replaced, cut to a width.

    >>> one_line("a\nb\x1b[31m", 10)
    'a b [31m'
    """
    flat = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * width]).split())
    return flat if len(flat) <= width and len(text) <= 4 * width else flat[: width - 1] + "…"


def _candidate_dict(candidate: Candidate, agreement: float | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "member": candidate.member,
        "text": candidate.text,
        "agreement": agreement,
        "cost": candidate.cost,
        "latency_s": candidate.latency_s,
        "error": str(candidate.failure) if candidate.failure else None,
        "finish_reason": candidate.finish_reason,
        "attempts": candidate.attempts,
    }
    if candidate.estimated_cost:
        data["estimated_cost"] = candidate.estimated_cost
    if candidate.usage:
        data["input_tokens"] = candidate.usage.input_tokens
        data["output_tokens"] = candidate.usage.output_tokens
    if candidate.tool_calls:
        data["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in candidate.tool_calls]
    return data


def _tier_line(tier: TierRecord) -> str:
    answered = sum(candidate.ok for candidate in tier.candidates)
    parts = [f"{answered} of {len(tier.candidates)} answered" if len(tier.candidates) > 1 else ""]
    if tier.signal:
        parts.append(f"compared by {tier.similarity}" if tier.similarity else "")
        parts.append(f"{tier.signal} {_number(tier.score)} against {_number(tier.threshold)}")
        parts.append(f"semantic entropy {_number(tier.entropy)}")
    parts += [money(tier.cost), f"{tier.latency_s:.2f} s"]
    verdict = "accepted" if tier.accepted else "not needed" if tier.speculated else "deferred"
    return f"{tier.name}: {verdict}; " + ", ".join(part for part in parts if part)


def _candidate_line(tier: TierRecord, index: int, candidate: Candidate, agreement: float | None) -> str:
    mark = "*" if tier.accepted and index == tier.chosen else " "
    if isinstance(candidate.failure, CutShortError):
        said = one_line(str(candidate.failure).removeprefix(f"{candidate.member}: "), 100)
    elif candidate.failure:
        said = f"failed: {_kind(candidate.failure)}: {one_line(str(candidate.failure), 100)}"
    elif candidate.tool_calls and not candidate.text:
        said = one_line(", ".join(f"{call.name}({call.arguments})" for call in candidate.tool_calls))
    else:
        said = repr(one_line(candidate.text))
    return f"  {mark} {candidate.member}  {_number(agreement)}  {said}"


def _kind(failure: MemberError) -> str:
    """Return the name by which the error is known, whatever finer kinds the engine has of it."""
    return next(base.__name__ for base in type(failure).__mro__ if base.__module__ == MemberError.__module__)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
