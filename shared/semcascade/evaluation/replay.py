"""Replaying recorded rows through the engine: evaluation and production run the same code.

Rows are read, replayed and let go of a few at a time, so that the length of a file does not show in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from semcascade.config import CascadeConfig
from semcascade.decision import Decision
from semcascade.engine.cascade import Cascade
from semcascade.errors import CascadeError
from semcascade.evaluation.rows import Row, complete_rows
from semcascade.limits import Breaker
from semcascade.messages import Candidate
from semcascade.transport.recorded import RecordedTransport

__all__ = ["replay", "replay_each", "tiers_of"]

_AT_ONCE = 64
"""Rows that are held and under way at once."""


async def replay(
    rows: Iterable[Row], ensemble: Sequence[str] | None = None, target: str | None = None, **settings: Any
) -> list[Decision]:
    """Run every row through the engine, over its recorded answers, and return the decisions in order.

    Args:
        rows: The rows; those that lack an answer of one of the systems are left out.
        ensemble: Systems of the ensemble; the first is the primary member.
        target: System of the target.
        **settings: Further settings of `CascadeConfig`, e.g. `tiers` instead of `ensemble` and `target`.

    Raises:
        InputError: If no row has an answer of every system.
        ConfigError: If a setting is wrong.
    """
    config = CascadeConfig.build(ensemble=ensemble, target=target, **settings).without_fallback()
    complete = complete_rows(rows, [member.name for member in config.members()])
    return [decision async for _, decision in replay_each(complete, config)]


async def replay_each(rows: Iterable[Row], config: CascadeConfig) -> AsyncIterator[tuple[Row, Decision]]:
    """Yield every row with the decision on it, in order; each row must have an answer of every member."""
    waiting = iter(rows)
    held: dict[str, Mapping[str, Sequence[Candidate]]] = {}
    async with Cascade(_unguarded(config), transport=RecordedTransport(held)) as cascade:

        async def one(row: Row) -> Decision:
            options = {"tools": row.tools, "response_format": row.response_format, "recorded_id": row.id}
            try:
                return (await cascade.acomplete(list(row.messages), **options)).decision
            except CascadeError as error:  # the target failed when it was recorded
                if not isinstance(error.decision, Decision):
                    raise
                return error.decision

        while batch := list(islice(waiting, _AT_ONCE)):
            held.update({row.id: {name: row.all_answers(name) for name in row.answers} for row in batch})
            for row, decision in zip(batch, await asyncio.gather(*map(one, batch)), strict=True):
                yield row, decision
            held.clear()


def _unguarded(config: CascadeConfig) -> CascadeConfig:
    """Return the configuration without what is for live queries: caps, breakers, who answers in the target's place.

    Recorded answers are all there: none is left out for the time it once took.
    """
    return config.model_copy(
        update={
            "budget": None,
            "breaker": Breaker(enabled=False),
            "fallback": (),
            "early_exit": "off",
            "speculate": "off",
            "drop_slow": None,
            "sticky": False,
        }
    )


def tiers_of(config: CascadeConfig) -> tuple[tuple[str, ...], ...]:
    """Return the names of each tier's members, the primary member first."""
    return tuple(
        tuple(member.name for member in sorted(tier.members, key=lambda member: -member.priority))
        for tier in config.tiers
    )
