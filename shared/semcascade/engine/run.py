"""One query on its way through the tiers."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from semcascade.config import CascadeConfig, Member, Tier
from semcascade.decision import Decision, Result, TierRecord, one_line
from semcascade.engine.attempts import Deadline, Patience, as_member_error, ask, failed, left
from semcascade.engine.samples import ask_samples, sampling_notes
from semcascade.engine.scoring import Scored, TierScorer
from semcascade.engine.streams import ask_in_pieces
from semcascade.engine.transports import Transports
from semcascade.errors import CascadeError, DeadlineExceededError, MemberError, SemcascadeError
from semcascade.messages import Candidate, Request
from semcascade.redaction import redact
from semcascade.similarity import Query, classify
from semcascade.transport.base import Delta, Transport
from semcascade.transport.recorded import whole

__all__ = ["Plan", "QueryRun"]


@dataclass(frozen=True)
class Plan:
    """What all queries of a cascade share.

    Attributes:
        config: The configuration.
        scorers: One for each tier but the last.
        transports: Who serves which member.
    """

    config: CascadeConfig
    scorers: tuple[TierScorer, ...]
    transports: Transports

    @property
    def judges(self) -> tuple[Member, ...]:
        """Members that comparing answers needs."""
        return tuple(member for scorer in self.scorers for member in scorer.similarity.members)


class QueryRun:
    """One query: asks tier after tier until one is accepted; the last one always answers.

    Args:
        plan: What all queries share.
        request: What is asked.
        only: The one member to ask, instead of the cascade.
    """

    def __init__(self, plan: Plan, request: Request, *, only: Member | None = None) -> None:
        self._plan, self._request, self._only = plan, request, only
        self._config = plan.config
        self._started = time.monotonic()
        self._deadline = Deadline.after(plan.config.deadline)
        self._records: list[TierRecord] = []
        self._failures: list[MemberError] = []
        self._unready: dict[int, Candidate] = {}
        self._first_token_s: float | None = None
        self.decision: Decision | None = None
        """The record, once there is an answer or an error, or nobody waits for one any more."""

    @property
    def _target(self) -> Member:
        return self._only or self._config.tiers[-1].members[0]

    async def complete(self) -> Result:
        """Return the answer.

        Raises:
            CascadeError: If no path led to an answer.
            MemberError: If a member is sure to fail (no key, unknown model), before anything is spent.
        """
        with self._recording_departure():
            accepted = await self._cheap_tiers()
            if accepted is not None:
                return accepted
            asked = time.monotonic()
            transport, member = self._plan.transports.of(self._target), self._target
            patience = Patience.of(member, self._config, self._deadline)
            with self._target_left(transport, asked):
                candidate = await ask(transport, member, self._request, patience)
            return self._finish_target(candidate, asked)

    async def stream(self) -> AsyncGenerator[Delta | Result, None]:
        """Yield the pieces of the one answer that is returned, and at last the result.

        An accepted answer comes in one piece; a deferred query streams the target's pieces as they come.
        """
        with self._recording_departure():
            accepted = await self._cheap_tiers()
            if accepted is not None:
                yield whole(accepted.candidate)
                yield accepted
                return
            asked, begun = time.monotonic(), False
            candidate: Candidate | None = None
            transport, member = self._plan.transports.of(self._target), self._target
            patience = Patience.of(member, self._config, self._deadline)
            with self._target_left(transport, asked):
                async with aclosing(ask_in_pieces(transport, member, self._request, patience)) as items:
                    async for item in items:
                        if isinstance(item, Candidate):
                            candidate = item
                            continue
                        begun = True
                        self._note_first_token(item)
                        yield item
            assert candidate is not None  # noqa: S101 - the target's stream ends with its candidate
            result = self._finish_target(candidate, asked, broke_off=begun)
            if not begun:
                yield whole(result.candidate)
            yield result

    def _note_first_token(self, delta: Delta) -> None:
        if self._first_token_s is None and (delta.text or delta.tool_calls or delta.reasoning):
            self._first_token_s = time.monotonic() - self._started

    @contextmanager
    def _recording_departure(self) -> Iterator[None]:
        """Keep a record also of a query that is cancelled or whose stream is left: it has cost money, too."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            if self.decision is None:
                self.decision = self._decide("", "", "left before there was an answer", accepted=False)
            raise

    @contextmanager
    def _target_left(self, transport: Transport, asked: float) -> Iterator[None]:
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._record_target(left(transport, self._target), asked)
            raise

    # --- the cheap tiers

    async def _cheap_tiers(self) -> Result | None:
        """Ask every tier but the last; return the first accepted answer."""
        await self._make_ready()
        if self._only is not None:
            return None
        for tier, scorer in zip(self._config.tiers, self._plan.scorers, strict=False):
            record = await self._ask_tier(tier, scorer)
            self._records.append(record)
            if record.accepted and record.chosen is not None:
                return self._result(record.candidates[record.chosen], tier.name, record.reason)
        return None

    async def _make_ready(self) -> None:
        """Get every member ready; wrong settings are told here, before anything is spent.

        A member that cannot be made ready is left out of its tier; the target's failure is raised.
        """
        members = (*self._config.members(), *self._plan.judges) if self._only is None else (self._only,)
        transports = self._plan.transports
        errors = await asyncio.gather(
            *(self._in_time(transports.of(member).prepare(member), member.name) for member in members)
        )
        for member, error in zip(members, errors, strict=True):
            if error is None:
                transports.of(member).check(member)
            elif member is self._target:
                raise error
            else:
                self._unready[id(member)] = failed(member, as_member_error(error, member))
        for scorer in self._plan.scorers if self._only is None else ():
            error = await self._in_time(scorer.prepare(), f"similarity {scorer.similarity.name}")
            if error is not None:
                raise error

    async def _in_time(self, preparing: Awaitable[None], name: str) -> SemcascadeError | None:
        """Wait for a preparation within the query's deadline; return why it failed, or None."""
        left = self._deadline.remaining()
        try:
            async with asyncio.timeout(None if left == float("inf") else left):
                await preparing
        except TimeoutError:
            return DeadlineExceededError(f"{name} was not ready before the query's deadline")
        except SemcascadeError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one's own transport may raise anything; the query goes on
            unready = SemcascadeError(f"{name} could not be made ready: {redact(str(error) or type(error).__name__)}")
            unready.__cause__ = error
            return unready
        return None

    async def _ask_tier(self, tier: Tier, scorer: TierScorer) -> TierRecord:
        started = time.monotonic()
        unready = {m.name: self._unready[id(m)] for m in tier.members if id(m) in self._unready}
        askable = sum(member.samples for member in tier.members if member.name not in unready)
        if askable < scorer.quorum:
            candidates = tuple(unready.values())
            reason = f"only {askable} of {tier.answers} answers could be asked for, {scorer.quorum} are needed"
        else:
            candidates = await self._fan_out(tier, unready)
            reason = ""
        answers = [candidate for candidate in candidates if candidate.ok]
        self._failures += [candidate.failure for candidate in candidates if candidate.failure]
        elapsed = time.monotonic() - started
        if reason or len(answers) < scorer.quorum:
            reason = reason or f"{len(answers)} of {len(candidates)} answered, {scorer.quorum} are needed"
            chosen = _first_usable(tier, candidates)
            return TierRecord(tier.name, candidates, accepted=False, reason=reason, chosen=chosen, latency_s=elapsed)
        try:
            scored = await scorer.score(Query.of(self._request, self._consult), answers)
        except asyncio.CancelledError:
            self._record_left(tier, candidates, started)
            raise
        record = _record(tier, candidates, answers, scored, time.monotonic() - started)
        return dataclasses.replace(record, notes=(*record.notes, *sampling_notes(tier, self._request)))

    async def _consult(self, member: Member, request: Request) -> Candidate:
        """Ask a member that comparing answers needs, within the query's deadline."""
        if id(member) in self._unready:
            return self._unready[id(member)]
        patience = Patience.of(member, self._config, self._deadline)
        return await ask(self._plan.transports.of(member), member, request, patience)

    async def _fan_out(self, tier: Tier, unready: dict[str, Candidate]) -> tuple[Candidate, ...]:
        started, tasks = time.monotonic(), list[tuple[Member, asyncio.Task[Candidate] | None]]()
        try:
            async with asyncio.TaskGroup() as group:
                for member in tier.members:
                    if member.name in unready:
                        tasks.append((member, None))
                        continue
                    transport = self._plan.transports.of(member)
                    patience = Patience.of(member, self._config, self._deadline)
                    samples = ask_samples(group, transport, member, self._request, patience)
                    tasks += [(member, task) for task in samples]
        except asyncio.CancelledError:
            self._record_left(tier, self._answers(tasks, unready), started)
            raise
        return self._answers(tasks, unready)

    def _answers(
        self, tasks: Sequence[tuple[Member, asyncio.Task[Candidate] | None]], unready: dict[str, Candidate]
    ) -> tuple[Candidate, ...]:
        return tuple(
            unready[member.name]
            if task is None
            else left(self._plan.transports.of(member), member)
            if task.cancelled()
            else task.result()
            for member, task in tasks
        )

    def _record_left(self, tier: Tier, candidates: tuple[Candidate, ...], started: float) -> None:
        elapsed = time.monotonic() - started
        reason = "left before it was decided"
        self._records.append(TierRecord(tier.name, candidates, accepted=False, reason=reason, latency_s=elapsed))

    # --- the target

    def _finish_target(self, candidate: Candidate, asked: float, *, broke_off: bool = False) -> Result:
        record = self._record_target(candidate, asked)
        if candidate.failure is None:
            return self._result(candidate, record.name, record.reason)
        if broke_off:  # its pieces are out, so no other answer can stand in
            raise self._give_up(f"the answer of {candidate.member} broke off", candidate.failure) from candidate.failure
        return self._fall_back(candidate.failure)

    def _record_target(self, candidate: Candidate, asked: float) -> TierRecord:
        record = TierRecord(
            self._config.tiers[-1].name,
            (candidate,),
            accepted=candidate.ok,
            reason=self._why_target() if candidate.ok else f"{candidate.member} failed",
            chosen=0 if candidate.ok else None,
            latency_s=time.monotonic() - asked,
        )
        self._records.append(record)
        return record

    def _why_target(self) -> str:
        if self._only is not None:
            return f"{self._only.name} was asked for by name"
        if not self._records:
            return f"{self._target.name} answers every query"
        return f"deferred to {self._target.name}: {self._records[-1].reason}"

    def _fall_back(self, error: MemberError) -> Result:
        """Return the best rejected answer where the configuration allows it; else raise."""
        if self._config.on_target_failure == "ensemble":
            for record in reversed(self._records):
                if record.chosen is not None:
                    answer = record.candidates[record.chosen]
                    reason = f"{self._target.name} failed; the best rejected answer, of {answer.member}, stands in"
                    return self._result(answer, record.name, reason, fallback=True)
        raise self._give_up("no member answered" if self._records[:-1] else "the member did not answer", error)

    def _give_up(self, message: str, error: MemberError) -> CascadeError:
        self.decision = self._decide("", "", one_line(f"{message}: {error}", 200), accepted=False)
        kind = DeadlineExceededError if self._deadline.remaining() <= 0 else CascadeError
        return kind(message, failures=[*self._failures, error], decision=self.decision)

    # --- the record

    def _result(self, candidate: Candidate, tier: str, reason: str, *, fallback: bool = False) -> Result:
        accepted = tier != self._config.tiers[-1].name and not fallback
        self.decision = self._decide(
            tier, candidate.member, reason, accepted=accepted, answer=candidate, fallback=fallback
        )
        return Result(candidate, self.decision)

    def _decide(
        self,
        tier: str,
        member: str,
        reason: str,
        *,
        accepted: bool,
        answer: Candidate | None = None,
        fallback: bool = False,
    ) -> Decision:
        return Decision(
            tiers=tuple(self._records),
            tier=tier,
            member=member,
            accepted=accepted,
            reason=reason,
            latency_s=time.monotonic() - self._started,
            first_token_s=self._first_token_s,
            always_target_cost=self._always_target(answer),
            fallback=fallback,
        )

    def _always_target(self, answer: Candidate | None) -> float | None:
        """What the target alone costs: what was paid, else its price for the tokens of the answer."""
        last = self._records[-1] if self._records else None
        if last is not None and last.name == self._config.tiers[-1].name:
            return last.cost if last.accepted else None
        if answer is None or answer.usage is None:
            return None
        return self._plan.transports.of(self._target).price(self._target, answer.usage)


