"""From a tier's answers to a verdict: compare, choose, score, decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semcascade.config import CascadeConfig, Tier
from semcascade.decision import total_cost
from semcascade.deferral.rules import Rule, Verdict, rule_for
from semcascade.deferral.selection import Choice, choose, effective_signal, priority_order
from semcascade.messages import Candidate
from semcascade.signals import Evidence, Score, centrality, get_signal
from semcascade.similarity import Comparison, Query, Similarity, acompare, get_similarity

__all__ = ["Scored", "TierScorer"]


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
    def cost(self) -> float | None:
        """US dollars that comparing cost, or None where unknown."""
        return total_cost(call.cost for call in self.comparison.paid)


class TierScorer:
    """Scores the answers of one tier.

    Raises:
        ConfigError: At construction, if a signal or similarity is unknown.
    """

    def __init__(self, tier: Tier, config: CascadeConfig) -> None:
        self.rule: Rule = rule_for(tier, config)
        self.quorum = min(tier.quorum or 2, tier.answers)
        self.signal = get_signal(tier.signal or config.signal)
        self.similarity: Similarity = get_similarity(tier.similarity or config.similarity)
        self._selection = tier.selection or config.selection
        self._priority = {member.name: member.priority for member in tier.members}

    async def score(self, query: Query, answers: Sequence[Candidate]) -> Scored:
        """Compare answers, choose one, and decide whether it is good enough."""
        comparison = await acompare(self.similarity, query, answers)
        agreement = centrality(comparison.matrix)
        choice = choose(
            self._selection,
            agreement,
            order=priority_order([self._priority[answer.member] for answer in answers]),
            usable=[not kind.degenerate for kind in comparison.kinds],
            second=None if comparison.tiebreak is None else centrality(comparison.tiebreak),
        )
        evidence = Evidence(
            comparison.matrix,
            primary=choice.index,
            logprobs=tuple(float(np.mean(answer.logprobs)) if answer.logprobs else None for answer in answers),
            same_at=comparison.same_at,
            clusters=comparison.clusters,
        )
        signal = get_signal(effective_signal(self.signal.name, choice))
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

    def _decide(self, score: Score, comparison: Comparison) -> Verdict:
        if all(kind.degenerate for kind in comparison.kinds):
            return Verdict(accept=False, threshold=None, reason="no answer says anything")
        if score.reliability is None:
            return Verdict(accept=False, threshold=None, reason=score.note)
        return self.rule.decide(score.reliability)
