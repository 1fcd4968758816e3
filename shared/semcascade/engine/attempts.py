"""Asking one member until it answers, fails for good, or time is up."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from semcascade.config import CascadeConfig, Member
from semcascade.decision import total_cost
from semcascade.errors import MalformedReplyError, MemberError, MemberTimeoutError
from semcascade.messages import Candidate, Conversation, Request, Usage
from semcascade.redaction import redact
from semcascade.transport.base import Transport

__all__ = [
    "Deadline", "Patience", "as_member_error", "ask", "backoff", "cost_of_failure", "failed", "left", "with_preamble",
]  # fmt: skip

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0


class _LateError(MemberTimeoutError):
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
    """How long and how often a member is asked.

    Attributes:
        timeout: Seconds for one attempt.
        max_retries: How often a failed attempt is repeated.
        deadline: When the whole query must be over.
    """

    timeout: float
    max_retries: int
    deadline: Deadline = Deadline()

    @classmethod
    def of(cls, member: Member, config: CascadeConfig, deadline: Deadline) -> Patience:
        """Return the member's own limits, else the cascade's."""
        return cls(
            config.timeout if member.timeout is None else member.timeout,
            config.max_retries if member.max_retries is None else member.max_retries,
            deadline,
        )

    def refuse_late(self, member: Member) -> None:
        """Do not begin what there is no time for; it would be a request that nobody waits for.

        Raises:
            MemberTimeoutError: If the query's deadline has passed.
        """
        if self.deadline.remaining() <= 0:
            raise _LateError("not asked, as the query's deadline had passed", member=member.name)

    @asynccontextmanager
    async def bound(self, member: Member) -> AsyncIterator[None]:
        """Bound one attempt, or the wait for one piece of a stream.

        Transports are told the member's own timeout, the same every time: clients are kept by it, and one made for
        what a query has left would never be used again.

        Raises:
            MemberTimeoutError: If it took longer.
        """
        seconds = max(0.0, min(self.timeout, self.deadline.remaining()))
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            whose = "the query's deadline" if self.deadline.remaining() <= 0 else f"its timeout of {seconds:g} s"
            raise MemberTimeoutError(f"no answer within {whose}", member=member.name) from None


async def ask(transport: Transport, member: Member, request: Request, patience: Patience, sample: int = 0) -> Candidate:
    """Ask for one whole answer; a failure comes back as a candidate that carries it.

    The latency runs from the first attempt to the end; the cost covers every attempt.
    """
    request = with_preamble(request, member)
    started = time.monotonic()
    costs: list[float | None] = []
    for attempt in range(1, patience.max_retries + 2):
        try:
            patience.refuse_late(member)
            async with patience.bound(member):
                answer = await transport.complete(member, request, timeout=patience.timeout, sample=sample)
            if not isinstance(answer, Candidate):
                raise MalformedReplyError(  # noqa: TRY301
                    f"its transport answered with a {type(answer).__name__}, not a Candidate", member=member.name
                )
        except Exception as raised:  # noqa: BLE001 - a transport may raise anything; the query goes on
            error = as_member_error(raised, member)
            costs.append(cost_of_failure(transport, member, error))
            pause = backoff(error, attempt)
            if not error.retryable or attempt > patience.max_retries or pause >= patience.deadline.remaining():
                return failed(member, error, cost=total_cost(costs), started=started, attempts=attempt)
            await asyncio.sleep(pause)
        else:
            return dataclasses.replace(
                answer,
                member=member.name,
                cost=total_cost([*costs, answer.cost]),
                latency_s=answer.latency_s or time.monotonic() - started,
                attempts=attempt - 1 + answer.attempts,
            )
    raise AssertionError("unreachable: the last attempt returns")


def failed(
    member: Member, error: MemberError, *, cost: float | None = 0.0, started: float | None = None, attempts: int = 0
) -> Candidate:
    """Return a candidate that carries a failure."""
    latency = 0.0 if started is None else time.monotonic() - started
    attempts -= isinstance(error, _LateError)
    return Candidate(member.name, cost=cost, latency_s=latency, attempts=attempts, failure=_detached(error))


def left(transport: Transport, member: Member) -> Candidate:
    """Return a candidate for a member that was asked, and nobody waited for its answer; it may have been billed."""
    error = MemberError("left before it had answered", member=member.name)
    return failed(member, error, cost=_if_billed(transport, member), attempts=1)


def _detached(error: MemberError) -> MemberError:
    """Drop the tracebacks along the chain: a record must not keep frames, and the secrets in them, alive."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


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
    billed = isinstance(error, MemberTimeoutError | MalformedReplyError) and not isinstance(error, _LateError)
    return _if_billed(transport, member) if billed else 0.0


def _if_billed(transport: Transport, member: Member) -> float | None:
    """Nobody knows what was billed, except of a member that is free."""
    return 0.0 if transport.price(member, Usage(1000, 1000)) == 0 else None
