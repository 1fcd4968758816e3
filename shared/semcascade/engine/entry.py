"""Where a query starts, before any answer: at the first tier, at a later one, or at the target at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from semcascade.config import CascadeConfig
from semcascade.decision import Route
from semcascade.deferral.complexity import Complexity, query_complexity
from semcascade.deferral.policy import Policy
from semcascade.deferral.router import RouterPolicy
from semcascade.errors import ConfigError
from semcascade.messages import Request, question_text

__all__ = ["Entry", "entry_of"]


class Chooser(Protocol):
    """Says at which tier, by its place in the whole cascade, a query should start."""

    def choose(self, text: str, seen: Complexity) -> tuple[int, dict[str, object]]:
        """Return the place, and what the route says about it: a reason, numbers."""


@dataclass(frozen=True)
class Entry:
    """The router of one cascade.

    Attributes:
        names: The names of all tiers, in order.
        chooser: What decides.
    """

    names: tuple[str, ...]
    chooser: Chooser

    def route(self, request: Request, tiers: Sequence[str], *, target_well: bool) -> Route:
        """Return where a query starts.

        Args:
            request: What is asked.
            tiers: The names of the tiers that may still be asked, in order; the target is the last.
            target_well: Whether the target can be asked at the moment; no query is sent straight to it otherwise.
        """
        text = question_text(request.messages)
        seen = query_complexity(text, tools=len(request.tools))
        place, said = self.chooser.choose(text, seen)
        start = next(index for index, name in enumerate(tiers) if self.names.index(name) >= place)
        if start == len(tiers) - 1 > 0 and not target_well:
            start, said = 0, said | {"reason": f"the target cannot be asked at the moment; {said['reason']}"}
        return Route(tier=tiers[start], skipped=tuple(tiers[:start]), complexity=seen.value, **said)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ByComplexity:
    """Starts queries later, the more they ask for.

    Attributes:
        thresholds: The complexity from which on a query starts at each tier after the first.
    """

    thresholds: tuple[float, ...]

    def choose(self, text: str, seen: Complexity) -> tuple[int, dict[str, object]]:
        """Return the last tier whose threshold the query reaches."""
        place = max((at for at, least in enumerate(self.thresholds, 1) if seen.value >= least), default=0)
        threshold = self.thresholds[place - 1] if place else min(self.thresholds)
        reason = f"{seen.reason} {'≥' if place else '<'} {threshold:.2f}"
        return place, {"reason": reason, "threshold": threshold}


@dataclass(frozen=True)
class ByPolicy:
    """Starts queries where a fitted router expects it to cost least."""

    router: RouterPolicy

    def choose(self, text: str, seen: Complexity) -> tuple[int, dict[str, object]]:
        """Return where the query is expected to cost least, and no quality."""
        neighbours = self.router.neighbours
        vectors = None if neighbours is None else neighbours.embed(text)[np.newaxis]
        found = self.router.outlooks([seen], vectors)[0]
        return found.start, {
            "reason": found.reason,
            "threshold": found.threshold,
            "deferred": found.deferred,
            "costs": found.costs,
            "qualities": found.qualities,
            "entropy": found.entropy,
        }


def entry_of(config: CascadeConfig, policy: Policy | None) -> Entry | None:
    """Return the router that the settings ask for, else the policy's; None where queries start at the first tier.

    Raises:
        ConfigError: If the policy has a router and another one is asked for, or if its guarantee needs the one it has.
    """
    fitted, asked = (None if policy is None else policy.router), config.router
    names = tuple(tier.name for tier in config.tiers)
    if asked is None or (asked.enabled and not asked.thresholds):
        return None if fitted is None else Entry(names, ByPolicy(fitted))
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
