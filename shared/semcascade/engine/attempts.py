"""Asking one member until it answers, fails for good, or time is up."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from semcascade.config import CascadeConfig, Member
from semcascade.decision import total_cost
from semcascade.engine.breaker import HurriedError
from semcascade.engine.budget import Spend
from semcascade.engine.estimate import most, text_tokens
from semcascade.engine.guard import Guard, may_be_billed
from semcascade.errors import ConnectionFailedError, MalformedReplyError, MemberError, MemberTimeoutError, NotAskedError
from semcascade.messages import Candidate, Conversation, Embeddings, Request, Usage
from semcascade.redaction import redact
from semcascade.transport.base import Transport

__all__ = [
    "Deadline", "Patience", "Tally", "as_member_error", "ask", "ask_together", "backoff", "cost_of_failure", "embed",
    "failed", "if_billed", "misshapen", "with_preamble",
]  # fmt: skip

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0


class _LateError(NotAskedError, MemberTimeoutError):
    """There was no time left to ask; nothing was sent."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Deadline:
    """When the whole query must be over, on the monotonic clock; None: never."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline this many seconds from now."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds that are left."""
        return float("inf") if self.at is None else self.at - time.monotonic()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a member is asked, and whether at all.

    Attributes:
        timeout: Seconds for one attempt.
        max_retries: How often a failed attempt is repeated.
        deadline: When the whole query must be over.
        guard: Lets each attempt in, or not.
        hedge_after: Seconds without an answer after which a whole one is asked for once more; None: never.
        usual: Seconds that the settings leave for one attempt, also where this query has less left.
    """

    timeout: float
    max_retries: int
    deadline: Deadline
    guard: Guard
    hedge_after: float | None = None
    usual: float = math.inf

    @classmethod
    def of(cls, member: Member, config: CascadeConfig, deadline: Deadline, guard: Guard) -> Patience:
        """Return the member's own limits, else the cascade's."""
        timeout = config.timeout if member.timeout is None else member.timeout
        return cls(
            timeout,
            config.max_retries if member.max_retries is None else member.max_retries,
            deadline,
            guard,
            usual=timeout if config.deadline is None else min(timeout, config.deadline),
        )

    def need(self, transport: Transport, member: Member, request: Request, answers: int = 1) -> Spend:
        """Return the most that one attempt may take; nothing but the call where nobody reckons."""
        return most(transport, member, request, answers=answers) if self.guard.reckons else Spend(1)

    def waits(self, pause: float) -> bool:
        """Say whether a pause is worth it: within the deadline, and no longer than an attempt or our own pauses take.

        A provider may ask for an hour; meanwhile others could have answered.
        """
        return pause <= max(self.timeout, _LONGEST_PAUSE_S) and pause < self.deadline.remaining()

    def refuse_late(self, member: Member) -> None:
        """Do not begin what there is no time for; it would be a request that nobody waits for.

        Raises:
            MemberTimeoutError: If the query's deadline has passed.
        """
        if self.deadline.remaining() <= 0:
            raise _LateError("not asked, as the query's deadline had passed", member=member.name)

    def bound(self, member: Member) -> _Bound:
        """Bound one attempt, or the wait for one piece of a stream; a context.

        Transports are told the member's own timeout, the same every time: clients are kept by it, and one made for
        what a query has left would never be used again.

        Raises:
            MemberTimeoutError: If it took longer.
        """
        return _Bound(self, member, max(0.0, min(self.timeout, self.deadline.remaining())))


class _Bound:
    """A time limit whose end is the member's failure; a generator would cost as much as the limit itself."""

    __slots__ = ("_limit", "_member", "_patience", "_seconds")

    def __init__(self, patience: Patience, member: Member, seconds: float) -> None:
        self._patience, self._member, self._seconds = patience, member, seconds
        self._limit = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._late() from None
        if isinstance(error, TimeoutError):
            raise self._late() from None
        if isinstance(error, SystemExit | KeyboardInterrupt):  # of its own code: signals go to the main thread
            raise MemberError(f"its transport raised {type(error).__name__}", member=self._member.name) from error
        if isinstance(error, asyncio.CancelledError) and not _is_cancelled():
            said = "its request was cancelled on the way, though nobody had asked for that"
            raise ConnectionFailedError(said, member=self._member.name) from error

    def _late(self) -> MemberTimeoutError:
        if self._patience.deadline.remaining() > 0:
            return MemberTimeoutError(f"no answer within its timeout of {self._seconds:g} s", member=self._member.name)
        kind = HurriedError if self._seconds < self._patience.usual / 2 else MemberTimeoutError
        return kind("no answer within the query's deadline", member=self._member.name)


