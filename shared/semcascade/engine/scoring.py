"""From a tier's answers to a verdict: compare, choose, score, decide."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from semcascade.config import CascadeConfig, Selection, Tier
from semcascade.decision import one_line, total_cost
from semcascade.deferral.judging import Judgement, decide, judge
from semcascade.deferral.policy import TierPolicy
from semcascade.deferral.rules import Rule, Verdict, rule_for
from semcascade.deferral.selection import Choice, backers, choose, effective_signal, outvoted_by, priority_order
from semcascade.engine.observing import aobserve
from semcascade.errors import ConfigError, MalformedReplyError, MemberError, MemberTimeoutError
from semcascade.memory import Memory
from semcascade.messages import Candidate
from semcascade.redaction import redact
from semcascade.signals import NEEDS, Evidence, Score, Signal, centrality, cluster_sizes, get_signal
from semcascade.signals.catalog import comes_along
from semcascade.similarity import (
    Comparison,
    FloatArray,
    PaidCall,
    Query,
    Similarity,
    acompare,
    answer_text,
    get_similarity,
    is_brief,
    is_definite,
    misfit,
    sentence_words,
    standing_in,
)
from semcascade.similarity.remembered import remembering

__all__ = ["Looked", "Scored", "TierScorer", "evidence_of", "misfits", "score_by"]

_log = logging.getLogger(__name__)

_FROM_ANSWERS = frozenset({"logprobs", "sentences"})
"""What signals may need that comes with the answers, not from comparing them."""

PREDICTED = "predicted_gain"
"""How decisions call the score of a fitted model: whether the target's answer is predicted to be better."""


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
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """How many requests comparing took."""
        return sum(call.calls for call in self.comparison.paid)

    @property
    def cost(self) -> float | None:
        """US dollars that comparing cost, or None where unknown."""
        return total_cost(call.cost for call in self.comparison.paid)


@dataclass(frozen=True, slots=True)
class Looked:
    """A tier's answers side by side, before anything is decided.

    Attributes:
        answers: The tier's own, then those of tiers before that a lone one is held against.
        own: How many are the tier's own.
        places: The place of each among all that the tier asks for; those of tiers before come behind.
        comparison: How alike they are.
        misfits: Why an answer cannot be read as what was asked for, or None where it can.
        usable: Which of them may be returned.
    """

    answers: tuple[Candidate, ...]
    own: int
    places: tuple[int, ...]
    comparison: Comparison
    misfits: tuple[str | None, ...]
    usable: tuple[bool, ...]


