"""What a fitted tier says about one query's answers: which one, how good, and whether that will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcascade.deferral.examples import EXTREME
from semcascade.deferral.features import Observation
from semcascade.deferral.policy import QualityModel, TierPolicy, WordWeights
from semcascade.deferral.rules import TIE, Verdict
from semcascade.deferral.selection import Choice
from semcascade.deferral.tables import FloatArray
from semcascade.deferral.wording import hashed

__all__ = ["Judgement", "choose_predicted", "decide", "judge", "predict", "score_of", "standardised"]


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


def predict(model: QualityModel, seen: Sequence[Observation]) -> tuple[FloatArray, FloatArray]:
    """Return the predicted qualities of each member's answer, (n, members), and of the target's, (n,).

    Features that are missing, or not finite, count as what they were on average.
    """
    found = model.qualities.over(standardised(model, [one.features for one in seen]))
    if model.words is not None:
        found += _from_words(model.words, seen, model.members)
    if model.link == "logistic":
        found = 1.0 / (1.0 + np.exp(-np.clip(found, -700, 700)))
    return found[:, :-1], found[:, -1]


def standardised(model: QualityModel, features: Sequence[Mapping[str, float]]) -> FloatArray:
    """Return the features as the model's tables take them, (n, features)."""
    given = np.array([[row.get(name, np.nan) for name in model.features] for row in features], dtype=np.float64)
    given = given.reshape(len(features), len(model.features))
    with np.errstate(over="ignore"):
        distance = (given - np.array(model.center)) / np.array(model.scale)
    return np.where(np.isfinite(given), np.clip(distance, -EXTREME, EXTREME), 0.0)


def _from_words(words: WordWeights, seen: Sequence[Observation], members: int) -> FloatArray:
    found = np.zeros((len(seen), members + 1))
    for index, one in enumerate(seen):
        found[index] = words.of_question @ hashed(one.question, words.buckets)
        for place, text in one.answers.items():
            if place < members:  # beyond are answers that were heard before
                found[index, place] += words.of_answers @ hashed(text, words.buckets)
    return found


def judge(model: QualityModel, seen: Observation, usable: Sequence[int]) -> Judgement:
    """Choose among answers by their predicted quality.

    Args:
        model: The fitted model.
        seen: What is known of the query and its answers.
        usable: Places, among the tier's answers, of those that say anything, at least one.
    """
    members, target = predict(model, [seen])
    may = np.isin(np.arange(model.members), usable)
    place = int(choose_predicted(model, members, may[None])[0])
    if place == model.primary:
        choice = Choice(place, "primary", "primary member's answer, predicted best")
    else:
        choice = Choice(place, "predicted", "the answer predicted best")
    quality = float(members[0, place])
    return Judgement(choice, quality, float(target[0]), float(score_of(members[0, place], target[0])))


def choose_predicted(model: QualityModel, members: FloatArray, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the place of the answer to return for each row: the best predicted of the usable ones.

    The primary's is kept unless another's lead exceeds the margin.

    Args:
        model: The fitted model.
        members: (n, members) predicted qualities.
        usable: (n, members) which answers may be returned, at least one in each row.
    """
    held = np.where(usable, members, -np.inf)
    best = held.argmax(axis=1)
    lead = held[np.arange(len(held)), best] - held[:, model.primary]
    return np.where(lead > model.margin + TIE, best, model.primary)


def score_of(quality: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Return predicted qualities as scores in [0, 1]: 1/2 where the target would do no better.

    >>> float(score_of(0.5, 0.9))
    0.3
    """
    gain = np.asarray(quality, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    return np.asarray(np.clip(0.5 + gain / 2, 0.0, 1.0).round(12), dtype=np.float64)


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
