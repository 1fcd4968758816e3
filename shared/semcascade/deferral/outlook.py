"""What a tier can still decide while answers are missing: exact bounds, whatever the missing ones turn out to be.

Which answer is chosen, and with `auto` selection which agreement counts, depends on the missing answers, too: all
that they can change is taken into account here, by the same rules as in `semcascade.deferral.selection`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from semcascade.config import Selection
from semcascade.deferral.selection import backers, outvoted_by
from semcascade.signals.base import Signal
from semcascade.signals.bounds import UNDEFINED, Partial, bounds

__all__ = ["Eligible", "Outlook", "Ranks", "look_out"]

MARGIN = 1e-8
"""Nothing counts as settled that rounding could turn round; wider than what selection and rules take for a tie."""

ROUNDING = 1e-12
"""What rounding alone can make of two centralities that are the same."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The members' priorities, as ranks over all answers that are there or missing; 0 comes first.

    Attributes:
        there: The rank of each answer that is there.
        best_missing: The least rank among the missing ones.
        finer: Whether ties are broken by a second similarity before ranks count.
    """

    there: tuple[int, ...]
    best_missing: int
    finer: bool = False


@dataclass(frozen=True, slots=True)
class Eligible:
    """Which answers can be chosen: those that say something, in the form that was asked for.

    Attributes:
        there: For each answer that is there.
        others_may_not_be: Whether a missing answer may resemble others and yet not be one to choose.
        definite: Which of those that are there are definite, so that fewer votes than of free text outvote them; none
            where that does not matter.
    """

    there: tuple[bool, ...]
    others_may_not_be: bool = False
    definite: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is sure already.

    Attributes:
        low: The least that the reliability can become; -1 where it can become undefined.
        high: The most that it can become.
        choice: Index of the answer that is sure to be chosen, or None.
    """

    low: float
    high: float
    choice: int | None


def look_out(
    selection: Selection, signals: tuple[Signal, Signal], partial: Partial, ranks: Ranks, eligible: Eligible
) -> Outlook:
    """Say what a tier can still decide.

    Args:
        selection: The configured way to choose.
        signals: The configured signal; and the one that stands in for it with the primary member's answer, mostly
            itself.
        partial: The answers that are there; `evidence.chosen` does not count.
        ranks: The members' priorities.
        eligible: Which answers can be chosen.
    """
    if not any(eligible.there):
        return Outlook(UNDEFINED, 1.0, None)
    view, (signal, primary) = _View(partial, ranks, eligible), signals
    choice = view.choice(selection)
    if selection == "auto" and primary is not signal:
        return Outlook(*_auto(view, signal, primary), choice)
    asked = primary if selection == "primary" else signal
    if asked.of_chosen and choice is None:
        return Outlook(UNDEFINED, 1.0, None)
    return Outlook(*bounds(asked, view.choosing(choice)), choice)


def _auto(view: _View, signal: Signal, primary: Signal) -> tuple[float, float]:
    """Bound the primary answer's agreement, or the most central one's where that outvotes it.

    The most central answer's agreement is never below the primary's, and above it by more than the margin it counts
    itself: so it minus the margin is a lower bound, too. Answers that cannot be chosen count for the most central
    agreement as soon as it counts, but outvote nobody.
    """
    lows, highs = [], []
    first = view.first()
    unfit = view.eligible.others_may_not_be
    for arrived in range(view.partial.missing + 1):
        low, high = bounds(signal, view.partial, arrived=arrived)
        least, most = view.margins(first, arrived)
        low = view.least_centrality(arrived) - most if low >= 0 else UNDEFINED
        if first is None:
            lows.append(UNDEFINED if low == UNDEFINED else max(0.0, low))
            highs.append(high)
            continue
        own_low, own_high = bounds(primary, view.choosing(first), arrived=arrived)
        lows.append(UNDEFINED if low == UNDEFINED else max(own_low, low))
        outvoted = view.greatest_lead(first, arrived) > least - MARGIN
        highs.append(high if outvoted or unfit else own_high)
    return min(lows), max(highs)


