"""Selection: which of a tier's answers is returned, and whose agreement decides.

`central` returns the most central answer, ties by a second similarity, then by the members' priority. `primary`
returns the primary member's answer, and agreement WITH it decides. `auto` returns the primary member's answer too,
unless the others outvote it: another answer is more central by a margin. Where the primary's answer is a tool call,
JSON, a number, a few words, or states a final answer, the margin is worth most of one vote, so that of such answers
the one that most members give is returned, near-ties going to the primary; unless half of the others say the very same
as the primary. On free text the most central answer is on
average worse than the best member's, so there it takes a clear margin, however many vote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from semcascade.config import Selection
from semcascade.signals.base import FloatArray

__all__ = ["OUTVOTED", "Choice", "backers", "choose", "effective_signal", "outvoted_by", "priority_order"]

OUTVOTED = 0.4
"""By how much an answer's centrality must exceed the primary's to be returned instead, at most. Among three, two
answers that are the same and unlike the primary's lead by 0.5."""

MOST_OF_A_VOTE = 0.8
"""By how many votes an answer must lead over a primary's that is definite."""

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
    margin: Callable[[int], float],
    second: FloatArray | None = None,
) -> Choice:
    """Choose among answers.

    Args:
        selection: The configured way.
        centrality: Mean similarity of each answer with the others, shape (n,).
        order: Indices of the answers, the highest priority first.
        usable: Which answers say anything (are not empty, cut off, or refusals), in the form that was asked for.
        margin: Says of the answer at an index by how much it must be led over to be outvoted (see `outvoted_by`);
            asked where it matters.
        second: Centrality by a second similarity, to break ties.
    """
    ranked = [index for index in order if usable[index]] or list(order)
    if selection == "primary":
        return _primary(ranked[0], order)
    values: list[float] = centrality.tolist()  # plain numbers are many times as fast to look at one by one
    finer: list[float] | None = None if second is None else second.tolist()
    if selection == "central":
        return _central(_most_central(ranked, values, finer), values)
    first, n = ranked[0], len(values)
    lead = max(values[index] for index in ranked) - values[first]
    if lead <= TIE:
        return _central(first, values)
    if lead > OUTVOTED or (lead * (n - 1) > MOST_OF_A_VOTE and lead > margin(first)):
        return _central(_most_central(ranked, values, finer), values)
    return _primary(first, order)


def outvoted_by(n: int, *, definite: bool, backers: int = 0) -> float:
    """Return by how much an answer's centrality must exceed the primary's, of n answers, to be returned instead.

    Args:
        n: How many answers there are.
        definite: Whether the primary's is definite, and no free text.
        backers: How many others say the very same.

    >>> [outvoted_by(n, definite=True) for n in (3, 5)], outvoted_by(5, definite=False)
    ([0.4, 0.2], 0.4)
    >>> outvoted_by(5, definite=True, backers=2)
    0.4
    """
    narrow = definite and 2 * backers < n - 1
    return min(OUTVOTED, MOST_OF_A_VOTE / (n - 1)) if narrow else OUTVOTED


def backers(matrix: FloatArray, index: int) -> int:
    """Return how many other answers say the very same as one of them."""
    return int((matrix[index] >= 1 - TIE).sum()) - 1


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
    return sorted(range(len(priorities)), key=lambda index: -priorities[index])
