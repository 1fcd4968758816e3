"""How learners are put together: by what each of them is worth on rows that it has not seen.

Stacked regression with non-negative weights (Breiman 1996, doi 10.1007/BF00117832), drawn towards fixed weights, so
that few rows cannot make much of a lucky learner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcascade.deferral.examples import Examples, Scale
from semcascade.deferral.learners import LEARNERS, Part, usual
from semcascade.deferral.policy import QualityModel
from semcascade.deferral.tables import FloatArray
from semcascade.errors import MissingDependencyError

__all__ = ["Stack", "constant_model", "fit_stack", "folds"]

FOLDS = 4
PULL = 0.1
"""How strongly the weights are drawn to those they start from, as a share of the gains' total variance."""

DIGITS = 5


@dataclass(frozen=True)
class Stack:
    """A fitted quality model, and what it would have said of its own rows had it not seen them.

    Attributes:
        model: The model.
        gains: (n, members) predicted for each row by learners fitted without its fold.
        weights: Each learner's weight.
    """

    model: QualityModel
    gains: FloatArray
    weights: dict[str, float]


def folds(n: int, count: int, seed: int = 0) -> list[npt.NDArray[np.intp]]:
    """Part n rows at random into folds of about the same size."""
    order = np.random.default_rng(seed).permutation(n)
    return [np.sort(order[start::count]) for start in range(count)]


def fit_stack(examples: Examples, *, seed: int = 0) -> Stack:
    """Fit every learner, weigh them by their predictions of unseen folds, and add them up.

    Args:
        examples: At least 8 rows.
        seed: Of the folds.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    unseen = {name: np.zeros(examples.quality.shape) for name in LEARNERS}
    for held_out in folds(len(examples), FOLDS, seed):
        rest = np.setdiff1d(np.arange(len(examples)), held_out)
        for name, part in _fit_parts(known := examples.take(rest)).items():
            shown = examples.take(held_out)
            unseen[name][held_out] = part.outputs(shown, Scale.of(known).apply(shown))[:, :-1]
    mean = usual(examples)[:-1]
    weights = _weigh({name: found - mean for name, found in unseen.items()}, examples.gains - mean)
    gains = mean + sum(weights[name] * (found - mean) for name, found in unseen.items())
    return Stack(_assemble(examples, _fit_parts(examples), weights), np.asarray(gains), weights)


def _fit_parts(examples: Examples) -> dict[str, Part]:
    table = Scale.of(examples).apply(examples)
    return {name: learner(examples, table) for name, (learner, _) in LEARNERS.items()}


def _weigh(found: dict[str, FloatArray], wanted: FloatArray) -> dict[str, float]:
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise MissingDependencyError("scikit-learn", extra="calibrate", purpose="fitting policies") from None
    start = np.array([LEARNERS[name][1] for name in found])
    pull = np.sqrt(PULL * float((wanted**2).sum()))
    rows = np.vstack([np.stack([part.ravel() for part in found.values()], axis=1), pull * np.eye(len(found))])
    solved, _ = nnls(rows, np.append(wanted.ravel(), pull * start))
    return {name: float(weight) for name, weight in zip(found, solved, strict=True)}


def _assemble(examples: Examples, parts: dict[str, Part], weights: dict[str, float]) -> QualityModel:
    """Add the parts' tables up; gains over the target become qualities beside it."""
    mean = usual(examples)
    scale, outputs = Scale.of(examples), examples.members + 1
    constant, slopes = mean * (1 - sum(weights.values())), np.zeros((outputs, len(examples.names)))
    words, answers = np.zeros((outputs, examples.question.shape[1])), np.zeros(examples.answers.shape[2])
    trees = []
    for name, part in parts.items():
        weight = weights[name]
        constant = constant + weight * part.constant
        slopes += 0.0 if part.weights is None else weight * part.weights
        words += 0.0 if part.question is None else weight * part.question
        answers += 0.0 if part.answers is None else weight * part.answers
        trees += [_tree(tree, part, weight) for tree in part.trees]
    tables = {"constant": _rounded(_beside(constant)), "weights": _rounded(_beside(slopes)), "trees": trees}
    return QualityModel.model_validate(
        {
            "features": list(examples.names),
            "center": scale.center.tolist(),
            "scale": scale.spread.tolist(),
            "qualities": tables,
            "words": {"buckets": len(answers), "question": _rounded(_beside(words)), "answers": _rounded(answers)},
            "primary": int(examples.quality.mean(axis=0).argmax()),
        }
    )


def constant_model(examples: Examples) -> QualityModel:
    """Return the model that knows nothing of the query: every answer is as good as its member's on average."""
    means = np.append(examples.quality.mean(axis=0), examples.target.mean())
    tables = {"features": [], "center": [], "scale": [], "qualities": {"constant": _rounded(means)}}
    return QualityModel.model_validate({**tables, "primary": int(means[:-1].argmax())})


def _beside(gains: FloatArray) -> FloatArray:
    """Turn gains over the target into qualities: the target's own, the last, is added to each."""
    return np.concatenate([gains[:-1] + gains[-1], gains[-1:]])


def _tree(tree: object, part: Part, weight: float) -> dict[str, object]:
    """Return a tree of scikit-learn as plain lists, its leaves weighed."""
    left, right = np.array(tree.children_left), np.array(tree.children_right)  # type: ignore[attr-defined]
    leaf, nodes = left < 0, np.arange(len(left))
    values = weight * tree.value[:, :, 0]  # type: ignore[attr-defined]
    return {
        "feature": np.where(leaf, 0, part.columns[np.where(leaf, 0, tree.feature)]).tolist(),  # type: ignore[attr-defined]
        "at": np.where(leaf, 0.0, tree.threshold).round(DIGITS).tolist(),  # type: ignore[attr-defined]
        "left": np.where(leaf, nodes, left).tolist(),
        "right": np.where(leaf, nodes, right).tolist(),
        "value": [_rounded(value) if end else [] for value, end in zip(values, leaf, strict=True)],
    }


def _rounded(values: FloatArray) -> list[float]:
    found: list[float] = np.asarray(values, dtype=np.float64).round(DIGITS).tolist()
    return found
