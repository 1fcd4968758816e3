"""Calls that nobody waits for any more: cancelled at the provider, and charged all the same.

What a provider bills for a cancelled call is not told. It is charged as if it had answered in full: the prompt as its
siblings' prompts were counted, as many output tokens as they had in the mean, by its own prices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from semcascade.config import Member
from semcascade.decision import total_cost
from semcascade.engine.attempts import Tally, failed, if_billed
from semcascade.errors import CutShortError
from semcascade.messages import Candidate, Usage
from semcascade.transport.base import Transport

__all__ = ["LEFT", "cut_short", "mean_usage"]

LEFT = "left before it had answered"


def mean_usage(answers: Iterable[Candidate]) -> Usage | None:
    """Return what one more answer is likely to take, by those that came; None where none of them told.

    >>> mean_usage([Candidate("a", usage=Usage(10, 4)), Candidate("b", usage=Usage(12, 8))])
    Usage(input_tokens=11, output_tokens=6, cached_tokens=0, reasoning_tokens=0)
    """
    told = [answer.usage for answer in answers if answer.ok and answer.usage is not None]
    if not told:
        return None
    return Usage(
        round(sum(usage.input_tokens for usage in told) / len(told)),
        round(sum(usage.output_tokens for usage in told) / len(told)),
    )


def cut_short(
    transport: Transport, member: Member, tally: Tally, why: str, usage: Usage | None, *, latency_s: float = 0.0
) -> Candidate:
    """Return a candidate for a member that was asked and is not waited for; it is sent nothing more.

    Args:
        transport: Knows the member's prices.
        member: Who was asked.
        tally: What asking had taken until then.
        why: Why nobody waited.
        usage: What the answer is likely to have taken; None where nothing speaks for it.
        latency_s: Seconds that it had had.
    """
    requests = [tally] if tally.second is None else [tally, tally.second]
    for one in requests:
        one.told = True
    estimate = total_cost(_estimate(transport, member, one, usage) for one in requests)
    known = [cost for one in requests for cost in one.costs]
    attempts = sum(one.attempts for one in requests)
    candidate = failed(
        member, CutShortError(why, member=member.name), cost=total_cost([*known, estimate]), attempts=attempts
    )
    return dataclasses.replace(candidate, estimated_cost=estimate or 0.0, latency_s=latency_s)


def _estimate(transport: Transport, member: Member, tally: Tally, usage: Usage | None) -> float | None:
    first = tally.first
    requests = tally.in_flight if first is None else min(1, first.in_flight)
    if not requests:
        return 0.0
    if usage is None:
        return if_billed(transport, member)
    if first is not None:  # the prompt is billed with the first answer
        usage = Usage(0, usage.output_tokens)
    price = transport.price(member, usage)
    return None if price is None else requests * price
