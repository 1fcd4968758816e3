"""Getting every member and similarity ready before anything is spent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from semcascade.engine.attempts import Deadline, as_member_error, failed
from semcascade.engine.loop import ENDING, EngineLoop, is_ending
from semcascade.engine.query import Inquiry
from semcascade.errors import DeadlineExceededError, SemcascadeError
from semcascade.redaction import redact
from semcascade.transport.base import Transport

__all__ = ["make_ready"]


async def make_ready(inquiry: Inquiry) -> None:
    """Get every member ready; wrong settings are told here, before anything is spent.

    A member that cannot be made ready is left out of its tier; the target's failure is raised, unless others may answer
    in its place.

    Raises:
        SemcascadeError: If the target or a similarity cannot be made ready, or a member is sure to fail.
    """
    plan, only, deadline = inquiry.plan, inquiry.only, inquiry.deadline
    members = (*plan.config.members(), *plan.judges) if only is None else (only,)
    slow = [member for member in members if _prepares(inquiry.transport(member))]
    errors = await asyncio.gather(
        *(_in_time(inquiry.transport(member).prepare(member), member.name, deadline) for member in slow)
    )
    EngineLoop.shared().end_before_litellm()  # which may have been imported just now
    why = {id(member): error for member, error in zip(slow, errors, strict=True) if error is not None}
    for member in members:
        error = why.get(id(member))
        if error is None:
            inquiry.transport(member).check(member)
        elif member is inquiry.target and not (plan.config.fallback and only is None):
            raise error
        else:
            inquiry.unready[id(member)] = failed(member, as_member_error(error, member))
    for scorer in plan.scorers if only is None else ():
        if scorer.ready:
            continue
        error = await _in_time(scorer.prepare(), f"similarity {scorer.similarity.name}", deadline)
        if error is not None:
            raise error


def _prepares(transport: Transport) -> bool:
    """Whether there is anything to wait for; most transports are ready as they are."""
    return type(transport).prepare is not Transport.prepare


async def _in_time(preparing: Awaitable[None], name: str, deadline: Deadline) -> SemcascadeError | None:
    """Wait for a preparation within the query's deadline; return why it failed, or None."""
    left = deadline.remaining()
    try:
        async with asyncio.timeout(None if left == float("inf") else left):
            await preparing
    except TimeoutError:
        return DeadlineExceededError(f"{name} was not ready before the query's deadline")
    except SemcascadeError as error:
        return error
    except Exception as error:  # noqa: BLE001 - one's own transport may raise anything; the query goes on
        why = ENDING if is_ending() else redact(str(error) or type(error).__name__)
        unready = SemcascadeError(f"{name} could not be made ready: {why}")
        unready.__cause__ = error
        return unready
    return None
