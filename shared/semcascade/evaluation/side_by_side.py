"""What every other signal would have said of the same answers, so that signals can be held beside each other."""

from __future__ import annotations

import numpy as np

from semcascade.config import CascadeConfig
from semcascade.engine.policies import policy_of
from semcascade.engine.scoring import TierScorer, evidence_of, score_by
from semcascade.evaluation.curve import FloatArray
from semcascade.evaluation.replay import answered
from semcascade.evaluation.rows import Row
from semcascade.memory import shared_memory
from semcascade.messages import Request
from semcascade.signals import Signal, signals
from semcascade.similarity import Query

__all__ = ["SideBySide"]


class SideBySide:
    """Scores the first tier's answers by every signal that they can serve.

    The answer that would be returned is the same for all of them, so only the order of deferral differs.

    Args:
        config: The cascade.
    """

    def __init__(self, config: CascadeConfig) -> None:
        policy = policy_of(config)
        self._scorer = TierScorer(config.tiers[0], config, policy.tiers[0] if policy else None, shared_memory())
        self._tier = config.tiers[0]
        given = self._scorer.similarity.gives | {"logprobs", "sentences"}
        asks = bool(self._scorer.similarity.members)  # a judge was asked once; asking it again would cost again
        known = {} if asks else signals()
        self._signals: dict[str, Signal] = {name: one for name, one in known.items() if one.needs <= given}
        self._scores: list[list[float]] = []

    async def add(self, row: Row) -> None:
        """Score the answers of one row."""
        if not self._signals:
            return
        own = answered(row, self._tier)
        if len(own) < self._scorer.quorum:
            self._scores.append([np.nan] * len(self._signals))
            return
        places, usable = [place for place, _ in own], [answer for _, answer in own]
        await self._scorer.prepare()
        query = Query.of(Request(row.messages, tools=row.tools, response_format=row.response_format))
        scored = await self._scorer.score(query, usable, places)
        evidence = await evidence_of(self._signals.values(), scored.comparison, scored.choice, usable)
        found = (score_by(signal, evidence).reliability for signal in self._signals.values())
        self._scores.append([np.nan if value is None else value for value in found])

    def scores(self) -> dict[str, FloatArray]:
        """Return (n,) the reliability by each signal that is defined on any row."""
        columns = np.array(self._scores, dtype=np.float64).reshape(-1, len(self._signals)).T
        return {name: column for name, column in zip(self._signals, columns, strict=True) if not np.isnan(column).all()}
