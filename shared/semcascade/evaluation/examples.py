"""The queries that teach most: where members agreed and were wrong, and where they disagreed and were fine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcascade.config import CascadeConfig
from semcascade.decision import Decision
from semcascade.evaluation.observed import Observed, quality_of
from semcascade.evaluation.replay import replay_each
from semcascade.evaluation.rows import Row
from semcascade.messages import Candidate, question_text
from semcascade.redaction import redact
from semcascade.similarity import answer_text

__all__ = ["Example", "Said", "instructive"]

SHOWN = 5
LONGEST = 1_500
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Said:
    """What one system answered: untrusted text, its quality, and its mean similarity to the other members' answers."""

    system: str
    text: str
    quality: float
    agreement: float | None
    chosen: bool
    failed: bool


@dataclass(frozen=True)
class Example:
    """One query with all answers."""

    id: str
    task: str
    question: str
    score: float | None
    members: tuple[Said, ...]
    target: Said
    references: tuple[str, ...]


async def instructive(
    rows: Iterable[Row], config: CascadeConfig, seen: Observed, good: npt.NDArray[np.bool_]
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the clearest cases of agreed and wrong, and of disagreed and fine.

    Args:
        rows: The rows that were observed.
        config: The cascade.
        seen: What was observed.
        good: (n,) whether the first tier's answer is good.
    """
    score = np.nan_to_num(seen.reliability[0], nan=-1.0)
    regret = seen.chosen[-1] - seen.chosen[0]
    accepted = seen.answered == 0
    wrong = _clearest(np.flatnonzero(accepted & ~good), score + regret)
    fine = _clearest(np.flatnonzero(~accepted & good), -score - regret)
    wanted = {seen.ids[place] for place in (*wrong, *fine)}
    found = {}
    picked = (row for row in rows if row.id in wanted)
    async for row, decision in replay_each(picked, config):
        found[row.id] = _example(row, decision, seen)
    return (
        tuple(found[seen.ids[place]] for place in wrong),
        tuple(found[seen.ids[place]] for place in fine),
    )


def _clearest(places: npt.NDArray[np.intp], key: npt.NDArray[np.float64]) -> list[int]:
    return [int(place) for place in places[np.argsort(-key[places], kind="stable")][:SHOWN]]


def _example(row: Row, decision: Decision, seen: Observed) -> Example:
    tier = decision.tiers[0]
    return Example(
        id=_shown(row.id),
        task=_shown(row.task),
        question=_shown(question_text(row.messages)),
        score=tier.score,
        members=tuple(
            _said(row, candidate, agreement, chosen=place == tier.chosen)
            for place, (candidate, agreement) in enumerate(tier.rows())
        ),
        target=_said(row, row.answers[seen.target], None, chosen=False),
        references=tuple(map(_shown, row.references)),
    )


def _said(row: Row, candidate: Candidate, agreement: float | None, *, chosen: bool) -> Said:
    text = str(candidate.failure) if candidate.failure else answer_text(candidate)
    quality = quality_of(row, candidate.member)
    return Said(_shown(candidate.member), _shown(text), quality, agreement, chosen, candidate.failure is not None)


def _shown(text: str) -> str:
    """Return a text without secrets, cut where it is long."""
    text = redact(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters)"