class _View:
    """How far answers can lead over one another, in centrality, once the missing ones are there."""

    def __init__(self, partial: Partial, ranks: Ranks, eligible: Eligible) -> None:
        self.partial, self._ranks, self.eligible = partial, ranks, eligible
        self._choices = [index for index, yes in enumerate(eligible.there) if yes]

    def first(self) -> int | None:
        """The primary answer, if no missing one can take its place."""
        best = min(self._choices, key=lambda index: self._ranks.there[index])
        return best if self._ranks.there[best] < self._ranks.best_missing else None

    def choice(self, selection: Selection) -> int | None:
        """The answer that is sure to be chosen."""
        first = self.first()
        if selection == "primary":
            return first
        numbers = range(self.partial.missing + 1)
        if selection == "auto":
            if first is None:
                return None
            margins = [self.margins(first, arrived) for arrived in numbers]
            if all(self.greatest_lead(first, arrived) <= margins[arrived][0] - MARGIN for arrived in numbers):
                return first
            central = self._surely_central()
            outvotes = central is not None and all(
                -self._lead(first, central, arrived) > margins[arrived][1] + MARGIN for arrived in numbers
            )
            return central if outvotes else None
        return self._surely_central()

    def choosing(self, index: int | None) -> Partial:
        """The same answers, with this one chosen."""
        if index is None:
            return self.partial
        return replace(self.partial, evidence=replace(self.partial.evidence, chosen=index))

    def margins(self, first: int | None, arrived: int) -> tuple[float, float]:
        """By how much the primary answer must be led over to be outvoted, at least and at most."""
        n = self.partial.n + arrived
        if first is None:
            return outvoted_by(n, definite=True), outvoted_by(n, definite=False)
        definite = any(self.eligible.definite[first : first + 1])
        sure = backers(self.partial.evidence.matrix, first)
        least, most = (outvoted_by(n, definite=definite, backers=count) for count in (sure, sure + arrived))
        return least, most

    def greatest_lead(self, over: int, arrived: int) -> float:
        """The most by which any other answer, there or missing, can be more central than this one."""
        others = [self._lead(index, over, arrived) for index in self._choices if index != over]
        return max([0.0, *others, *([self._newcomers_lead(over, arrived)] if arrived else [])])

    def least_centrality(self, arrived: int) -> float:
        """The least centrality that the most central answer to choose can have."""
        return self._share(max(float(self.partial.rows[index]) for index in self._choices), arrived)

    def _surely_central(self) -> int | None:
        return next((index for index in self._choices if self._leads(index)), None)

    def _leads(self, index: int) -> bool:
        """Whether no other answer, there or missing, can be more central, or as central and win the tie."""
        ranks, twins = self._ranks, self.partial.twins
        for arrived in range(self.partial.missing + 1):
            for other in self._choices:
                wins_tie = ranks.there[index] < ranks.there[other] and (twins[index, other] or not ranks.finer)
                if other != index and self._lead(other, index, arrived) > (ROUNDING if wins_tie else -MARGIN):
                    return False
            wins_tie = ranks.there[index] < ranks.best_missing and not ranks.finer
            if arrived and self._newcomers_lead(index, arrived) > (ROUNDING if wins_tie else -MARGIN):
                return False
        return True

    def _lead(self, index: int, over: int, arrived: int) -> float:
        """The most by which one answer that is there can be more central than another."""
        partial = self.partial
        gain = 0 if partial.twins[index, over] else arrived
        return self._share(float(partial.rows[index] - partial.rows[over]) + gain, arrived)

    def _newcomers_lead(self, over: int, arrived: int) -> float:
        """The most by which a missing answer can be more central than one that is there.

        It resembles all of one circle and all other newcomers, which do not resemble that one; what the two have in
        common counts for both.
        """
        row = float(self.partial.rows[over])
        sums = (len(circle) - (over in circle) + arrived - 1 - row for circle in self.partial.circles)
        return self._share(max(sums), arrived)

    def _share(self, total: float, arrived: int) -> float:
        others = self.partial.n + arrived - 1
        return total / others if others else 0.0
