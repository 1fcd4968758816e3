"""What a fitted tier says about one query's answers: which one, how good, and whether that will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.deferral.policy import QualityModel, TierPolicy
from semcascade.deferral.rules import TIE, Verdict
from semcascade.deferral.selection import Choice
from semcascade.deferral.tables import FloatArray

__all__ = ["Judgement", "decide", "judge", "predict"]

EXTREME = 5.0
"""Features count as no further from their mean than this many standard deviations."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a quality model says about one tier's answers.

    Attributes:
        choice: The answer to return.
        quality: Predicted quality of that answer.
        target: Predicted quality of the target's.
        reliability: 1/2 + (quality - target) / 2, cut to [0, 1].
    """

    choice: Choice
    quality: float
    target: float
    reliability: float

    @property
    def reason(self) -> str:
        """The prediction in one clause."""
        return f"predicted quality {self.quality:.2f}, the target's {self.target:.2f}"


def predict(model: QualityModel, features: Sequence[Mapping[str, float]]) -> tuple[FloatArray, FloatArray]:
    """Return the predicted qualities of each member's answer, (n, members), and of the target's, (n,).

    Features that are missing, or not finite, count as what they were on average.
    """
    center = np.array(model.center, dtype=np.float64)
    given = np.array([[row.get(name, np.nan) for name in model.features] for row in features], dtype=np.float64)
    given = given.reshape(len(features), len(center))
    table = np.where(np.isfinite(given), np.clip((given - center) / np.array(model.scale), -EXTREME, EXTREME), 0.0)
    found = model.qualities.over(table)
    return found[:, :-1], found[:, -1]


def judge(model: QualityModel, features: Mapping[str, float], usable: Sequence[int]) -> Judgement:
    """Choose among answers by their predicted quality.

    Args:
        model: The fitted model.
        features: What is known of the query and its answers.
        usable: Places, among the tier's answers, of those that say anything, at least one.
    """
    members, target = predict(model, [features])
    quality = members[0]
    primary = model.primary if model.primary in usable else max(usable, key=lambda place: float(quality[place]))
    best = max(usable, key=lambda place: (float(quality[place]), place == primary, -place))
    place = best if quality[best] > quality[primary] + model.margin + TIE else primary
    if place == model.primary:
        choice = Choice(place, "primary", "primary member's answer, predicted best")
    else:
        choice = Choice(place, "predicted", "the answer predicted best")
    return Judgement(choice, float(quality[place]), float(target[0]), score_of(quality[place], target[0]))


def score_of(quality: float, target: float) -> float:
    """Return predicted qualities as a score in [0, 1]: 1/2 where the target would do no better.

    >>> score_of(0.5, 0.9)
    0.3
    """
    return float(np.clip(0.5 + (quality - target) / 2, 0.0, 1.0).round(12))


def decide(policy: TierPolicy, score: float, *, kind: str, length: int) -> Verdict:
    """Hold a score against the policy's threshold for such an answer."""
    threshold = policy.threshold_for(kind, length)
    if threshold is None:
        return Verdict(False, None, "the policy accepts no such answer")
    accept = score >= threshold - TIE
    reason = f"{score:.2f} {'≥' if accept else '<'} {threshold:.2f}, by policy"
    if policy.calibrator is not None:
        reason += f"; good with probability {policy.calibrator(score):.2f}"
    return Verdict(accept, threshold, reason)
