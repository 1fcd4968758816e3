"""Getting every member and similarity ready before anything is spent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from semcascade.engine.attempts import Deadline, as_member_error, failed
from semcascade.engine.loop import ENDING, EngineLoop, is_ending
from semcascade.engine.query import Inquiry
from semcascade.errors import DeadlineExceededError, SemcascadeError
from semcascade.member import Member
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
    asked = [(member, inquiry.transport(member)) for member in members]
    why = await _unprepared([(member, transport) for member, transport in asked if _prepares(transport)], deadline)
    for member, transport in asked:
        error = why.get(id(member))
        if error is None:
            transport.check(member)
        elif member is inquiry.target and not (plan.config.fallback and only is None):
            raise error
        else:
            inquiry.unready[id(member)] = failed(member, as_member_error(error, member))
    for scorer in plan.scorers if only is None else ():
        if scorer.ready:
            continue
        error = await _in_time(scorer.prepare, f"similarity {scorer.similarity.name}", deadline)
        if error is not None:
            raise error


async def _unprepared(
    members: Sequence[tuple[Member, Transport]], deadline: Deadline
) -> dict[int, SemcascadeError | None]:
    """Prepare members all at once; return by the identity of each why it failed, or None."""
    if not members:
        return {}
    errors = await asyncio.gather(
        *(_in_time(partial(transport.prepare, member), member.name, deadline) for member, transport in members)
    )
    EngineLoop.shared().end_before_litellm()  # which may have been imported just now
    return {id(member): error for (member, _), error in zip(members, errors, strict=True)}


def _prepares(transport: Transport) -> bool:
    """Whether there is anything to wait for; most transports are ready as they are."""
    return type(transport).prepare is not Transport.prepare


async def _in_time(prepare: Callable[[], Awaitable[None]], name: str, deadline: Deadline) -> SemcascadeError | None:
    """Prepare within the query's deadline; return why it failed, or None."""
    left = deadline.remaining()
    try:
        async with asyncio.timeout(None if left == float("inf") else left):
            await prepare()
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
