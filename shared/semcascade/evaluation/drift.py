"""Drift, told from a log of decisions."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from semcascade.deferral.drift import Drift, TierCounts, drift_of
from semcascade.deferral.losses import Yardstick
from semcascade.deferral.policy import Policy
from semcascade.deferral.sequence import LossEstimate, MeanSequence
from semcascade.errors import InputError
from semcascade.evaluation.rows import Row, read_rows

__all__ = ["drift_of_log"]

_log = logging.getLogger(__name__)


def drift_of_log(
    logs: Iterable[str | Path],
    policy: Policy,
    *,
    max_loss: float | None = None,
    alpha: float = 0.01,
    confidence: float = 0.95,
    skipped: Callable[[str], None] = _log.warning,
) -> Drift:
    """Hold the decisions of a log against the policy that made them.

    A loss is what the policy's certificate bounds, else the quality lost against the target. Qualities are those of a
    log that was scored since (`score_file`), the same way as the rows of the fit; without scores, how like the target's
    answer the accepted one was stands in, where the policy was fitted to likeness, too.

    Args:
        logs: The files, in order; one that was rotated away comes first.
        policy: The policy.
        max_loss: The most that may be lost per query; what the policy is certified for unless given.
        alpha: Probability, per look, that an unchanged stream is called drifted; see `semcascade.deferral.drift`.
        confidence: Share of streams for which the interval of the loss holds at all times.
        skipped: Is told what was left out: rows without a decision or of another policy, audits that do not tell.

    Raises:
        InputError: If a file cannot be read or is named twice, or none holds a decision of this policy.
        ConfigError: If `max_loss` or `alpha` is no probability.
    """
    counts = [TierCounts()] * len(policy.tiers)
    losses = MeanSequence(confidence=confidence)
    yardstick = Yardstick.of(policy)
    undecided = untold = 0
    others = Counter[str]()
    logs = [Path(path) for path in logs]
    twice = next((path for path in logs if logs.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is named twice; its decisions would count twice", field="log")
    for row in chain.from_iterable(read_rows(path, skipped=skipped) for path in logs):
        decision = row.decision
        if decision is None:
            undecided += 1
        elif decision.get("policy") not in (None, policy.digest):
            others[str(decision["policy"])[:40]] += 1
        else:
            counts = _counted(counts, decision, row.where)
            audit = decision.get("audit")
            if isinstance(audit, Mapping):
                loss = _loss(row, decision, audit, policy.target, yardstick)
                untold += loss is None
                if loss is not None:
                    losses.add(loss)
    if not any(tier.rows or tier.passed for tier in counts):
        raise InputError(f"there is no scored decision of this policy in the log{_whose(policy, others)}", field="log")
    for number, what in ((undecided, "hold no decision"), (others.total(), "were decided by another policy")):
        if number:
            skipped(f"{number} rows {what} and are left out")
    if untold:
        skipped(f"{untold} audits do not tell what the policy promises: {_missing(policy, yardstick)}")
    return drift_of(policy, counts, LossEstimate.of(losses), max_loss=max_loss, alpha=alpha)


def _whose(policy: Policy, others: Counter[str]) -> str:
    if not others:
        return "; log = {path = ...} in the cascade's settings writes one"
    digest, rows = others.most_common(1)[0]
    told = f"{rows} of its decisions were made by the policy {digest}, this one is {policy.digest}"
    return f"; {told}: give that policy's file (semcascade policy FILE tells which it is)"


def _counted(counts: list[TierCounts], decision: Mapping[str, Any], where: str) -> list[TierCounts]:
    """Return the counts with the tiers of one decision.

    Raises:
        InputError: If the decision is not one of a log.
    """
    counts = list(counts)
    tiers = decision.get("tiers")
    if not isinstance(tiers, list) or not all(isinstance(tier, dict) for tier in tiers):
        raise InputError("'decision' holds no tiers: is this a log of decisions?", field=where)
    for place in _passed(decision):
        if 0 <= place < len(counts):
            counts[place] = counts[place].passed_by()
    for tier in tiers:
        score = tier.get("score")
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1):
            raise InputError(f"the score of a tier is {score!r}, not a number from 0 to 1", field=where)
        place = tier.get("index")
        if tier.get("signal") is not None and isinstance(place, int) and 0 <= place < len(counts):
            counts[place] = counts[place].after(score, accepted=tier.get("accepted") is True)
    return counts


def _passed(decision: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the tiers that a router left out."""
    route = decision.get("route")
    places = route.get("indices") if isinstance(route, Mapping) else None
    return [place for place in places if type(place) is int] if isinstance(places, list) else []


def _loss(
    row: Row, decision: Mapping[str, Any], audit: Mapping[str, Any], target: str, yardstick: Yardstick
) -> float | None:
    """Return what an audited answer lost; None where that cannot be told."""
    member = str(decision.get("member"))
    if member in row.scores and target in row.scores:
        return yardstick.of_scores(row.scores[member], row.scores[target])
    unlike = audit.get("loss")
    if unlike is None:  # the target failed
        return None
    if isinstance(unlike, bool) or not isinstance(unlike, int | float) or not 0 <= unlike <= 1:
        raise InputError(f"the loss of an audit is {unlike!r}, not a number from 0 to 1", field=row.where)
    return yardstick.of_unlikeness(float(unlike))


def _missing(policy: Policy, yardstick: Yardstick) -> str:
    if yardstick.claim != "graded" and yardstick.bar is None:
        return "it does not say which answers are bad"
    if yardstick.likeness:
        return "the target failed"
    way = policy.data.quality if policy.data is not None else "scores"
    return f"score the log the way the rows of the fit were scored ({way}): semcascade score LOG --by WAY --out SCORED"
