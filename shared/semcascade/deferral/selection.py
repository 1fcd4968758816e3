"""Selection: which of a tier's answers is returned, and whose agreement decides.

`central` returns the most central answer, ties by a second similarity, then by the members' priority. `primary`
returns the primary member's answer, and agreement WITH it decides. `auto` returns the primary member's answer too,
unless another answer is more central by a clear margin: the others outvote it. On free text the most central answer
is on average worse than the best member's, so a mere lead does not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from semcascade.config import Selection
from semcascade.signals.base import FloatArray

__all__ = ["OUTVOTED", "Choice", "choose", "effective_signal", "priority_order"]

OUTVOTED = 0.4
"""By how much an answer's centrality must exceed the primary's to be returned instead. Among three, two answers
that are the same and unlike the primary's lead by 0.5."""

TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer that a tier would return.

    Attributes:
        index: Its index among the answers.
        selection: Whether it was chosen as the most central answer, as the primary member's, or by a fitted policy.
        reason: Why, in one clause.
    """

    index: int
    selection: Literal["central", "primary", "predicted"]
    reason: str


def choose(
    selection: Selection,
    centrality: FloatArray,
    *,
    order: Sequence[int],
    usable: Sequence[bool],
    second: FloatArray | None = None,
) -> Choice:
    """Choose among answers.

    Args:
        selection: The configured way.
        centrality: Mean similarity of each answer with the others, shape (n,).
        order: Indices of the answers, the highest priority first.
        usable: Which answers say anything (are not empty, cut off, or refusals), in the form that was asked for.
        second: Centrality by a second similarity, to break ties.
    """
    ranked = [index for index in order if usable[index]] or list(order)
    if selection == "primary":
        return _primary(ranked[0], order)
    values: list[float] = centrality.tolist()  # plain numbers are many times as fast to look at one by one
    finer: list[float] | None = None if second is None else second.tolist()
    if selection == "central":
        return _central(_most_central(ranked, values, finer), values)
    lead = max(values[index] for index in ranked) - values[ranked[0]]
    if lead <= TIE:
        return _central(ranked[0], values)
    if lead > OUTVOTED:
        return _central(_most_central(ranked, values, finer), values)
    return _primary(ranked[0], order)


def _most_central(ranked: Sequence[int], centrality: Sequence[float], second: Sequence[float] | None) -> int:
    best = max(centrality[index] for index in ranked)
    tied = [index for index in ranked if not centrality[index] < best - TIE]  # a single answer's is undefined
    if second is not None and len(tied) > 1:
        top = max(second[index] for index in tied)
        tied = [index for index in tied if second[index] >= top - TIE]
    return tied[0]


def _central(index: int, centrality: Sequence[float]) -> Choice:
    agrees = centrality[index] > TIE
    return Choice(index, "central", "most central answer" if agrees else "no answer agrees with another")


def _primary(index: int, order: Sequence[int]) -> Choice:
    said = index == order[0]
    why = "primary member's answer" if said else "the primary member's is of no use; next by priority"
    return Choice(index, "primary", why)


def effective_signal(signal: str, choice: Choice) -> str:
    """Return the signal that fits the choice: with the primary's answer, agreement WITH it decides.

    >>> effective_signal("agreement", Choice(0, "primary", ""))
    'agreement_primary'
    """
    return "agreement_primary" if signal == "agreement" and choice.selection == "primary" else signal


def priority_order(priorities: Sequence[int]) -> list[int]:
    """Return the indices of answers, the highest priority first, earlier ones first among equals."""
    return [int(index) for index in np.argsort([-priority for priority in priorities], kind="stable")]
