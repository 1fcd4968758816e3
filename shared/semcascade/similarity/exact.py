"""Equality of what answers state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

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
    pairwise = True
    separates = True

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare what every pair of answers states."""
        offered = options(query.text)
        forms = [stated(answer_text(answer), offered) for answer in answers]
        twins, apart = _each_pair(forms, _twins), _each_pair(forms, _apart)
        return Comparison(equality(forms), self.name, twins=twins, apart=apart)


def stated(text: str, offered: dict[str, str] | None = None) -> Form:
    """Return what a text states: its final answer, or all of it."""
    final = final_answer(text)
    return canonical(text if final is None else final, offered)


def equality(forms: Sequence[Form]) -> FloatArray:
    """Return 1 where two forms state the same and 0 elsewhere, n×n."""
    return _each_pair(forms, lambda first, second: first is second or first.same(second))


def _each_pair(forms: Sequence[Form], holds: Callable[[Form, Form], bool]) -> FloatArray:
    return np.array([[float(holds(first, second)) for second in forms] for first in forms])


def _twins(first: Form, second: Form) -> bool:
    """Whether every other form states the same as both, or as neither."""
    quantities = first.quantity is not None and first.quantity == second.quantity
    return first == second or (quantities and first.time == second.time)


def _apart(first: Form, second: Form) -> bool:
    """Whether no third form can state the same as both.

    Stating the same is no equivalence: "12" states the same as "12 kg" and as "12 m", "50%" the same as "50" and as
    "1/2", "1, 2" the same as "[1, 2]" and as "(1, 2)". So quantities must differ by more than their units and a factor
    of 100, and others by more than brackets.
    """
    if (first.time is None) is not (second.time is None) or None is not first.time == second.time:
        return False  # a third may be the time that the one is, and have the words of the other
    if first.quantity is None or second.quantity is None:
        return first.quantity is not second.quantity or first.text != second.text
    scales = (Fraction(1, 10_000), Fraction(1, 100), 1, 100, 10_000)
    return all(first.quantity.value != second.quantity.value * scale for scale in scales)
