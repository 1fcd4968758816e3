"""Where a query starts, before any answer: at the first tier, at a later one, or at the target at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self, TypeAlias

import numpy as np

from semcascade.config import CascadeConfig
from semcascade.decision import Route, one_line
from semcascade.deferral.complexity import Complexity, query_complexity
from semcascade.deferral.neighbours import HASHED, WIDTH
from semcascade.deferral.policy import Policy
from semcascade.deferral.router import RouterPolicy
from semcascade.deferral.tables import FloatArray
from semcascade.deferral.wording import hashed
from semcascade.errors import ConfigError, SemcascadeError
from semcascade.messages import Request, question_text
from semcascade.similarity.embedding import Embedding

__all__ = ["Embedder", "Entry", "embedder_of", "entry_of"]

Embedder: TypeAlias = Callable[[Sequence[str]], Awaitable[FloatArray]]
"""Texts → vectors, (n, width)."""


Said: TypeAlias = tuple[int, dict[str, Any]]
"""The place of a tier in the whole cascade, and what the route says about it: a reason, numbers."""


class Chooser(Protocol):
    """Says at which tier a query should start."""

    async def choose(self, text: str, seen: Complexity) -> Said:
        """Return the tier, and why."""


_BRIEF = 4_000
"""Characters of a query that are looked at without leaving the event loop."""


@dataclass(frozen=True)
class Entry:
    """The router of one cascade.

    Attributes:
        names: The names of all tiers, in order.
        chooser: What decides.
    """

    names: tuple[str, ...]
    chooser: Chooser

    async def route(self, request: Request, tiers: Sequence[str], *, target_well: bool, seconds: float) -> Route:
        """Return where a query starts.

        Args:
            request: What is asked.
            tiers: The names of the tiers that may still be asked, in order; the target is the last.
            target_well: Whether the target can be asked at the moment; no query is sent straight to it otherwise.
            seconds: How long that may take. What fails, or takes longer, starts at the first tier.
        """
        text = question_text(request.messages)
        looking = partial(query_complexity, text, tools=len(request.tools))
        seen = looking() if len(text) <= _BRIEF else await asyncio.to_thread(looking)
        place, said = await self._chosen(text, seen, seconds)
        start = next(index for index, name in enumerate(tiers) if self.names.index(name) >= place)
        if start == len(tiers) - 1 > 0 and not target_well:
            start, said = 0, said | {"reason": f"the target cannot be asked at the moment; {said['reason']}"}
        return Route(tier=tiers[start], skipped=tuple(tiers[:start]), complexity=seen.value, **said)

    async def prepare(self) -> None:
        """Load what the first query would wait for.

        Raises:
            SemcascadeError: If a model cannot be loaded.
        """
        await self.chooser.choose("", query_complexity(""))

    async def _chosen(self, text: str, seen: Complexity, seconds: float) -> Said:
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                return await self.chooser.choose(text, seen)
        except TimeoutError:
            why = "it was not ready in time"
        except SemcascadeError as error:
            why = one_line(str(error), 200)
        return 0, {"reason": f"the router could not say where to start: {why}"}


@dataclass(frozen=True)
class ByComplexity:
    """Starts queries later, the more they ask for.

    Attributes:
        thresholds: The complexity from which on a query starts at each tier after the first.
    """

    thresholds: tuple[float, ...]

    async def choose(self, text: str, seen: Complexity) -> Said:
        """Return the last tier whose threshold the query reaches."""
        place = max((at for at, least in enumerate(self.thresholds, 1) if seen.value >= least), default=0)
        threshold = self.thresholds[place - 1] if place else min(self.thresholds)
        reason = f"{seen.reason} {'≥' if place else '<'} {threshold:.2f}"
        return place, {"reason": reason, "threshold": threshold}


@dataclass(frozen=True)
class ByPolicy:
    """Starts queries where a fitted router expects it to cost least.

    Attributes:
        router: The router.
        embedder: Makes its vectors, where it has past queries.
    """

    router: RouterPolicy
    embedder: Embedder | None

    @classmethod
    def of(cls, router: RouterPolicy) -> Self:
        """Return what decides by a router.

        Raises:
            ConfigError: If its embedding is none that can be had.
        """
        neighbours = router.neighbours
        return cls(router, None if neighbours is None else embedder_of(neighbours.embedding, neighbours.width))

    async def choose(self, text: str, seen: Complexity) -> Said:
        """Return where the query is expected to cost least, and no quality."""
        vectors = None if self.embedder is None else await self.embedder([text])
        found = self.router.outlooks([seen], vectors)[0]
        return found.start, {
            "reason": found.reason,
            "threshold": found.threshold,
            "deferred": found.deferred,
            "costs": found.costs,
            "qualities": found.qualities,
            "entropy": found.entropy,
        }


def embedder_of(name: str, width: int | None = None) -> Embedder:
    """Return what makes vectors of queries.

    Args:
        name: `"hashed"`, or the id of a sentence-transformers model.
        width: How many numbers a vector must have; whatever a model gives unless given.

    Raises:
        ConfigError: If a model is no local one.
    """
    if name == HASHED:

        async def hashing(texts: Sequence[str]) -> FloatArray:
            return np.array([hashed(text, width or WIDTH) for text in texts])

        return hashing
    model = Embedding(name)
    if model.remote:
        raise ConfigError(f"{name} is a service; queries are looked up by a model of one's own", field="router")

    async def embedding(texts: Sequence[str]) -> FloatArray:
        vectors = await model.avectors(texts)
        if width is not None and vectors.shape[1] != width:
            raise ConfigError(f"{name} gives vectors of {vectors.shape[1]} numbers, not of {width}", field="router")
        return vectors

    return embedding


def entry_of(config: CascadeConfig, policy: Policy | None) -> Entry | None:
    """Return the router that the settings ask for, else the policy's; None where queries start at the first tier.

    Raises:
        ConfigError: If the policy has a router and another one is asked for, or if its guarantee needs the one it has.
    """
    fitted, asked = (None if policy is None else policy.router), config.router
    names = tuple(tier.name for tier in config.tiers)
    if asked is None or (asked.enabled and not asked.thresholds):
        return None if fitted is None else Entry(names, ByPolicy.of(fitted))
    if fitted is not None and asked.thresholds:
        raise ConfigError("the policy has a router of its own; give one or the other", field="router")
    if fitted is not None and policy is not None and policy.certificate is not None and policy.certificate.certified:
        raise ConfigError(
            "what the policy promises was certified with its router in place; fit one without it", field="router"
        )
    if not asked.thresholds:
        return None
    later = len(names) - 1
    thresholds = asked.thresholds if len(asked.thresholds) == later else (*[2.0] * (later - 1), asked.thresholds[0])
    return Entry(names, ByComplexity(thresholds))
