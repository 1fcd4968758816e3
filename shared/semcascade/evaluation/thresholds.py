"""Which score is good enough: thresholds that reach a goal, or that the rows certify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.deferral.certificate import Certificate
from semcascade.deferral.guarantees import (
    Certified,
    certify_graded,
    certify_joint,
    certify_selective,
    conformal_joint,
    promising_start,
)
from semcascade.errors import ConfigError
from semcascade.evaluation.curve import FloatArray, Outcome
from semcascade.evaluation.goals import Goal

__all__ = ["Settled", "TierRows", "certify", "reach", "within"]


@dataclass(frozen=True)
class TierRows:
    """What one tier says of some rows.

    Attributes:
        scores: (n,) reliabilities; NaN where undefined.
        accepted: (n,) quality of the answers that the tier would return.
        target: (n,) quality of the target's.
    """

    scores: FloatArray
    accepted: FloatArray
    target: FloatArray

    def losses(self, goal: Goal) -> FloatArray:
        """Return (n,) what accepting loses by the goal's claim, 0 to 1."""
        if goal.claim == "graded":
            return np.clip(self.target - self.accepted, 0.0, 1.0)
        if goal.claim == "regret":
            return (self.accepted < self.target - goal.worse).astype(np.float64)
        return (self.accepted < goal.good).astype(np.float64)


@dataclass(frozen=True)
class Settled:
    """What was settled for one tier: its threshold, None to accept nothing, and what is promised."""

    threshold: float | None
    certificate: Certificate | None = None
    notes: tuple[str, ...] = ()


def reach(goal: Goal, outcome: Outcome, going_on: Sequence[float]) -> list[Settled]:
    """Return the thresholds that reach a goal on rows that the scores were not fitted on.

    With several tiers, one exchange rate λ between quality and cost serves all: a tier's answer is accepted iff what
    going on is predicted to gain is worth less than λ times what going on costs (cascade routing; Dekoninck, Baader,
    Vechev 2025, arXiv 2410.10347).

    Args:
        goal: A cost, a rate or a quality.
        outcome: What each tier would answer, with its scores.
        going_on: What going on from each tier costs.

    Raises:
        ConfigError: If no threshold reaches the goal.
    """
    weighed = _weighed(outcome, going_on)
    curve = weighed.curve
    if goal.escalation_rate is not None:
        fits = curve.rate <= goal.escalation_rate + 1e-9
    elif goal.max_cost is not None:
        fits = curve.cost <= goal.max_cost + 1e-9
        if not fits.any():
            least = f"asking the first tier alone costs {curve.cost[0]:.0%} of the target"
            raise ConfigError(f"{goal.max_cost:.0%} of the target's cost cannot be reached: {least}", field="max_cost")
    else:
        fits = curve.quality >= (goal.min_quality or 0.0) - 1e-9
        if not fits.any():
            best = f"the best that any threshold reaches on these rows is {curve.quality.max():.3f}"
            raise ConfigError(f"{goal.min_quality:g} cannot be reached: {best}", field="min_quality")
    places = np.flatnonzero(fits)
    place = places[0] if goal.min_quality is not None else places[np.argmax(curve.quality[places])]
    if goal.escalation_rate is not None:
        place = places[-1]
    common = _between(curve.threshold, int(place))
    said = f"on the rows of the fit: {curve.rate[place]:.0%} deferred, quality {curve.quality[place]:.3f}"
    return [
        Settled(_of_tier(common, dear / max(going_on)), notes=(said,) if number == 0 else ())
        for number, dear in enumerate(going_on)
    ]


def _weighed(outcome: Outcome, going_on: Sequence[float]) -> Outcome:
    """Measure each tier's predicted gain in what going on costs there, so that one threshold serves all tiers."""
    if len(going_on) == 1:
        return outcome
    share = np.array(going_on)[:, None] / max(going_on)
    reliability = 0.5 + (outcome.reliability - 0.5) / np.maximum(share, 1e-9)
    return Outcome(reliability, outcome.quality, outcome.cost, outcome.member_quality, outcome.member_cost)


