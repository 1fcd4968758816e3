"""What all queries of a cascade share, and what one query has come to so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from semcascade.config import CascadeConfig, Member, Tier
from semcascade.decision import Decision, Result, Route, TierRecord, one_line
from semcascade.engine.attempts import Deadline, Patience, Tally, embed
from semcascade.engine.entry import Entry
from semcascade.engine.guard import Guards
from semcascade.engine.hedging import ask_hedged
from semcascade.engine.latencies import Latencies
from semcascade.engine.scoring import TierScorer
from semcascade.engine.transports import Transports
from semcascade.errors import BudgetExceededError, CascadeError, DeadlineExceededError, MemberBudgetError, MemberError
from semcascade.haste import quantile_of
from semcascade.messages import Candidate, Embeddings, Request
from semcascade.transport.base import Transport

__all__ = ["Inquiry", "Plan"]


@dataclass(frozen=True)
class Plan:
    """What all queries of a cascade share.

    Attributes:
        config: The configuration.
        scorers: One for each tier but the last.
        transports: Who serves which member.
        guards: The period's caps and the members' breakers.
        notes: Who cannot answer a request, in the plan for it.
        latencies: How long members took of late.
        deadline: Seconds in which a query must be over; the configuration's, or less where the caller says so.
        entry: Says where queries start; None: at the first tier.
    """

    config: CascadeConfig
    scorers: tuple[TierScorer, ...]
    transports: Transports
    guards: Guards
    notes: tuple[str, ...] = ()
    latencies: Latencies = field(default_factory=Latencies)
    deadline: float | None = None
    entry: Entry | None = None

    @property
    def judges(self) -> tuple[Member, ...]:
        """Members that comparing answers needs."""
        return tuple(member for scorer in self.scorers for member in scorer.similarity.members)


class Inquiry:
    """One query's clock and record, kept by all who ask for it.

    Args:
        plan: What all queries share.
        request: What is asked.
        only: The one member to ask, instead of the cascade.

    Attributes:
        records: One for each tier that was reached.
        failures: Every member's failure so far.
        unready: By the member's identity, the failure of one that could not be made ready.
        guard: Lets its requests in, or not.
        in_pieces: Whether the answer is streamed.
        first_token_s: Seconds to the first piece of a streamed answer.
        route: Where it starts, once that is known; None without a router.
        skipped: The tiers before, which were not asked.
        decision: The record, once there is an answer or an error, or nobody waits for one any more.
    """

    def __init__(self, plan: Plan, request: Request, *, only: Member | None = None) -> None:
        self.plan, self.request, self.only = plan, request, only
        self.config = plan.config
        self._started = time.monotonic()
        self.deadline = Deadline.after(plan.deadline)
        self.records: list[TierRecord] = []
        self.failures: list[MemberError] = []
        self.unready: dict[int, Candidate] = {}
        self.guard = plan.guards.query()
        self.in_pieces = False
        self.first_token_s: float | None = None
        self.route: Route | None = None
        self.skipped: list[tuple[Tier, TierScorer]] = []
        self.decision: Decision | None = None

    @property
    def target(self) -> Member:
        """Who answers when no tier before does."""
        return self.only or self.config.tiers[-1].members[0]

    def transport(self, member: Member) -> Transport:
        """Return who serves the member."""
        return self.plan.transports.of(member)

    def patience(self, member: Member) -> Patience:
        """Return how long and how often the member is asked."""
        patience = Patience.of(member, self.config, self.deadline, self.guard)
        after = self.config.hedge_after
        if isinstance(after, str):
            after = self.plan.latencies.quantile(member, quantile_of(after))
        return patience if after is None else replace(patience, hedge_after=after)

    async def ask(self, member: Member, request: Request, tally: Tally | None = None) -> Candidate:
        """Ask a member for one whole answer, within the query's deadline."""
        if id(member) in self.unready:
            return self.unready[id(member)]
        answer = await ask_hedged(self.transport(member), member, request, self.patience(member), tally=tally)
        if answer.ok:
            self.note_latency(member, answer.latency_s)
        return answer

    def note_latency(self, member: Member, seconds: float) -> None:
        """Note how long an answer took, or how long it was waited for in vain, where anything hangs on that."""
        if self.config.drop_slow is not None or isinstance(self.config.hedge_after, str):
            self.plan.latencies.note(member, seconds)

    async def embed(self, member: Member, texts: Sequence[str]) -> Embeddings:
        """Ask a member for vectors, within the query's deadline."""
        if id(member) in self.unready:
            return Embeddings(member.name, cost=0.0, attempts=0, failure=self.unready[id(member)].failure)
        return await embed(self.transport(member), member, texts, self.patience(member))

    def note_first_token(self) -> None:
        """Note that the first piece of a streamed answer is there."""
        if self.first_token_s is None:
            self.first_token_s = time.monotonic() - self._started

    # --- how it ends

    def answered(self, candidate: Candidate, tier: str, reason: str, *, fallback: bool = False) -> Result:
        """End with an answer; one that was not streamed so far comes in one piece."""
        if self.in_pieces:
            self.note_first_token()
        accepted = tier != self.config.tiers[-1].name and not fallback
        self.decision = Decision(
            tiers=tuple(self.records),
            tier=tier,
            member=candidate.member,
            accepted=accepted,
            reason=reason,
            latency_s=time.monotonic() - self._started,
            first_token_s=self.first_token_s,
            always_target_cost=self._always_target(candidate),
            fallback=fallback,
            notes=(*self.plan.notes, *self.guard.notes),
            route=self.route,
        )
        return Result(candidate, self.decision)

    def given_up(self, message: str, error: MemberError) -> CascadeError:
        """End without an answer; return what is to be raised."""
        self._ended(one_line(f"{message}: {error}", 200))
        kind = CascadeError
        if self.deadline.remaining() <= 0:
            kind = DeadlineExceededError
        elif isinstance(error, MemberBudgetError):
            kind = BudgetExceededError
        return kind(message, failures=[*self.failures, error], decision=self.decision)

    @contextmanager
    def recording_departure(self) -> Iterator[None]:
        """Keep a record also of a query that is cancelled, breaks, or whose stream is left: it has cost money, too."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            if self.decision is None:
                self._ended("left before there was an answer")
            raise
        except BaseException as error:
            if self.decision is None and self.records:  # without any, nobody was asked
                self._ended(f"broke off: {type(error).__name__}")
            raise

    def _ended(self, reason: str) -> None:
        self.decision = Decision(
            tiers=tuple(self.records),
            tier="",
            member="",
            accepted=False,
            reason=reason,
            latency_s=time.monotonic() - self._started,
            first_token_s=self.first_token_s,
            always_target_cost=self._always_target(None),
            notes=(*self.plan.notes, *self.guard.notes),
            route=self.route,
        )

    def _always_target(self, answer: Candidate | None) -> float | None:
        """What the target alone costs: what was paid, else its price for the tokens of the answer."""
        last = self.records[-1] if self.records else None
        if last is not None and last.name == self.config.tiers[-1].name and not last.speculated:
            return last.cost if last.accepted else None
        if answer is None or answer.usage is None:
            return None
        return self.transport(self.target).price(self.target, answer.usage)
