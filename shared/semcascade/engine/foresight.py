"""Deciding before all answers have come: by the same rules, whatever the missing ones turn out to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.config import Member
from semcascade.deferral.outlook import Eligible, Ranks, look_out
from semcascade.deferral.rules import Foreseeing, Leaning, Rule
from semcascade.deferral.selection import Choice, effective_signal, priority_order
from semcascade.engine.scoring import TierScorer, evidence_of, misfits
from semcascade.messages import Candidate
from semcascade.signals import Evidence, Signal, centrality, get_signal
from semcascade.signals.bounds import Partial
from semcascade.similarity import Comparison, Query, acompare, is_definite

__all__ = ["Foreseen", "Slots", "can_foresee", "can_lean", "foresee", "leans_to_defer", "may_settle"]

Slots = Sequence[tuple[Member, Candidate | None]]
"""Every answer of a tier that is there or may still come (then None), in the order of the members."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is settled while answers are missing.

    Attributes:
        accept: Whether the tier is sure to be accepted (True) or deferred (False); None while it is open.
        choice: Index, among the answers that are there, of the one that is sure to be chosen, or None.
    """

    accept: bool | None
    choice: int | None


def can_foresee(scorer: TierScorer) -> bool:
    """Say whether anything of a tier can be settled before all answers are there.

    Its similarity must compare by pairs, its signal have bounds, and its rule depend on nothing else: a rule that
    remembers scores waits for all answers, as does a fitted policy.
    """
    foreseeing = isinstance(scorer.rule, Foreseeing) and scorer.signal.rises_with is not None
    return foreseeing and scorer.policy is None and _compares_on_the_way(scorer)


def can_lean(scorer: TierScorer) -> bool:
    """Say whether a tier's answers so far can be scored on the way: for nothing, and without being remembered."""
    return isinstance(scorer.rule, Leaning) and scorer.policy is None and _compares_on_the_way(scorer)


def _compares_on_the_way(scorer: TierScorer) -> bool:
    similarity = scorer.similarity
    return similarity.pairwise and not (similarity.heavy or similarity.remote or similarity.members)


def may_settle(scorer: TierScorer, there: int, missing: int) -> bool:
    """Say whether so many answers could settle anything, were they all the same, or none like another.

    Where they could not, there is no need to compare them.
    """
    if scorer.signal.needs:  # more counts than how alike they are
        return True
    key = (there, missing)
    if key not in scorer.may_settle:
        same, none = np.ones((there, there), dtype=bool), np.zeros((there, there), dtype=bool)
        apart = ~np.eye(there, dtype=bool) if scorer.similarity.separates else none
        extremes = ((same, same, none), (np.eye(there, dtype=bool), np.eye(there, dtype=bool), apart))
        partials = [
            Partial(Evidence(matrix.astype(np.float64)), (True,) * there, missing, twins, parted)
            for matrix, twins, parted in extremes
        ]
        scorer.may_settle[key] = any(
            _settles(scorer, partial, definite) for partial in partials for definite in (True, False)
        )
    return scorer.may_settle[key]


def _settles(scorer: TierScorer, partial: Partial, definite: bool) -> bool:
    n = partial.n
    ranks, eligible = Ranks(tuple(range(n)), n), Eligible((True,) * n, definite=(definite,) * n)
    outlook = look_out(scorer.selection, _signals(scorer), partial, ranks, eligible)
    return _settled(scorer.rule, outlook.low, outlook.high) is not None


def _signals(scorer: TierScorer) -> tuple[Signal, Signal]:
    """The tier's signal, and the one that stands in for it with the primary member's answer."""
    return scorer.signal, get_signal(effective_signal(scorer.signal.name, Choice(0, "primary", "")))


async def foresee(scorer: TierScorer, query: Query, slots: Slots) -> Foreseen:
    """Say what is settled whatever the missing answers turn out to be, failures included."""
    answers = [answer for _, answer in slots if answer is not None]
    comparison = await acompare(scorer.similarity, query, answers)
    partial = _partial(comparison, answers, missing=len(slots) - len(answers))
    unfit = await misfits(query, answers, comparison)
    eligible = Eligible(
        tuple(live and not why for live, why in zip(partial.live, unfit, strict=True)),
        others_may_not_be=bool(query.tools or query.response_format),
        definite=_definite(scorer, answers, comparison),
    )
    ranks = _ranks(slots, finer=comparison.tiebreak is not None)
    outlook = look_out(scorer.selection, _signals(scorer), partial, ranks, eligible)
    return Foreseen(_settled(scorer.rule, outlook.low, outlook.high), outlook.choice)


async def leans_to_defer(scorer: TierScorer, query: Query, answers: Sequence[Candidate]) -> bool:
    """Say whether these answers, were they all, would be deferred; nothing is remembered of it."""
    comparison = await acompare(scorer.similarity, query, answers)
    unfit = await misfits(query, answers, comparison)
    usable = [not kind.degenerate and not why for kind, why in zip(comparison.kinds, unfit, strict=True)]
    choice = scorer.choose(answers, comparison, centrality(comparison.matrix), usable)
    signal = get_signal(effective_signal(scorer.signal.name, choice))
    evidence = await evidence_of([signal], comparison, choice, answers)
    reliability = signal.score(evidence).reliability if any(usable) else None
    if reliability is None or not isinstance(scorer.rule, Leaning):
        return True
    return scorer.rule.leans_to_defer(reliability)


def _definite(scorer: TierScorer, answers: Sequence[Candidate], comparison: Comparison) -> tuple[bool, ...]:
    """Say which answers are definite, where the way to choose asks for that."""
    if scorer.selection != "auto":
        return ()
    return tuple(is_definite(answer, kind) for answer, kind in zip(answers, comparison.kinds, strict=True))


def _settled(rule: Rule, low: float, high: float) -> bool | None:
    return rule.settled(low, high) if isinstance(rule, Foreseeing) else None


def _partial(comparison: Comparison, answers: Sequence[Candidate], *, missing: int) -> Partial:
    logprobs = tuple(answer.logprobs or None for answer in answers)
    twins, apart = comparison.twins, comparison.apart
    return Partial(
        evidence=Evidence(comparison.matrix, logprobs=logprobs if any(logprobs) else None, same_at=comparison.same_at),
        live=tuple(not kind.degenerate for kind in comparison.kinds),
        missing=missing,
        twins=np.eye(len(answers), dtype=bool) if twins is None else twins.astype(bool),
        apart=None if apart is None else apart.astype(bool),
    )


def _ranks(slots: Slots, *, finer: bool) -> Ranks:
    order = priority_order([member.priority for member, _ in slots])
    rank = {index: position for position, index in enumerate(order)}
    there = tuple(rank[index] for index, (_, answer) in enumerate(slots) if answer is not None)
    return Ranks(there, min(set(rank.values()) - set(there), default=len(slots)), finer)
