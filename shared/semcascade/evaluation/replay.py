"""Replaying recorded rows through the engine: evaluation and production run the same code.

Rows are read, replayed and let go of a few at a time, so that the length of a file does not show in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self

from semcascade.config import CascadeConfig, Tier
from semcascade.decision import Decision
from semcascade.engine.cascade import Cascade
from semcascade.errors import CascadeError, ConfigError
from semcascade.evaluation.rows import Row, complete_rows
from semcascade.limits import Breaker
from semcascade.memory import shared_memory
from semcascade.messages import Candidate
from semcascade.transport.recorded import RecordedTransport

__all__ = ["Replayer", "answered", "batches", "cascade_to_judge", "replay", "replay_each", "tiers_of"]

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


def cascade_to_judge(ensemble: Sequence[str] | None, target: str | None, settings: Mapping[str, Any]) -> CascadeConfig:
    """Return the configuration of a cascade that has something to decide.

    Raises:
        ConfigError: If a setting is wrong, or the target is all there is.
    """
    config = CascadeConfig.build(ensemble=ensemble, target=target, **settings)
    if len(config.tiers) < 2:
        raise ConfigError("the target alone has nothing to decide; name members to ask before it", field="tiers")
    return config


async def replay_each(rows: Iterable[Row], config: CascadeConfig) -> AsyncIterator[tuple[Row, Decision]]:
    """Yield every row with the decision on it, in order; each row must have an answer of every member."""
    async with Replayer(config) as replayer:
        for some in batches(rows):
            for row, decision in zip(some, await replayer.decide(some), strict=True):
                yield row, decision


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield as many rows at a time as may be held."""
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_ONCE)):
        yield some


class Replayer:
    """Runs rows through the engine, over their recorded answers.

    Args:
        config: The cascade. What is for live queries is left out: caps, breakers, logs, who answers in the target's
            place. Recorded answers are all there: none is left out for the time it once took.

    Raises:
        ConfigError: If a setting is wrong.
    """

    def __init__(self, config: CascadeConfig) -> None:
        self._held: dict[str, Mapping[str, Sequence[Candidate]]] = {}
        self._memory = shared_memory()
        self._cascade = Cascade(
            config.model_copy(update=_UNGUARDED), transport=RecordedTransport(self._held), memory=self._memory
        )

    async def decide(self, rows: Sequence[Row]) -> list[Decision]:
        """Return the decision on each row; each must have an answer of every member."""
        self._held.update({row.id: {name: row.all_answers(name) for name in row.answers} for row in rows})
        try:
            return await asyncio.gather(*map(self._one, rows))
        finally:
            self._held.clear()

    async def _one(self, row: Row) -> Decision:
        options = {"tools": row.tools, "response_format": row.response_format, "recorded_id": row.id}
        try:
            return (await self._cascade.acomplete(list(row.messages), **options)).decision
        except CascadeError as error:  # the target failed when it was recorded
            if not isinstance(error.decision, Decision):
                raise
            return error.decision

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._memory.flush()
        await self._cascade.aclose()


_UNGUARDED: dict[str, Any] = {
    "budget": None,
    "breaker": Breaker(enabled=False),
    "fallback": (),
    "early_exit": "off",
    "speculate": "off",
    "drop_slow": None,
    "sticky": False,
    "log": None,
}


def answered(row: Row, tier: Tier) -> list[tuple[int, Candidate]]:
    """Return the answers that came of those that a tier asks for, each with its place among all of these."""
    found, place = list[tuple[int, Candidate]](), 0
    for member in tier.members:
        given = enumerate(row.all_answers(member.name)[: member.samples], start=place)
        found += [(at, answer) for at, answer in given if answer.ok]
        place += member.samples
    return found


def tiers_of(config: CascadeConfig) -> tuple[tuple[str, ...], ...]:
    """Return the names of each tier's members, the primary member first."""
    return tuple(
        tuple(member.name for member in sorted(tier.members, key=lambda member: -member.priority))
        for tier in config.tiers
    )