class TierScorer:
    """Scores the answers of one tier.

    Args:
        tier: The tier.
        config: What it leaves open.
        policy: A fitted policy of the tier, which then says how to compare, choose, score and decide.
        memory: Where to look up what was compared before.

    Raises:
        ConfigError: At construction, if a signal or similarity is unknown, or the two do not go together.
    """

    def __init__(
        self, tier: Tier, config: CascadeConfig, policy: TierPolicy | None = None, memory: Memory | None = None
    ) -> None:
        given = config if policy is None else policy
        self.policy = policy
        self.rule: Rule = rule_for(tier, config)
        self.quorum = min(tier.quorum or config.quorum, tier.answers)
        self.signal = get_signal(tier.signal or given.signal)
        self.memory = memory
        spec = tier.similarity or given.similarity
        similarity: Similarity = get_similarity(spec)
        self.similarity = similarity if memory is None else remembering(similarity, spec, memory)
        self.ready = False
        self.may_settle: dict[tuple[int, int], bool] = {}
        self._check_signal()
        self._check_samples(tier)
        self.selection = tier.selection or given.selection
        self._priority = {member.name: member.priority for member in tier.members}

    async def prepare(self) -> None:
        """Load what the first comparison would wait for, once; see `Similarity.prepare`."""
        if not self.ready:
            await asyncio.to_thread(self.similarity.prepare)
            self.ready = True

    async def score(
        self, query: Query, own: Sequence[Candidate], places: Sequence[int], heard: Sequence[Candidate] = ()
    ) -> Scored:
        """Compare answers, choose one, and decide whether it is good enough.

        Args:
            query: What was asked.
            own: The tier's answers that came.
            places: The place of each among all answers that the tier asks for.
            heard: Answers of tiers before that a lone answer is held against; none of them is chosen.
        """
        looked = await self.look(query, own, places, heard)
        answers, comparison, usable = looked.answers, looked.comparison, looked.usable
        agreement = centrality(comparison.matrix)
        judged = await self._judge(query, looked)
        choice = judged.choice if judged else self.choose(own, comparison, agreement, usable)
        signal = get_signal(effective_signal(self.signal.name, choice))
        evidence = await evidence_of([signal], comparison, choice, answers)
        score = Score(judged.reliability, judged.reliability) if judged else await _scored(signal, evidence, answers)
        verdict = self._decide(score, comparison, answers[choice.index], choice, usable)
        return Scored(
            choice=choice,
            verdict=replace(verdict, reason=f"{verdict.reason} ({judged.reason})") if judged else verdict,
            signal=PREDICTED if judged else signal.name,
            score=score,
            comparison=comparison,
            agreement=tuple(None if math.isnan(value) else value for value in agreement[: len(own)].tolist()),
            entropy=get_signal("semantic_entropy").score(evidence).value,
            notes=(*_left_out(own, looked.misfits), *self._certified()),
        )

    async def cluster_sizes(self, query: Query, answers: Sequence[Candidate]) -> tuple[int, ...]:
        """Return how many answers mean the same, meaning by meaning."""
        comparison = await self._compare(query, answers)
        return cluster_sizes(
            Evidence(comparison.matrix, same_at=comparison.same_at, clusters=comparison.clusters).labels
        )

    def _certified(self) -> tuple[str, ...]:
        return () if self.policy is None or self.policy.certificate is None else (str(self.policy.certificate),)

    async def look(
        self, query: Query, own: Sequence[Candidate], places: Sequence[int], heard: Sequence[Candidate] = ()
    ) -> Looked:
        """Compare answers and see which of them are of use; see `score`."""
        answers = (*own, *heard)
        comparison = await self._compare(query, answers)
        unfit = await misfits(query, answers, comparison)
        fit = [not kind.degenerate and not why for kind, why in zip(comparison.kinds, unfit, strict=True)]
        beyond = max(places, default=-1) + 1
        return Looked(
            answers=answers,
            own=len(own),
            places=(*places, *range(beyond, beyond + len(heard))),
            comparison=comparison,
            misfits=tuple(unfit),
            usable=tuple(one and index < len(own) for index, one in enumerate(fit)),
        )

    async def _judge(self, query: Query, looked: Looked) -> Judgement | None:
        """Ask the fitted model, where there is one and an answer is of use."""
        if self.policy is None or self.policy.model is None or not any(looked.usable):
            return None
        seen = await aobserve(query, looked.answers, looked.places, looked.comparison, self.memory)
        usable = [place for place, use in zip(looked.places, looked.usable, strict=True) if use]
        judged = judge(self.policy.model, seen, usable)
        return replace(judged, choice=replace(judged.choice, index=looked.places.index(judged.choice.index)))

    def choose(
        self,
        own: Sequence[Candidate],
        comparison: Comparison,
        agreement: FloatArray,
        usable: Sequence[bool],
        selection: Selection | None = None,
    ) -> Choice:
        """Choose one of the tier's own answers, by its own way unless another is given."""

        def margin(index: int) -> float:
            definite = is_definite(own[index], comparison.kinds[index])
            return outvoted_by(len(own), definite=definite, backers=backers(comparison.matrix, index))

        return choose(
            (selection or self.selection) if len(own) == len(agreement) else "primary",
            agreement,
            order=priority_order([self._priority[answer.member] for answer in own]),
            usable=usable,
            margin=margin,
            second=None if comparison.tiebreak is None else centrality(comparison.tiebreak),
        )

    async def _compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare answers; where what does it fails, `auto` does, so that no query is lost over it."""
        paid: tuple[PaidCall, ...] = ()
        try:
            return await acompare(self.similarity, query, answers)
        except MemberError as error:
            billed, why = isinstance(error, MemberTimeoutError | MalformedReplyError), str(error)
            paid = (PaidCall(self.similarity.name, None if billed else 0.0),)
        except Exception as error:  # noqa: BLE001 - a similarity of the user's may raise anything
            why = _told("similarity", self.similarity.name, error)
        found = await acompare(get_similarity("auto"), query, answers)
        return standing_in(found, self.similarity, why, paid)

    def _check_signal(self) -> None:
        """Refuse a signal that the similarity can never serve."""
        missing = sorted(self.signal.needs - self.similarity.gives - _FROM_ANSWERS)
        if missing:
            needed = " and ".join(NEEDS[need] for need in missing)
            message = f"{self.signal.name!r} needs {needed}; {self.similarity.name!r} gives none"
            raise ConfigError(message, field="signal")

    def _check_samples(self, tier: Tier) -> None:
        """Refuse to compare by paid requests after every sample."""
        asks = self.similarity.remote or self.similarity.members
        if asks and any(member.initial_samples for member in tier.members):
            message = f"samples in turn are compared after each, and {self.similarity.name!r} asks a service each time"
            raise ConfigError(f"{message}; take another similarity", field="initial_samples")

    def _decide(
        self, score: Score, comparison: Comparison, answer: Candidate, choice: Choice, usable: Sequence[bool]
    ) -> Verdict:
        if not any(usable):
            said = not all(kind.degenerate for kind in comparison.kinds)
            reason = "no answer can be read as what was asked for" if said else "no answer says anything"
            return Verdict(accept=False, threshold=None, reason=reason)
        if score.reliability is None:
            return Verdict(accept=False, threshold=None, reason=score.note)
        if self.policy is None:
            return self.rule.decide(score.reliability)
        kind, length = comparison.kinds[choice.index].value, len(answer_text(answer))
        return decide(self.policy, score.reliability, kind=kind, length=length)


async def _scored(signal: Signal, evidence: Evidence, answers: Sequence[Candidate]) -> Score:
    """Return the signal's score; what looks at many sentences, or is the user's own, does so in a thread."""
    if comes_along(signal.name) and (evidence.sentences is None or is_brief(answers)):
        return score_by(signal, evidence)
    return await asyncio.to_thread(score_by, signal, evidence)


def score_by(signal: Signal, evidence: Evidence) -> Score:
    """Return the signal's score; undefined where it fails, so that no query is lost over it."""
    try:
        return signal.score(evidence)
    except Exception as error:  # noqa: BLE001 - a signal of the user's may raise anything
        return Score(None, None, _told("signal", signal.name, error))


