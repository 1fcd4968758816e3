"""Equality of what answers state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, FloatArray, Query, Similarity, answer_text
from semcascade.similarity.canonical import Form, canonical, options
from semcascade.similarity.extract import final_answer

__all__ = ["Exact", "equality", "stated"]


class Exact(Similarity):
    """1 for answers that state the same, 0 for others.

    The final answer of a worked solution counts where there is one, the whole text otherwise; both in canonical
    form (see `semcascade.similarity.canonical`).
    """

    name = "exact"

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare what every pair of answers states."""
        offered = options(query.text)
        forms = [stated(answer_text(answer), offered) for answer in answers]
        return Comparison(equality(forms), self.name)


def stated(text: str, offered: dict[str, str] | None = None) -> Form:
    """Return what a text states: its final answer, or all of it."""
    final = final_answer(text)
    return canonical(text if final is None else final, offered)


def equality(forms: Sequence[Form]) -> FloatArray:
    """Return 1 where two forms state the same and 0 elsewhere, n×n."""
    return np.array([[float(first is second or first.same(second)) for second in forms] for first in forms])
