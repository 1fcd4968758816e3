"""Selection: which of a tier's answers is returned, and whose agreement decides.

`central` returns the most central answer, ties by a second similarity, then by the members' priority. `primary`
returns the primary member's answer, and agreement WITH it decides. `auto` is central where answers can be told
equal (tool calls, JSON, numbers, short answers) and primary for free text, where the most central answer is on
average worse than the best member's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from semcascade.config import Selection
from semcascade.signals.base import FloatArray

__all__ = ["Choice", "choose", "effective_signal"]

TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer that a tier would return.

    Attributes:
        index: Its index among the answers.
        selection: The way it was chosen.
        reason: Why, in one clause.
    """

    index: int
    selection: Literal["central", "primary"]
    reason: str


def choose(
    selection: Selection,
    centrality: FloatArray,
    *,
    order: Sequence[int],
    usable: Sequence[bool],
    canonical: bool,
    second: FloatArray | None = None,
) -> Choice:
    """Choose among answers.

    Args:
        selection: The configured way.
        centrality: Mean similarity of each answer with the others, shape (n,).
        order: Indices of the answers, the highest priority first.
        usable: Which answers say anything (are not empty, cut off, or refusals).
        canonical: Whether the answers were compared by what they state, not by their wording.
        second: Centrality by a second similarity, to break ties.
    """
    ranked = [index for index in order if usable[index]] or list(order)
    if selection == "primary" or (selection == "auto" and not canonical):
        said = ranked[0] == order[0]
        why = "primary member's answer" if said else "the primary member said nothing; next by priority"
        return Choice(ranked[0], "primary", why)
    best = max(float(centrality[index]) for index in ranked)
    tied = [index for index in ranked if centrality[index] >= best - TIE]
    if second is not None and len(tied) > 1:
        top = max(float(second[index]) for index in tied)
        tied = [index for index in tied if second[index] >= top - TIE]
    return Choice(tied[0], "central", "most central answer" if best > 0 else "no answer agrees with another")


def effective_signal(signal: str, choice: Choice) -> str:
    """Return the signal that fits the choice: with the primary's answer, agreement WITH it decides.

    >>> effective_signal("agreement", Choice(0, "primary", ""))
    'agreement_primary'
    """
    return "agreement_primary" if signal == "agreement" and choice.selection == "primary" else signal


def priority_order(priorities: Sequence[int]) -> list[int]:
    """Return the indices of answers, the highest priority first, earlier ones first among equals."""
    return [int(index) for index in np.argsort([-priority for priority in priorities], kind="stable")]
