"""Drift, told from a log of decisions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from semcascade.deferral.drift import Drift, TierCounts, drift_of
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

    The loss of an audited answer is what the audit found; in a log that was scored since (`score_file`), it is the
    quality of the target's answer minus that of the accepted one, where that is more than 0.

    Args:
        logs: The files, in order; one that was rotated away comes first.
        policy: The policy.
        max_loss: The most that may be lost per query; what the policy is certified for unless given.
        alpha: Probability, per look, that an unchanged stream is called drifted; see `semcascade.deferral.drift`.
        confidence: Share of streams for which the interval of the loss holds at all times.
        skipped: Is told what was left out: rows without a decision, or of another policy.

    Raises:
        InputError: If a file cannot be read, or holds no decision of this policy.
    """
    counts = [TierCounts()] * len(policy.tiers)
    losses = MeanSequence(confidence=confidence)
    others = undecided = 0
    for row in chain.from_iterable(read_rows(path, skipped=skipped) for path in logs):
        decision = row.decision
        if decision is None:
            undecided += 1
        elif decision.get("policy") not in (None, policy.digest):
            others += 1
        else:
            counts = _counted(counts, decision, row.where)
            loss = _loss(row, decision, policy.target)
            if loss is not None:
                losses.add(loss)
    if not any(tier.rows for tier in counts):
        raise InputError("there is no scored decision of this policy in the log", field="log")
    for number, what in ((undecided, "hold no decision"), (others, "were decided by another policy")):
        if number:
            skipped(f"{number} rows {what} and are left out")
    return drift_of(policy, counts, LossEstimate.of(losses), max_loss=max_loss, alpha=alpha)


def _counted(counts: list[TierCounts], decision: Mapping[str, Any], where: str) -> list[TierCounts]:
    """Return the counts with the tiers of one decision.

    Raises:
        InputError: If the decision is not one of a log.
    """
    counts = list(counts)
    tiers = decision.get("tiers")
    if not isinstance(tiers, list) or not all(isinstance(tier, dict) for tier in tiers):
        raise InputError("'decision' holds no tiers: is this a log of decisions?", field=where)
    for tier in tiers:
        score = tier.get("score")
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1):
            raise InputError(f"the score of a tier is {score!r}, not a number from 0 to 1", field=where)
        place = tier.get("index")
        if tier.get("signal") is not None and isinstance(place, int) and 0 <= place < len(counts):
            counts[place] = counts[place].after(score, accepted=tier.get("accepted") is True)
    return counts


def _loss(row: Row, decision: Mapping[str, Any], target: str) -> float | None:
    """Return what an audited answer lost against the target's; None where it was not audited."""
    audit = decision.get("audit")
    if not isinstance(audit, Mapping):
        return None
    member = str(decision.get("member"))
    if member in row.scores and target in row.scores:
        return max(0.0, row.scores[target] - row.scores[member])
    loss = audit.get("loss")
    if loss is None:
        return None
    if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss <= 1:
        raise InputError(f"the loss of an audit is {loss!r}, not a number from 0 to 1", field=row.where)
    return float(loss)
