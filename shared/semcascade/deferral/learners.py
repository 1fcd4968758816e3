"""Learners of what each answer gains over the target's, from what a policy is shown. Fitting needs scikit-learn.

Each sees something else: `Alike` what all answers have in common, whoever gave them; `Forest` what is particular to
each member, and how features act together; `Question` and `Wording` the texts' own n-grams. All return tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.deferral.examples import Examples
from semcascade.deferral.features import RELATIVE, family
from semcascade.deferral.tables import FloatArray
from semcascade.errors import MissingDependencyError

__all__ = ["LEARNERS", "Learner", "Part", "forest", "gains_from"]

RIDGE, RIDGE_WORDS = 1000.0, 3.0
"""Penalties on squared weights, for standardised features and for texts of length 1."""

MEMBER_ROWS = 500.0
"""As many rows as say nothing of members' differences are added when their means are taken."""

TREES, LEAF = 60, 0.08
"""How many trees, and the least share of the rows that a leaf holds: few leaves, small tables."""


@dataclass(frozen=True)
class Part:
    """What one learner found: tables of (members + 1) outputs, each member's gain and the target's quality.

    Attributes:
        constant: (outputs,)
        weights: (outputs, features) or None
        trees: Of feature, threshold, children and values, as scikit-learn keeps them.
        question: (outputs, buckets) or None
        answers: (buckets,) or None
    """

    constant: FloatArray
    weights: FloatArray | None = None
    trees: tuple[Any, ...] = ()
    columns: npt.NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    question: FloatArray | None = None
    answers: FloatArray | None = None

    def outputs(self, examples: Examples, table: FloatArray) -> FloatArray:
        """Return the outputs for rows whose standardised features are given, (n, outputs)."""
        found = np.tile(self.constant, (len(examples), 1))
        if self.weights is not None:
            found += table @ self.weights.T
        if self.trees:
            narrow = np.ascontiguousarray(table[:, self.columns], dtype=np.float32)
            found += np.mean([gains_from(tree.predict(narrow)[:, :, 0]) for tree in self.trees], axis=0)
        if self.question is not None:
            found += examples.question @ self.question.T
        if self.answers is not None:
            found[:, :-1] += examples.answers @ self.answers
        return found


Learner: TypeAlias = Callable[[Examples, FloatArray], Part]
"""(rows, their standardised features) → what was found."""


def gains_from(qualities: FloatArray) -> FloatArray:
    """Return qualities, the target's last, as gains over the target, and the target's.

    >>> gains_from(np.array([[0.5, 0.75, 1.0]])).tolist()
    [[-0.5, -0.25, 1.0]]
    """
    return np.concatenate([qualities[:, :-1] - qualities[:, -1:], qualities[:, -1:]], axis=1)


def usual(examples: Examples) -> FloatArray:
    """Return each member's mean gain, drawn to the mean of all members, and the target's mean quality.

    Members of an ensemble are about as good as each other, and few rows do not tell which one is better.
    """
    means = examples.gains.mean(axis=0)
    trust = len(examples) / (len(examples) + MEMBER_ROWS)
    return np.append(means.mean() + trust * (means - means.mean()), examples.target.mean())


def alike(examples: Examples, table: FloatArray) -> Part:
    """Fit one ridge regression to all members' answers at once: what is said of an answer, not who gave it."""
    shared, stems, common = _families(examples)
    pooled = np.concatenate([table[:, shared], np.repeat(table[:, None, common], examples.members, axis=1)], axis=2)
    means = usual(examples)
    wanted = examples.gains - means[:-1]
    rows = pooled.reshape(wanted.size, pooled.shape[2])
    mean = rows.mean(axis=0)
    found = _ridge(rows - mean, wanted.reshape(-1, 1), RIDGE)[:, 0]
    weights = np.zeros((examples.members + 1, table.shape[1]))
    for member in range(examples.members):
        weights[member, shared[member]] = found[: len(stems)]
        weights[member, common] = found[len(stems) :]
    centred = np.append(np.full(examples.members, mean @ found), 0.0)
    return Part(means - centred, weights=weights)