def _is_cancelled() -> bool:
    """Whether somebody cancels the running task, not merely what it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@dataclass(slots=True)
class Tally:
    """What asking for an answer has taken so far: all that is known of it when nobody waits any more.

    As a context it counts one request, which stays in flight if it is cancelled.

    Attributes:
        attempts: Requests sent.
        costs: Of those that failed.
        in_flight: How many were being answered.
        first: The tally of the request that this answer was to come with, where that is another's.
        second: The tally of asking once more for the same.
        told: Whether it was told what asking has taken, as nobody waits any more; nothing may be added to it then.
    """

    attempts: int = 0
    costs: list[float | None] = field(default_factory=list)
    in_flight: int = 0
    first: Tally | None = None
    second: Tally | None = None
    told: bool = False

    def refuse_more(self) -> None:
        """Send nothing more for nobody: what was told to end may wake up for its next attempt before it hears of that.

        Raises:
            CancelledError: If nobody waits any more.
        """
        if self.told:
            raise asyncio.CancelledError

    def __enter__(self) -> Self:
        self.attempts += 1
        self.in_flight += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.in_flight -= 1


async def ask(
    transport: Transport,
    member: Member,
    request: Request,
    patience: Patience,
    sample: int = 0,
    tally: Tally | None = None,
) -> Candidate:
    """Ask for one whole answer; a failure comes back as a candidate that carries it.

    The latency runs from the first attempt to the end; the cost covers every attempt. The tally is kept for those who
    may stop waiting.
    """
    request = with_preamble(request, member)

    async def send() -> list[Candidate]:
        return [await transport.complete(member, request, timeout=patience.timeout, sample=sample)]

    need = patience.need(transport, member, request)
    (answer,) = await _attempts(send, transport, member, patience, need, tally or Tally())
    return answer


async def ask_together(
    transport: Transport, member: Member, request: Request, patience: Patience, n: int, tally: Tally | None = None
) -> list[Candidate]:
    """Ask for several whole answers by one request; see `Transport.complete_many`.

    A failure is the only candidate. The first one tells the attempts, and carries what failed ones cost.
    """
    request = with_preamble(request, member)

    async def send() -> list[Candidate]:
        return await transport.complete_many(member, request, timeout=patience.timeout, n=n)

    need = patience.need(transport, member, request, n)
    return await _attempts(send, transport, member, patience, need, tally or Tally())


async def embed(transport: Transport, member: Member, texts: Sequence[str], patience: Patience) -> Embeddings:
    """Ask for a vector for each text; a failure, the latency and the cost come as by `ask`."""

    async def send() -> list[Embeddings]:
        return [await transport.embed(member, texts, timeout=patience.timeout)]

    need = Spend.of()
    if patience.guard.reckons:
        tokens = text_tokens(texts)
        need = Spend.of(1, tokens, transport.price(member, Usage(tokens)) or 0.0)
    (found,) = await _attempts(send, transport, member, patience, need, Tally())
    if isinstance(found, Embeddings):
        return found
    return Embeddings(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})


async def _attempts(
    send: Callable[[], Awaitable[Sequence[Candidate]]],
    transport: Transport,
    member: Member,
    patience: Patience,
    need: Spend,
    tally: Tally,
) -> list[Candidate]:
    started, last = time.monotonic(), None
    costs: list[float | None] = []
    for attempt in range(1, patience.max_retries + 2):
        try:
            tally.refuse_more()
            patience.refuse_late(member)
            with patience.guard.admitted(member, need) as entry, tally:
                async with patience.bound(member):
                    answers = _checked(await send(), member)
                entry.answered(answers)
        except Exception as raised:  # noqa: BLE001 - a transport may raise anything; the query goes on
            error = as_member_error(raised, member)
            if last is not None and isinstance(error, NotAskedError):
                patience.guard.notes.append(f"not repeated: {error}")
                return [failed(member, last, cost=total_cost(costs), started=started, attempts=attempt - 1)]
            costs.append(cost_of_failure(transport, member, error))
            tally.costs.append(costs[-1])
            last, pause = error, backoff(error, attempt)
            if not error.retryable or attempt > patience.max_retries or not patience.waits(pause):
                return [failed(member, error, cost=total_cost(costs), started=started, attempts=attempt)]
            await asyncio.sleep(pause)
        else:
            latency = time.monotonic() - started
            first, *others = answers
            first = dataclasses.replace(
                first,
                member=member.name,
                latency_s=first.latency_s or latency,
                cost=total_cost([*costs, first.cost]),
                attempts=attempt - 1 + first.attempts,
            )
            return [
                first,
                *(
                    dataclasses.replace(other, member=member.name, latency_s=other.latency_s or latency, attempts=0)
                    for other in others
                ),
            ]
    raise AssertionError("unreachable: the last attempt returns")


def _checked(answers: Sequence[Candidate], member: Member) -> Sequence[Candidate]:
    for answer in answers:
        if not isinstance(answer, Candidate):
            raise misshapen(member, f"a {type(answer).__name__}, not a Candidate")
        if not isinstance(answer.text, str):
            raise misshapen(member, f"a text that is a {type(answer.text).__name__}")
        if answer.cost is not None and not 0 <= answer.cost < math.inf:
            raise misshapen(member, f"a cost of {answer.cost}")
    return answers


def misshapen(member: Member, what: str) -> MalformedReplyError:
    """Return the failure of a member whose transport keeps to no contract."""
    return MalformedReplyError(f"its transport answered with {what}", member=member.name)


def failed(
    member: Member, error: MemberError, *, cost: float | None = 0.0, started: float | None = None, attempts: int = 0
) -> Candidate:
    """Return a candidate that carries a failure."""
    latency = 0.0 if started is None else time.monotonic() - started
    attempts -= isinstance(error, NotAskedError)
    return Candidate(
        member.name, cost=cost, latency_s=latency, attempts=attempts, failure=_detached(error, member.secrets())
    )


def _detached(error: MemberError, secrets: Sequence[str]) -> MemberError:
    """Drop the tracebacks along the chain: a record must not keep frames, and the secrets in them, alive.

    A client's own error that repeats a secret is left out of the chain, as whoever logs the failure shows all of it.
    """
    link: BaseException | None = error
    seen: set[int] = set()  # an error may be raised from itself
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        if any(_tells(one, secrets) for one in (link.__cause__, link.__context__)):
            link.__cause__ = link.__context__ = None
        link = link.__cause__ or link.__context__
    return error


def _tells(error: BaseException | None, secrets: Sequence[str]) -> bool:
    said = "" if error is None else f"{error} {error!r}"
    return redact(said, secrets) != said


def as_member_error(error: Exception, member: Member) -> MemberError:
    """Return the error as one of the member's, chained from what was raised."""
    if isinstance(error, MemberError):
        return error
    wrapped = MemberError(redact(str(error) or type(error).__name__, member.secrets()), member=member.name)
    wrapped.__cause__ = error
    return wrapped


def backoff(error: MemberError, attempt: int) -> float:
    """Return the seconds to wait before the next attempt: what the provider asked, else exponential with jitter."""
    if error.retry_after is not None:
        return float(error.retry_after)
    return random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (attempt - 1))


def with_preamble(request: Request, member: Member) -> Request:
    """Put the member's own messages behind the conversation's leading system messages."""
    if not member.preamble:
        return request
    messages: Conversation = request.messages
    head = 0
    while head < len(messages) and messages[head].get("role") in {"system", "developer"}:
        head += 1
    return dataclasses.replace(request, messages=(*messages[:head], *member.preamble, *messages[head:]))


def cost_of_failure(transport: Transport, member: Member, error: MemberError) -> float | None:
    """A refused request is free; one that was cut off or garbled may have been billed."""
    return if_billed(transport, member) if may_be_billed(error) else 0.0


def if_billed(transport: Transport, member: Member) -> float | None:
    """Nobody knows what was billed, except of a member that is free."""
    return 0.0 if transport.price(member, Usage(1000, 1000)) == 0 else None