def _first_usable(tier: Tier, candidates: Sequence[Candidate]) -> int | None:
    """Return the answer of the highest priority that says anything, for want of agreement to choose by."""
    priority = {member.name: member.priority for member in tier.members}
    usable = [i for i, candidate in enumerate(candidates) if candidate.ok and not classify(candidate).degenerate]
    return max(usable, key=lambda i: priority[candidates[i].member], default=None)


def _record(
    tier: Tier, candidates: tuple[Candidate, ...], answers: list[Candidate], scored: Scored, elapsed: float
) -> TierRecord:
    """Put the scores of the answers back beside all candidates, failures included."""
    places = [index for index, candidate in enumerate(candidates) if candidate.ok]
    agreement: list[float | None] = [None] * len(candidates)
    for place, value in zip(places, scored.agreement, strict=True):
        agreement[place] = value
    chosen = places[scored.choice.index]
    member = answers[scored.choice.index].member
    said = f"accepted {member}, {scored.choice.reason}: " if scored.verdict.accept else ""
    return TierRecord(
        name=tier.name,
        candidates=candidates,
        accepted=scored.verdict.accept,
        reason=f"{said}{scored.signal} {scored.verdict.reason}",
        chosen=chosen,
        signal=scored.signal,
        value=scored.score.value,
        score=scored.score.reliability,
        threshold=scored.verdict.threshold,
        similarity=scored.comparison.method,
        agreement=tuple(agreement),
        entropy=scored.entropy,
        scoring_cost=scored.cost,
        scoring_calls=scored.calls,
        latency_s=elapsed,
        notes=scored.comparison.notes,
    )