def _families(examples: Examples) -> tuple[npt.NDArray[np.intp], list[str], npt.NDArray[np.intp]]:
    """Return the columns of each member's features, (members, families), the families, and columns of the question."""
    places: dict[str, dict[int, int]] = {}
    for column, name in enumerate(examples.names):
        if (found := family(name)) is not None:
            places.setdefault(found[0], {})[found[1]] = column
    members = range(examples.members)
    stems = sorted(stem for stem, known in places.items() if all(member in known for member in members))
    shared = [[places[stem][member] for stem in stems] for member in members]
    common = [column for column, name in enumerate(examples.names) if name.startswith("question:")]
    width = (examples.members, len(stems))
    return np.array(shared, dtype=np.intp).reshape(width), stems, np.array(common, dtype=np.intp)


def forest(examples: Examples, table: FloatArray) -> Part:
    """Grow extremely randomised trees for all qualities at once (Geurts et al. 2006, doi 10.1007/s10994-006-6226-1).

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import ExtraTreesRegressor
    except ImportError:
        raise MissingDependencyError("scikit-learn", extra="calibrate", purpose="fitting policies") from None
    columns = np.array([i for i, name in enumerate(examples.names) if not _relative(name)], dtype=np.intp)
    leaf = max(4, round(LEAF * len(examples)))
    trees = ExtraTreesRegressor(TREES, min_samples_leaf=leaf, max_features=1.0, random_state=0)
    narrow = np.ascontiguousarray(table[:, columns], dtype=np.float32)
    trees.fit(narrow, np.concatenate([examples.quality, examples.target[:, None]], axis=1))
    outputs = np.zeros(examples.members + 1)
    return Part(outputs, trees=tuple(tree.tree_ for tree in trees.estimators_), columns=columns)


def _relative(name: str) -> bool:
    found = family(name)
    return found is not None and found[0].endswith(RELATIVE) and found[0] != "length beside"


def question(examples: Examples, table: FloatArray) -> Part:
    """Fit a ridge regression to the question's n-grams."""
    means, mean = usual(examples), examples.question.mean(axis=0)
    wanted = np.concatenate([examples.gains, examples.target[:, None]], axis=1)
    weights = _ridge(examples.question - mean, wanted - wanted.mean(axis=0), RIDGE_WORDS).T
    return Part(means - weights @ mean, question=weights)


def wording(examples: Examples, table: FloatArray) -> Part:
    """Fit one ridge regression to the n-grams of all members' answers."""
    means = usual(examples)
    wanted = examples.gains - means[:-1]
    rows = examples.answers.reshape(-1, examples.answers.shape[2])
    weights = _ridge(rows, wanted.reshape(-1, 1), RIDGE_WORDS)[:, 0]
    return Part(means, answers=weights)


def _ridge(rows: npt.NDArray[Any], wanted: FloatArray, penalty: float) -> FloatArray:
    """Solve min |rows·w - wanted|² + penalty·|w|², by whichever of both normal equations is smaller."""
    rows = np.asarray(rows, dtype=np.float64)
    n, width = rows.shape
    if n < width:
        inner = np.linalg.solve(rows @ rows.T + penalty * np.eye(n), wanted)
        return np.asarray(rows.T @ inner, dtype=np.float64)
    return np.asarray(np.linalg.solve(rows.T @ rows + penalty * np.eye(width), rows.T @ wanted), dtype=np.float64)


LEARNERS: Mapping[str, tuple[Learner, float]] = {
    "answers alike": (alike, 0.4),
    "forest": (forest, 0.4),
    "question": (question, 0.2),
    "wording": (wording, 0.2),
}
"""The learners, each with the weight that it has before the rows say otherwise."""
