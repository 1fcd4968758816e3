"""What a fitted policy computes with: plain tables of numbers, checked when they are read, evaluated by numpy.

Nothing here is code: a curve is a list of points, a regression a list of weights, a tree three lists of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from semcascade.locks import cached_property

__all__ = ["Curve", "Finite", "FloatArray", "Regression", "Share", "Table", "Tree"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
_Index: TypeAlias = npt.NDArray[np.intp]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]

MAX_POINTS, MAX_NODES, MAX_TREES = 2_000, 2_000, 1_000


class Table(BaseModel):
    """Base of everything in a policy: frozen, unknown keys refused, numbers never made out of texts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, protected_namespaces=(),
        ignored_types=(cached_property,),
    )  # fmt: skip


class Curve(Table):
    """A monotone or other function of one number, by its points: straight between them, level outside.

    Isotonic calibration (Zadrozny & Elkan 2002, doi 10.1145/775047.775151) and sampled logistic curves both
    come in this form.

    >>> Curve(x=[0.0, 1.0], y=[0.2, 0.8])(0.5)
    0.5
    """

    x: list[Finite] = Field(min_length=1, max_length=MAX_POINTS)
    y: list[Finite] = Field(min_length=1, max_length=MAX_POINTS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"x has {len(self.x)} points, y has {len(self.y)}")
        if any(later <= earlier for earlier, later in zip(self.x, self.x[1:], strict=False)):
            raise ValueError("x must ascend")
        return self

    def __call__(self, value: float) -> float:
        """Return the curve's height at a value."""
        return float(np.interp(value, self.x, self.y))

    def over(self, values: FloatArray) -> FloatArray:
        """Return the curve's heights at many values."""
        return np.asarray(np.interp(values, self.x, self.y), dtype=np.float64)


class Tree(Table):
    """A regression tree of several outputs; node 0 is its root. A leaf leads to itself."""

    feature: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=MAX_NODES)
    at: list[Finite]
    """A row whose feature is no greater than this goes left."""
    left: list[Annotated[int, Field(ge=0)]]
    right: list[Annotated[int, Field(ge=0)]]
    value: list[list[Finite]]
    """For each node, a number for each output; those of inner nodes are not used and may be empty."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.feature)
        if {len(self.at), len(self.left), len(self.right), len(self.value)} != {n}:
            raise ValueError("its lists have different lengths")
        for node, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            if not self._leaf(node) and not (node < left < n and node < right < n):
                raise ValueError(f"node {node} does not lead down to nodes of the tree")
        return self

    def _leaf(self, node: int) -> bool:
        return self.left[node] == self.right[node] == node

    def fits(self, features: int, outputs: int) -> bool:
        """Say whether the tree is made for so many features and outputs."""
        known = all(number < features or self._leaf(node) for node, number in enumerate(self.feature))
        return known and all(len(value) == outputs for node, value in enumerate(self.value) if self._leaf(node))


@dataclass(frozen=True)
class _Forest:
    """The nodes of several trees in one row of arrays, so that all trees take their steps at once."""

    roots: _Index
    feature: _Index
    at: FloatArray
    left: _Index
    right: _Index
    value: FloatArray

    @classmethod
    def of(cls, trees: Sequence[Tree], outputs: int) -> _Forest:
        sizes = [len(tree.feature) for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]], dtype=np.intp)
        nodes = np.arange(sum(sizes))
        moved = np.repeat(roots, sizes)
        left = np.concatenate([tree.left for tree in trees]).astype(np.intp) + moved
        right = np.concatenate([tree.right for tree in trees]).astype(np.intp) + moved
        leaf = (left == nodes) & (right == nodes)
        feature = np.concatenate([tree.feature for tree in trees]).astype(np.intp)
        at = np.concatenate([tree.at for tree in trees]).astype(np.float64)
        written = [value for tree in trees for value in tree.value]
        value = np.zeros((len(nodes), outputs))
        value[leaf] = [number for number, end in zip(written, leaf, strict=True) if end]
        return cls(roots, np.where(leaf, 0, feature), at, left, right, value)

    def over(self, rows: FloatArray) -> FloatArray:
        """Return the mean of the trees' values for each of (n, features) rows, (n, outputs)."""
        nodes = np.tile(self.roots, (len(rows), 1))
        index = np.arange(len(rows))[:, None]
        while True:
            goes_left = rows[index, self.feature[nodes]] <= self.at[nodes]
            following = np.where(goes_left, self.left[nodes], self.right[nodes])
            if np.array_equal(following, nodes):
                return np.asarray(self.value[nodes].mean(axis=1), dtype=np.float64)
            nodes = following


class Regression(Table):
    """Several numbers from features: constants, a weight for each feature, and the mean of trees, all added up."""

    constant: list[Finite] = Field(min_length=1, max_length=65)
    """One for each output."""
    weights: list[list[Finite]] = Field(default_factory=list, max_length=65)
    """For each output one for each feature, or none at all."""
    trees: list[Tree] = Field(default_factory=list, max_length=MAX_TREES)

    def fits(self, features: int) -> bool:
        """Say whether the tables are for this many features."""
        outputs = len(self.constant)
        weighed = not self.weights or (
            len(self.weights) == outputs and all(len(weights) == features for weights in self.weights)
        )
        return weighed and all(tree.fits(features, outputs) for tree in self.trees)

    @cached_property
    def _forest(self) -> _Forest | None:
        return _Forest.of(self.trees, len(self.constant)) if self.trees else None

    @cached_property
    def _slopes(self) -> FloatArray:
        return np.array(self.weights, dtype=np.float64).reshape(-1, len(self.weights[0]) if self.weights else 0)

    def over(self, rows: FloatArray) -> FloatArray:
        """Return the values for each of (n, features) rows, (n, outputs)."""
        total = np.tile(np.array(self.constant, dtype=np.float64), (len(rows), 1))
        if self.weights:
            total += rows @ self._slopes.T
        if self._forest is not None and len(rows):
            total += self._forest.over(rows)
        return total
