"""From a score, or from a few features, to the probability that an answer is good."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from semcascade.deferral.examples import Examples, Scale
from semcascade.deferral.features import family
from semcascade.deferral.policy import QualityModel
from semcascade.deferral.stacking import folds
from semcascade.deferral.tables import Curve, FloatArray
from semcascade.errors import MissingDependencyError

__all__ = ["calibrate", "isotonic", "logistic", "logistic_model", "logistic_regression"]

FOLDS = 5
FEWEST = 30
"""Fewer rows, or fewer of either kind than a fold needs, give no calibrator."""

POINTS = 41
DIGITS = 6

_FAMILIES = ("own", "own lead", "exact", "chrf", "rouge_l", "length", "length beside")


def calibrate(scores: FloatArray, good: npt.NDArray[np.bool_]) -> tuple[Curve, str] | None:
    """Return score → P(good), isotonic or logistic, whichever predicts unseen rows better; None for too few rows.

    Args:
        scores: (n,) reliabilities; NaN is left out.
        good: (n,) whether the answer was good.

    Returns:
        The curve and how it was fitted, in words.
    """
    known = np.isfinite(scores)
    scores, wanted = scores[known], good[known].astype(np.float64)
    if len(scores) < FEWEST or min(wanted.sum(), len(wanted) - wanted.sum()) < FOLDS:
        return None
    losses = {"isotonic": 0.0, "logistic": 0.0}
    for held_out in folds(len(scores), FOLDS):
        rest = np.setdiff1d(np.arange(len(scores)), held_out)
        for name, fit in (("isotonic", isotonic), ("logistic", logistic)):
            losses[name] += _log_loss(fit(scores[rest], wanted[rest]).over(scores[held_out]), wanted[held_out])
    name = min(losses, key=lambda one: losses[one])
    curve = (isotonic if name == "isotonic" else logistic)(scores, wanted)
    return curve, f"{name}, {losses[name] / len(scores):.3f} nats of cross-validated log loss"


def isotonic(scores: FloatArray, wanted: FloatArray) -> Curve:
    """Return the best curve that never falls (Zadrozny & Elkan 2002, doi 10.1145/775047.775151).

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError:
        raise MissingDependencyError("scikit-learn", extra="calibrate", purpose="fitting policies") from None
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, wanted)
    x, first = np.unique(fitted.X_thresholds_.round(DIGITS), return_index=True)
    return Curve(x=x.tolist(), y=fitted.y_thresholds_[first].round(DIGITS).tolist())


def logistic(scores: FloatArray, wanted: FloatArray) -> Curve:
    """Return the logistic curve through the scores (Platt 1999), by its heights at equal distances.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    at = np.linspace(0.0, 1.0, POINTS)
    if len(np.unique(wanted)) < 2 or len(np.unique(scores)) < 2:
        return Curve(x=[0.0], y=[round(float(wanted.mean()), DIGITS)])
    fitted = logistic_regression(10.0).fit(scores[:, None], wanted > 0.5)
    return Curve(x=at.round(DIGITS).tolist(), y=fitted.predict_proba(at[:, None])[:, 1].round(DIGITS).tolist())


def logistic_model(examples: Examples, good: npt.NDArray[np.bool_]) -> QualityModel:
    """Fit P(good | agreement, length, kind of answer), one logistic regression for all members' answers.

    Args:
        examples: The rows.
        good: (n, members) whether each answer was good.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    scale, places = Scale.of(examples), dict[str, dict[int, int]]()
    table = scale.apply(examples)
    for column, name in enumerate(examples.names):
        found = family(name)
        if found is not None and (found[0] in _FAMILIES or found[0].startswith("is ")):
            places.setdefault(found[0], {})[found[1]] = column
    members = range(examples.members)
    stems = [stem for stem, known in places.items() if all(member in known for member in members)]
    columns = np.array([[places[stem][member] for stem in stems] for member in members], dtype=np.intp)
    rows = table[:, columns.reshape(examples.members, len(stems))].reshape(good.size, len(stems))
    weights, constant = np.zeros((examples.members + 1, table.shape[1])), _logit(good.mean())
    if 0 < good.mean() < 1 and stems:
        fitted = logistic_regression(0.1).fit(rows, good.ravel())
        constant = float(fitted.intercept_[0])
        for member in members:
            weights[member, columns[member]] = fitted.coef_[0]
    usual = _logit(float((examples.target[:, None] >= examples.quality).mean()))
    tables = {
        "constant": [round(constant, DIGITS)] * examples.members + [round(usual, DIGITS)],
        "weights": weights.round(DIGITS).tolist(),
    }
    return QualityModel.model_validate(
        {
            "features": list(examples.names),
            "center": scale.center.tolist(),
            "scale": scale.spread.tolist(),
            "qualities": tables,
            "link": "logistic",
            "primary": int(examples.quality.mean(axis=0).argmax()),
        }
    )


def logistic_regression(strength: float) -> Any:
    """Return a logistic regression of scikit-learn; `strength` is the inverse of the penalty on squared weights.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingDependencyError("scikit-learn", extra="calibrate", purpose="fitting policies") from None
    return LogisticRegression(C=strength, solver="newton-cholesky")


def _logit(share: float) -> float:
    share = min(max(share, 1e-3), 1 - 1e-3)
    return float(np.log(share / (1 - share)))


def _log_loss(probability: FloatArray, good: FloatArray) -> float:
    likely = np.clip(probability, 1e-3, 1 - 1e-3)
    return float(-(good * np.log(likely) + (1 - good) * np.log(1 - likely)).sum())
