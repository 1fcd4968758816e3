"""From a tier's answers to a verdict: compare, choose, score, decide."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.config import CascadeConfig, Tier
from semcascade.decision import total_cost
from semcascade.deferral.rules import Rule, Verdict, rule_for
from semcascade.deferral.selection import Choice, choose, effective_signal, priority_order
from semcascade.errors import ConfigError, MalformedReplyError, MemberError, MemberTimeoutError
from semcascade.messages import Candidate
from semcascade.signals import NEEDS, Evidence, Score, Signal, centrality, get_signal
from semcascade.similarity import (
    Comparison,
    PaidCall,
    Query,
    Similarity,
    acompare,
    answer_text,
    get_similarity,
    is_brief,
    sentence_words,
    standing_in,
)

__all__ = ["Scored", "TierScorer"]

_FROM_ANSWERS = frozenset({"logprobs", "sentences"})
"""What signals may need that comes with the answers, not from comparing them."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What the answers of a tier amount to; the arrays run over the answers, failures left out."""

    choice: Choice
    verdict: Verdict
    signal: str
    score: Score
    comparison: Comparison
    agreement: tuple[float | None, ...]
    entropy: float | None

    @property
    def calls(self) -> int:
        """How many requests comparing took."""
        return sum(call.calls for call in self.comparison.paid)

    @property
    def cost(self) -> float | None:
        """US dollars that comparing cost, or None where unknown."""
        return total_cost(call.cost for call in self.comparison.paid)


class TierScorer:
    """Scores the answers of one tier.

    Raises:
        ConfigError: At construction, if a signal or similarity is unknown, or the two do not go together.
    """

    def __init__(self, tier: Tier, config: CascadeConfig) -> None:
        self.rule: Rule = rule_for(tier, config)
        self.quorum = min(tier.quorum or config.quorum, tier.answers)
        self.signal = get_signal(tier.signal or config.signal)
        self.similarity: Similarity = get_similarity(tier.similarity or config.similarity)
        self._ready = False
        self._check_signal()
        self._selection = tier.selection or config.selection
        self._priority = {member.name: member.priority for member in tier.members}

    async def prepare(self) -> None:
        """Load what the first comparison would wait for, once; see `Similarity.prepare`."""
        if not self._ready:
            await asyncio.to_thread(self.similarity.prepare)
            self._ready = True

    async def score(self, query: Query, answers: Sequence[Candidate]) -> Scored:
        """Compare answers, choose one, and decide whether it is good enough."""
        comparison = await self._compare(query, answers)
        agreement = centrality(comparison.matrix)
        choice = choose(
            self._selection,
            agreement,
            order=priority_order([self._priority[answer.member] for answer in answers]),
            usable=[not kind.degenerate for kind in comparison.kinds],
            second=None if comparison.tiebreak is None else centrality(comparison.tiebreak),
        )
        signal = get_signal(effective_signal(self.signal.name, choice))
        evidence = await _evidence(signal, comparison, choice, answers)
        score = signal.score(evidence)
        return Scored(
            choice=choice,
            verdict=self._decide(score, comparison),
            signal=signal.name,
            score=score,
            comparison=comparison,
            agreement=tuple(None if np.isnan(value) else float(value) for value in agreement),
            entropy=get_signal("semantic_entropy").score(evidence).value,
        )

    async def _compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare answers; where the service that does it fails, `auto` does, so that no query is lost over it."""
        try:
            return await acompare(self.similarity, query, answers)
        except MemberError as error:
            billed = isinstance(error, MemberTimeoutError | MalformedReplyError)
            paid = PaidCall(self.similarity.name, None if billed else 0.0)
            found = await acompare(get_similarity("auto"), query, answers)
            return standing_in(found, self.similarity, str(error), (paid,))

    def _check_signal(self) -> None:
        """Refuse a signal that the similarity can never serve."""
        missing = sorted(self.signal.needs - self.similarity.gives - _FROM_ANSWERS)
        if missing:
            needed = " and ".join(NEEDS[need] for need in missing)
            message = f"{self.signal.name!r} needs {needed}; {self.similarity.name!r} gives none"
            raise ConfigError(message, field="signal")

    def _decide(self, score: Score, comparison: Comparison) -> Verdict:
        if all(kind.degenerate for kind in comparison.kinds):
            return Verdict(accept=False, threshold=None, reason="no answer says anything")
        if score.reliability is None:
            return Verdict(accept=False, threshold=None, reason=score.note)
        return self.rule.decide(score.reliability)


async def _evidence(signal: Signal, comparison: Comparison, choice: Choice, answers: Sequence[Candidate]) -> Evidence:
    """Gather what signals look at; what takes work only where this signal wants it."""
    sentences = None
    if "sentences" in signal.needs | signal.uses:
        sentences = _sentences(answers) if is_brief(answers) else await asyncio.to_thread(_sentences, answers)
    logprobs = tuple(answer.logprobs or None for answer in answers)
    return Evidence(
        comparison.matrix,
        chosen=choice.index,
        logprobs=logprobs if any(logprobs) else None,
        same_at=comparison.same_at,
        clusters=comparison.clusters,
        sentences=sentences,
        entailment=comparison.entailment,
        contradiction=comparison.contradiction,
        unsupported=comparison.unsupported,
    )


def _sentences(answers: Sequence[Candidate]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    return tuple(sentence_words(answer_text(answer)) for answer in answers)
