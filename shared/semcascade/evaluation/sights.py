"""What each tier's answers look like, row by row: all that a policy can be fitted on, through the engine's own eyes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import get_args

import numpy as np
import numpy.typing as npt

from semcascade.config import CascadeConfig, Selection, Tier
from semcascade.deferral.features import Observation
from semcascade.deferral.selection import effective_signal
from semcascade.deferral.wording import looked_at
from semcascade.engine.observing import aobserve
from semcascade.engine.scoring import Looked, TierScorer, evidence_of
from semcascade.evaluation.curve import FloatArray
from semcascade.evaluation.replay import answered
from semcascade.evaluation.rows import Row
from semcascade.memory import shared_memory
from semcascade.messages import Candidate, Request
from semcascade.signals import Evidence, centrality, get_signal
from semcascade.similarity import Query, answer_text

__all__ = ["SIGNALS", "Ranking", "Sights", "Watcher"]

SIGNALS = ("agreement", "agreement_mean", "semantic_entropy", "snne", "eigv")
"""Label-free signals that a fit chooses from, the first unless another is better."""

SELECTIONS: tuple[Selection, ...] = get_args(Selection)


@dataclass(frozen=True)
class Ranking:
    """What one way of scoring says of the rows.

    Attributes:
        scores: (n,) reliabilities; NaN where undefined.
        chosen: (n,) the place of the answer that would be returned; -1 where there is none.
    """

    scores: FloatArray
    chosen: npt.NDArray[np.intp]

    def take(self, rows: npt.NDArray[np.intp]) -> Ranking:
        """Return some of the rows."""
        return Ranking(self.scores[rows], self.chosen[rows])


@dataclass(frozen=True)
class Sights:
    """One tier's answers on n rows.

    Attributes:
        members: Who gives the answers, in order of their places.
        seen: What a policy is shown of each row.
        usable: (n, members) whether the answer may be returned.
        quality: (n, members) of each answer; a failure is worth nothing.
        kinds: (n, members) what each answer is.
        lengths: (n, members) characters of each answer.
        rankings: What each signal says, with each way to choose an answer.
    """

    members: tuple[str, ...]
    seen: tuple[Observation, ...]
    usable: npt.NDArray[np.bool_]
    quality: FloatArray
    kinds: npt.NDArray[np.str_]
    lengths: npt.NDArray[np.int64]
    rankings: dict[tuple[str, Selection], Ranking]


@dataclass
class _Rows:
    """What was seen of one tier so far."""

    seen: list[Observation] = field(default_factory=list)
    usable: list[list[bool]] = field(default_factory=list)
    quality: list[list[float]] = field(default_factory=list)
    kinds: list[list[str]] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    chosen: list[list[int]] = field(default_factory=list)


class Watcher:
    """Looks at rows, one after the other, as the cascade's tiers would.

    Args:
        config: The cascade, without a policy.
    """

    def __init__(self, config: CascadeConfig) -> None:
        self._tiers, self._memory = config.tiers[:-1], shared_memory()
        self._scorers = [TierScorer(tier, config, None, self._memory) for tier in self._tiers]
        self._rows = [_Rows() for _ in self._tiers]
        self._ways = [_ways(scorer) for scorer in self._scorers]

    async def watch(self, row: Row) -> None:
        """Look at one row."""
        query = Query.of(Request(row.messages, tools=row.tools, response_format=row.response_format))
        heard: list[Candidate] = []
        for number, tier in enumerate(self._tiers):
            own = answered(row, tier)
            await self._add(number, row, query, own, heard if tier.answers == 1 else [])
            heard += [answer for _, answer in own]

    def sights(self) -> list[Sights]:
        """Return what was seen of each tier."""
        self._memory.flush()
        found = []
        for tier, rows, ways in zip(self._tiers, self._rows, self._ways, strict=True):
            scores = np.array(rows.scores, dtype=np.float64).reshape(-1, len(ways))
            chosen = np.array(rows.chosen, dtype=np.intp).reshape(-1, len(ways))
            rankings = {way: Ranking(scores[:, i], chosen[:, i]) for i, way in enumerate(ways)}
            found.append(
                Sights(
                    members=tuple(member.name for member in tier.members for _ in range(member.samples)),
                    seen=tuple(rows.seen),
                    usable=np.array(rows.usable, dtype=bool),
                    quality=np.array(rows.quality, dtype=np.float64),
                    kinds=np.array(rows.kinds),
                    lengths=np.array(rows.lengths, dtype=np.int64),
                    rankings=rankings,
                )
            )
        return found

    async def _add(
        self, number: int, row: Row, query: Query, own: Sequence[tuple[int, Candidate]], heard: Sequence[Candidate]
    ) -> None:
        tier, scorer, rows = self._tiers[number], self._scorers[number], self._rows[number]
        answers, places = [answer for _, answer in own], [place for place, _ in own]
        rows.quality.append(_qualities(row, tier))
        usable, kinds, lengths = [False] * tier.answers, [""] * tier.answers, [0] * tier.answers
        scores, chosen = [np.nan] * len(self._ways[number]), [-1] * len(self._ways[number])
        if len(answers) >= scorer.quorum:
            await scorer.prepare()
            looked = await scorer.look(query, answers, places, heard)
            seen = await aobserve(query, looked.answers, looked.places, looked.comparison, self._memory)
            rows.seen.append(_slim(seen))
            for index, place in enumerate(places):
                usable[place] = looked.usable[index]
                kinds[place] = looked.comparison.kinds[index].value
                lengths[place] = len(answer_text(answers[index]))
            if any(usable):
                scores, chosen = await self._rank(number, looked)
        else:
            rows.seen.append(Observation({}, looked_at(query.text), {}))
        rows.usable.append(usable)
        rows.kinds.append(kinds)
        rows.lengths.append(lengths)
        rows.scores.append(scores)
        rows.chosen.append(chosen)

    async def _rank(self, number: int, looked: Looked) -> tuple[list[float], list[int]]:
        scorer, ways = self._scorers[number], self._ways[number]
        signals = [get_signal(name) for name in dict.fromkeys(name for name, _ in ways)]
        scores, chosen = list[float](), list[int]()
        own, central = looked.answers[: looked.own], centrality(looked.comparison.matrix)
        choices = {
            selection: scorer.choose(own, looked.comparison, central, looked.usable, selection)
            for selection in SELECTIONS
        }
        evidence, known = dict[int, Evidence](), dict[tuple[str, int], float]()
        for name, selection in ways:
            choice = choices[selection]
            if choice.index not in evidence:
                evidence[choice.index] = await evidence_of(signals, looked.comparison, choice, looked.answers)
            signal = effective_signal(name, choice)
            if (signal, choice.index) not in known:
                found = get_signal(signal).score(evidence[choice.index]).reliability
                known[signal, choice.index] = np.nan if found is None else found
            scores.append(known[signal, choice.index])
            chosen.append(looked.places[choice.index])
        return scores, chosen


def _slim(seen: Observation) -> Observation:
    """Return what was seen without what only takes room: names of features that are one in all rows, texts cut."""
    features = {sys.intern(name): value for name, value in seen.features.items()}
    texts = {place: looked_at(text) for place, text in seen.answers.items()}
    return Observation(features, looked_at(seen.question), texts)


def _ways(scorer: TierScorer) -> list[tuple[str, Selection]]:
    """Return the signals that the tier's comparisons can serve, its own first, with the ways to choose an answer."""
    gives = scorer.similarity.gives | {"logprobs", "sentences"}
    names = [name for name in dict.fromkeys((scorer.signal.name, *SIGNALS)) if get_signal(name).needs <= gives]
    return list(product(names, SELECTIONS))


def _qualities(row: Row, tier: Tier) -> list[float]:
    """Return the quality of each answer of the tier, in order of their places; a failure is worth nothing."""
    found: list[float] = []
    for member in tier.members:
        answers, scores = row.all_answers(member.name), row.all_scores(member.name)
        given = [score if answer.ok else 0.0 for answer, score in zip(answers, scores, strict=False)]
        found += (given + [0.0] * member.samples)[: member.samples]
    return found