def _between(thresholds: FloatArray, place: int) -> float:
    """Return a threshold between the scores on either side, so that rounding does not matter; ±inf at the ends."""
    at = thresholds[place]
    if place == 0 or not np.isfinite(at):
        return float("-inf") if place == 0 else float("inf")
    below = thresholds[place - 1]
    return float((at + below) / 2) if np.isfinite(below) else float(at)


def _of_tier(common: float, share: float) -> float | None:
    if common == float("inf"):
        return None
    return float(np.clip(0.5 + (common - 0.5) * share, 0.0, 1.0)) if np.isfinite(common) else 0.0


def within(goal: Goal, rows: TierRows, tiers: int) -> float | None:
    """Return the threshold that keeps a goal's bound on these rows, with nothing to spare for other rows.

    Args:
        goal: A loss.
        rows: What a tier says of them.
        tiers: Among how many tiers the loss is shared out.
    """
    limit, losses = (goal.max_loss or 0.0) / tiers, rows.losses(goal)
    if goal.claim in {"selective", "regret"}:
        return promising_start(rows.scores, losses, limit, 1.0 - (goal.confidence or 0.5), len(losses))
    return conformal_joint(rows.scores, losses, limit, claim=goal.claim).threshold


def certify(goal: Goal, held_out: Sequence[TierRows], fitted: Sequence[TierRows]) -> list[Settled]:
    """Return the least thresholds that hold a guarantee, each with its certificate.

    Loss and failure probability are shared out evenly among the tiers.

    Args:
        goal: A loss.
        held_out: What each tier says of rows that nothing was fitted on.
        fitted: What each tier says of the rows of the fit, by tables fitted without them.

    Raises:
        ConfigError: If the claim cannot be made for several tiers.
    """
    tiers, limit = len(held_out), goal.max_loss or 0.0
    if tiers > 1 and goal.claim in {"selective", "regret"}:
        raise ConfigError(f"{goal.claim} claims are made for one tier before the target; use 'joint'", field="claim")
    delta = None if goal.confidence is None else (1.0 - goal.confidence) / tiers
    bar = {"graded": None, "regret": goal.worse}.get(goal.claim, goal.good)
    settled = []
    for rows, known in zip(held_out, fitted, strict=True):
        found = _certified(goal, rows, known, limit / tiers, delta)
        certificate = found.certificate.model_copy(update={"bar": bar})
        settled.append(Settled(found.threshold, certificate, _feasible(goal, rows, limit)))
    return settled


def _certified(goal: Goal, rows: TierRows, known: TierRows, limit: float, delta: float | None) -> Certified:
    losses = rows.losses(goal)
    if delta is None:
        return conformal_joint(rows.scores, losses, limit, claim=goal.claim)
    if goal.claim in {"selective", "regret"}:
        start = promising_start(known.scores, known.losses(goal), limit, delta, len(losses))
        return certify_selective(rows.scores, losses, limit, delta, start=start, claim=goal.claim)
    if goal.claim == "graded" and not np.isin(losses, (0.0, 1.0)).all():
        return certify_graded(rows.scores, losses, limit, delta)
    found = certify_joint(rows.scores, losses, limit, delta)
    return Certified(found.threshold, found.certificate.model_copy(update={"claim": goal.claim}))


def _feasible(goal: Goal, rows: TierRows, limit: float) -> tuple[str, ...]:
    """Say what even a perfect score would have to defer."""
    losses = rows.losses(goal)
    base = float(losses.mean())
    if goal.claim in {"selective", "regret"}:
        least = max(0.0, (base - limit) / (1.0 - limit))
    else:  # of the losing rows, the costliest must go until what is left is within the limit
        ordered = np.sort(losses)
        least = float((np.cumsum(ordered) > limit * len(losses)).mean())
    if least <= 0:
        return ()
    return (f"accepting every answer would come to {base:.3f}; even a perfect score must defer {least:.0%}",)
