"""What a fitted policy looks at: one named number for everything that is known of a query and its answers.

Each answer has its place among all that the tier asks for, so that a feature means the same thing in every query;
those of an answer that did not come are left out. A name that ends in a place, `length:1`, belongs to a family, what
is said of each answer alike; `chrf:0:1` tells how alike two answers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcascade.signals.agreement import centrality

__all__ = ["RELATIVE", "Observation", "describe", "family"]

RELATIVE = (" beside", " most", " least", " rest", " lead")
"""Marks of families that are worked out of others: linear models need them, trees find most of them by themselves."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy is shown of one query and its answers.

    Attributes:
        features: The named numbers.
        question: The question's text.
        answers: Each answer's text by its place.
    """

    features: Mapping[str, float]
    question: str
    answers: Mapping[int, str]


def family(name: str) -> tuple[str, int] | None:
    """Return a feature's family and place, or None where it is not said of one answer.

    >>> family("length:1"), family("chrf:0:1"), family("question:length")
    (('length', 1), None, None)
    """
    stem, _, place = name.rpartition(":")
    return (stem, int(place)) if place.isdigit() and ":" not in stem else None


def describe(
    question: Mapping[str, float],
    answers: Sequence[Mapping[str, float]],
    places: Sequence[int],
    views: Mapping[str, npt.NDArray[np.float64]],
) -> dict[str, float]:
    """Return the features of one query and its answers.

    Args:
        question: Measures of the question, `length` (logarithm of its characters) among them.
        answers: The same measures of each answer, and more.
        places: The place of each answer among all that the tier asks for.
        views: n×n similarities of the answers by several measures.
    """
    found = {f"question:{name}": value for name, value in question.items()}
    for view, matrix in views.items():
        found |= _likeness(view, matrix, places)
    names = list(answers[0]) if answers else []
    table = np.array([[answer[name] for name in names] for answer in answers], dtype=np.float64)
    n = len(places)
    beside = table - (table.sum(axis=0) - table) / (n - 1) if n > 1 else None
    for i, place in enumerate(places):
        found |= {f"{name}:{place}": value for name, value in zip(names, table[i].tolist(), strict=True)}
        found[f"length to question:{place}"] = answers[i]["length"] - question["length"]
        if beside is not None:
            found |= {f"{name} beside:{place}": value for name, value in zip(names, beside[i].tolist(), strict=True)}
    return found


def _likeness(view: str, matrix: npt.NDArray[np.float64], places: Sequence[int]) -> dict[str, float]:
    """Say how each answer stands to the others by one view; an answer alone stands to none."""
    n, found = len(places), dict[str, float]()
    if n < 2:
        return found
    central = centrality(matrix)
    apart = ~np.eye(n, dtype=bool)
    most, least = np.where(apart, matrix, -1.0).max(axis=1), np.where(apart, matrix, 2.0).min(axis=1)
    sums = central * (n - 1)
    for i, place in enumerate(places):
        found |= {f"{view}:{places[j]}:{place}": float(matrix[j, i]) for j in range(i)}
        found[f"{view}:{place}"] = float(central[i])
        found[f"{view} most:{place}"] = float(most[i])
        found[f"{view} least:{place}"] = float(least[i])
        found[f"{view} lead:{place}"] = float(central[i] - central.mean())
        if n > 2:
            found[f"{view} rest:{place}"] = float((sums.sum() - 2 * sums[i]) / ((n - 1) * (n - 2)))
    return found
