"""What a policy promises about the quality of what it accepts, and what the promise rests on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from semcascade.deferral.tables import Finite, Share, Table

__all__ = ["CLAIMS", "Certificate", "Claim", "lost"]

Claim = Literal["joint", "selective", "regret", "graded"]

CLAIMS: dict[str, str] = {
    "joint": "the share of all queries that are accepted with a bad answer",
    "selective": "the share of accepted answers that are bad",
    "regret": "the share of accepted answers that are clearly worse than the target's own",
    "graded": "the mean quality lost against the target per query",
}
"""What each claim bounds."""


def lost(claim: Claim, bar: float | None, accepted: float, target: float) -> float | None:
    """Return what accepting an answer loses by a claim, 0 to 1: 1 for a bad one where badness is what is bounded.

    Args:
        claim: What is bounded.
        bar: What makes an answer bad, as in `Certificate`.
        accepted: Quality of the answer.
        target: Quality of the target's own.

    Returns:
        The loss, or None where the claim needs a bar and there is none.

    >>> lost("graded", None, 0.25, 1.0), lost("regret", 0.05, 0.25, 0.25), lost("joint", 0.5, 0.25, 0.25)
    (0.75, 0.0, 1.0)
    """
    if claim == "graded":
        return min(1.0, max(0.0, target - accepted))
    if bar is None:
        return None
    return float(accepted < target - bar) if claim == "regret" else float(accepted < bar)


class Certificate(Table):
    """A bound that the calibration rows earned, or the statement that they did not.

    It holds for queries exchangeable with those rows: the same mix of users, tasks, members and settings.
    """

    certified: bool
    claim: Claim
    limit: Share
    """What was asked for: the most that `claim` may come to."""
    bar: Share | None = None
    """What makes an answer bad: a quality below it or, for regret, below the target's by more than it."""
    confidence: Share | None = None
    """Probability, over draws of the calibration rows, that the bound holds; None: it holds in expectation."""
    method: Annotated[str, Field(max_length=300)] = ""
    rows: Annotated[int, Field(ge=0)] = 0
    """Calibration rows."""
    accepted: Annotated[int, Field(ge=0)] = 0
    """How many of them the certified threshold accepts; 0 where nothing is certified."""
    bound: Finite | None = None
    """The upper bound reached."""
    rows_needed: Annotated[int, Field(ge=0)] | None = None
    """About how many more rows it would take, where nothing is certified and more rows can help."""
    note: Annotated[str, Field(max_length=1_000)] = ""

    def __str__(self) -> str:
        what, sure = CLAIMS[self.claim], "in expectation"
        if self.confidence is not None:
            sure = f"with {self.confidence:.0%} confidence"
        if self.certified:
            found = "" if self.bound is None else f" (bound {self.bound:.3f})"
            return (
                f"certified by {self.method}: {what} is at most {self.limit:g}{found}, {sure}; "
                f"{self.rows} rows, {self.accepted} accepted"
            )
        if self.rows_needed:
            more = f"about {self.rows_needed} more rows are needed"
        else:
            more = self.note or "more rows of this kind would not help"
        return f"not certifiable with these {self.rows} rows: {what} at most {self.limit:g} {sure}; {more}"
