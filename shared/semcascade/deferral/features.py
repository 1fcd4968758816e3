"""What a fitted policy looks at: one named number for everything that is known of a query and its answers.

Each answer has its place among all that the tier asks for, so that a feature means the same thing in every query;
those of an answer that did not come are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from semcascade.signals.agreement import centrality

__all__ = ["describe"]


def describe(
    question: Mapping[str, float],
    answers: Sequence[Mapping[str, float]],
    places: Sequence[int],
    views: Mapping[str, npt.NDArray[np.float64]],
) -> dict[str, float]:
    """Return the features of one query and its answers.

    Args:
        question: Measures of the question, `length` (logarithm of its characters) among them.
        answers: Measures of each answer, the same.
        places: The place of each answer among all that the tier asks for.
        views: n×n similarities of the answers by several measures.
    """
    found = {f"question:{name}": value for name, value in question.items()}
    for view, matrix in views.items():
        central = centrality(matrix)
        for i, place in enumerate(places):
            found[f"{view}:{place}"] = float(central[i])
            found |= {f"{view}:{places[j]}:{place}": float(matrix[j, i]) for j in range(i)}
    typical = float(np.mean([answer["length"] for answer in answers])) if answers else 0.0
    for answer, place in zip(answers, places, strict=True):
        found |= {f"{name}:{place}": value for name, value in answer.items()}
        found[f"length beside others:{place}"] = answer["length"] - typical
        found[f"length beside question:{place}"] = answer["length"] - question["length"]
    return found
