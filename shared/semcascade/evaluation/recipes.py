"""Ways to decide that a fit chooses from, and the choice: by what each is worth on rows it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from semcascade.deferral.calibrators import logistic_model
from semcascade.deferral.examples import Examples
from semcascade.deferral.judging import choose_predicted, predict, score_of
from semcascade.deferral.policy import QualityModel
from semcascade.deferral.stacking import constant_model, fit_stack, folds
from semcascade.evaluation.curve import FloatArray, Outcome, chord_gain
from semcascade.evaluation.sights import Ranking, Sights

__all__ = ["LEARNED_ROWS", "Recipe", "Trial", "accepted", "choose_recipe", "outcome_of", "recipes_for", "worth"]

LEARNED_ROWS = 40
"""Fewer rows are not learned from: signals that need no labels decide."""

BEYOND_NOISE = 0.025
"""Probability, of all comparisons together, of calling one better that is not: the best of many is so by luck."""

_FOLDS, _DRAWS = 4, 100


@dataclass(frozen=True)
class Recipe:
    """One way to decide in one tier.

    Attributes:
        name: What people are told.
        fields: What it sets in the tier's policy.
        ranking: What it says of the rows of the fit, each by tables that were fitted without it.
    """

    name: str
    fields: dict[str, Any]
    ranking: Ranking

    @property
    def model(self) -> QualityModel | None:
        """The quality model, if it is one."""
        return self.fields.get("model")

    def rank(self, sights: Sights, rows: npt.NDArray[np.intp]) -> Ranking:
        """Say what it makes of rows that it was not fitted on."""
        if self.model is None:
            return sights.rankings[self.fields["signal"], self.fields["selection"]].take(rows)
        return _rank(self.model, sights, rows)


@dataclass(frozen=True)
class Trial:
    """What a recipe is worth: area above the strict chord on unseen rows, and its standard error where it matters."""

    recipe: Recipe
    gain: float
    error: float | None


def recipes_for(sights: Sights, target: FloatArray, rows: npt.NDArray[np.intp], *, seed: int = 0) -> list[Recipe]:
    """Fit every recipe that the rows allow, the plainest first and the learned one last.

    Args:
        sights: What the tier's answers look like.
        target: Quality of the target, row by row.
        rows: The rows to fit on.
        seed: Of the folds.

    Raises:
        MissingDependencyError: If scikit-learn is not installed and there are rows enough to learn from.
    """
    examples = _examples(sights, target, rows)
    constant = constant_model(examples)
    means = Ranking(
        np.full(len(rows), float(score_of(examples.quality.mean(axis=0).max(), examples.target.mean()))),
        _pick(constant, np.tile(constant.qualities.constant[:-1], (len(rows), 1)), sights.usable[rows]),
    )
    best = sights.members[constant.primary]
    found = [Recipe(f"always {best}, or always the target", {"model": constant}, means)]
    for (signal, selection), ranking in sights.rankings.items():
        fields = {"signal": signal, "selection": selection}
        found.append(Recipe(f"{signal}, {selection} answer", fields, ranking.take(rows)))
    if len(rows) < LEARNED_ROWS or examples.gains.std() < 1e-9 or not examples.names:
        return found
    found.append(_logistic(examples, sights, rows, seed))
    stack = fit_stack(examples, seed=seed)
    unseen = _ranking(stack.model, stack.gains, np.zeros(len(rows)), sights.usable[rows])
    return [*found, Recipe("learned quality", {"model": stack.model}, unseen)]


def _logistic(examples: Examples, sights: Sights, rows: npt.NDArray[np.intp], seed: int) -> Recipe:
    good = examples.quality >= examples.target[:, None] - 1e-9
    members, target = np.zeros(examples.quality.shape), np.zeros(len(rows))
    for held_out in folds(len(rows), _FOLDS, seed):
        rest = np.setdiff1d(np.arange(len(rows)), held_out)
        model = logistic_model(examples.take(rest), good[rest])
        members[held_out], target[held_out] = predict(model, [sights.seen[row] for row in rows[held_out]])
    model = logistic_model(examples, good)
    return Recipe("logistic P(good)", {"model": model}, _ranking(model, members, target, sights.usable[rows]))


def choose_recipe(recipes: list[Recipe], sights: Sights, target: FloatArray, rows: npt.NDArray[np.intp]) -> list[Trial]:
    """Try the recipes on the rows of the fit, and return them all, the one to take first.

    The last recipe, the learned one where there is one, is left for another only if that is better beyond noise (by a
    normal test with Bonferroni's correction, for there are many others), and, where what is taken loses against the
    strict chord beyond noise, for the first, which knows nothing of the query.
    """
    trial = _Trial(sights.quality[rows], target[rows])
    gains = [trial.gain(recipe) for recipe in recipes]
    usual = len(recipes) - 1 if recipes[-1].model is not None else 1
    best, needed = usual, _errors_beyond(len(recipes) - 2)
    for index in range(1, len(recipes)):
        lead = gains[index] - gains[usual]
        if gains[index] > gains[best] and lead > needed * trial.doubt(recipes[index], recipes[usual]):
            best = index
    errors = {best: trial.error(recipes[best])}
    if gains[best] < -_errors_beyond(1) * errors[best]:
        best = 0
    order = [best, *(index for index in range(len(recipes)) if index != best)]
    return [Trial(recipes[index], gains[index], errors.get(index)) for index in order]


def _errors_beyond(comparisons: int) -> float:
    """Return the standard errors that are beyond noise in the best of so many comparisons."""
    return NormalDist().inv_cdf(1 - BEYOND_NOISE / max(1, comparisons))


class _Trial:
    """What recipes are worth on the rows of the fit, and how sure that is, by the same bootstrap draws."""

    def __init__(self, quality: FloatArray, target: FloatArray) -> None:
        self._quality, self._target = quality, target
        rng = np.random.default_rng(0)
        self._draws = [rng.integers(0, len(target), len(target)) for _ in range(_DRAWS)]
        self._known: dict[str, FloatArray] = {}

    def gain(self, recipe: Recipe) -> float:
        return chord_gain(outcome_of(recipe.ranking, self._quality, self._target))

    def error(self, recipe: Recipe) -> float:
        return float(self._samples(recipe).std())

    def doubt(self, one: Recipe, other: Recipe) -> float:
        return float((self._samples(one) - self._samples(other)).std())

    def _samples(self, recipe: Recipe) -> FloatArray:
        if recipe.name not in self._known:
            outcome = outcome_of(recipe.ranking, self._quality, self._target)
            self._known[recipe.name] = np.array([chord_gain(outcome.take(draw)) for draw in self._draws])
        return self._known[recipe.name]


def worth(ranking: Ranking, quality: FloatArray, target: FloatArray) -> float:
    """Return the area above the strict chord: the best single member mixed at random with the target."""
    return chord_gain(outcome_of(ranking, quality, target))


def outcome_of(ranking: Ranking, quality: FloatArray, target: FloatArray) -> Outcome:
    """Return what accepting and deferring would have given; the best single member stands for the chord."""
    best = quality[:, quality.mean(axis=0).argmax()]
    return Outcome.two_tiers(ranking.scores, accepted(ranking, quality), target, best)


def accepted(ranking: Ranking, quality: FloatArray) -> FloatArray:
    """Return (n,) the quality of the answers that would be returned; where there is none, 0."""
    chosen = quality[np.arange(len(quality)), np.maximum(ranking.chosen, 0)]
    return np.where(ranking.chosen >= 0, chosen, 0.0)


def _rank(model: QualityModel, sights: Sights, rows: npt.NDArray[np.intp]) -> Ranking:
    members, target = predict(model, [sights.seen[row] for row in rows])
    return _ranking(model, members, target, sights.usable[rows])


def _ranking(model: QualityModel, members: FloatArray, target: FloatArray, usable: npt.NDArray[np.bool_]) -> Ranking:
    chosen = _pick(model, members, usable)
    scores = score_of(members[np.arange(len(members)), chosen], target)
    return Ranking(np.where(chosen < 0, np.nan, scores), chosen)


def _pick(model: QualityModel, members: FloatArray, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    chosen = np.full(len(members), -1, dtype=np.intp)
    some = usable.any(axis=1)
    chosen[some] = choose_predicted(model, members[some], usable[some])
    return chosen


def _examples(sights: Sights, target: FloatArray, rows: npt.NDArray[np.intp]) -> Examples:
    seen = [sights.seen[row] for row in rows]
    return Examples.of(seen, sights.usable[rows], sights.quality[rows], target[rows])