def _told(what: str, name: str, error: Exception) -> str:
    """Tell the log that a part of the user's own failed; return why, in one line."""
    why = redact(one_line(f"{type(error).__name__}: {error}", 200))
    _log.warning("%s %r failed: %s", what, name, why)
    return why


async def misfits(query: Query, answers: Sequence[Candidate], comparison: Comparison) -> list[str | None]:
    """Say of each answer that says anything why it cannot be read as what was asked for, if so."""
    if not query.tools and not query.response_format:
        return [None] * len(answers)

    def find() -> list[str | None]:
        kinds = zip(answers, comparison.kinds, strict=True)
        return [None if kind.degenerate else misfit(query, answer) for answer, kind in kinds]

    return await asyncio.to_thread(find)


def _left_out(answers: Sequence[Candidate], unfit: Sequence[str | None]) -> tuple[str, ...]:
    """Say which answers could not be chosen, and why."""
    return tuple(
        f"{answer.member}'s answer was not to choose from: {why}"
        for answer, why in zip(answers, unfit, strict=False)
        if why
    )


async def evidence_of(
    signals: Iterable[Signal], comparison: Comparison, choice: Choice, answers: Sequence[Candidate]
) -> Evidence:
    """Gather what signals look at; what takes work only where one of them wants it."""
    sentences = None
    if any("sentences" in signal.needs | signal.uses for signal in signals):
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
