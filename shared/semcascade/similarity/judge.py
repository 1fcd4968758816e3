"""Likeness of meaning as a language model sees it: a member of any provider may be the judge."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from semcascade.config import Member
from semcascade.errors import BadRequestError, ConfigError, ContentFilterError, ContextOverflowError
from semcascade.messages import Candidate
from semcascade.redaction import secret_values
from semcascade.similarity.base import Ask, Comparison, FloatArray, PaidCall, Query, Similarity, answer_text
from semcascade.similarity.extract import without_thoughts
from semcascade.similarity.fallback import in_place_of
from semcascade.similarity.judge_form import Form, Verdicts, equivalence_form, support_form
from semcascade.similarity.kinds import Kind, classify
from semcascade.similarity.sentences import evenly, sentences

__all__ = ["Hearing", "Judge", "judge_member"]

MOST_ANSWERS = 12
"""More different answers than these are not judged: the pairs grow with their square."""

MOST_CHARACTERS = 8_000
"""Of a longer answer, or question, only the beginning is shown to the judge."""

MOST_SENTENCES = 8
"""Of an answer with more sentences only so many, evenly spread, are checked for support."""


class Judge(Similarity):
    """Whether a model takes answers to mean the same: 1 for the same, 0.5 for partly, 0 for different.

    All pairs go into one request, and into a second one with the answers in reverse order, because judges favour
    places; a pair's similarity is the mean of both verdicts, or the one that was given. A pair without any counts as
    different. The answers stand in blocks whose mark their authors could not know, and the judge is told that nothing
    in them is addressed to it.

    Where the judge fails, and where there are more than 12 different answers, `auto` compares instead, and a note
    says so. Every request is charged.

    Args:
        member: Who judges: a provider id, or a member's settings; keys come from the environment (`api_key_env`).
            Verdicts repeat themselves best at `temperature = 0`, which not every model takes, so it is not set here.
        swap: Whether to ask twice; once costs half and keeps the bias.
        support: Whether to ask, once more, which sentences of each answer the others support: for the signal
            `selfcheck_prompt` (Manakul, Liusie, Gales 2023, arXiv 2303.08896).
        structured: Whether to ask the provider to hold the reply to a JSON schema; one that refuses is asked again
            without.
        same_at: Similarity from which two answers count as the same.

    Raises:
        ConfigError: If a setting is wrong.
    """

    name = "judge"
    remote = True

    def __init__(
        self,
        member: str | Mapping[str, Any] | Member,
        *,
        swap: bool = True,
        support: bool = False,
        structured: bool = True,
        same_at: float = 0.75,
    ) -> None:
        if not 0 <= same_at <= 1:
            raise ConfigError(f"must be from 0 to 1, got {same_at}", field="similarity.same_at")
        self.member, self.same_at = judge_member(member), same_at
        self.members = (self.member,)
        self.gives = frozenset({"unsupported"}) if support else frozenset()
        self._swap, self._structured = swap, structured

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Refuse: a judge is asked on an event loop.

        Raises:
            ConfigError: Always; use `acompare`.
        """
        raise ConfigError("a judge is asked asynchronously; use acompare", field="similarity")

    async def acompare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Ask the judge about every pair of answers.

        Raises:
            ConfigError: If the query does not say how to ask a member; a cascade's queries do.
        """
        if query.ask is None:
            raise ConfigError("a judge needs a query that says how to ask a member", field="similarity")
        if len(answers) > MOST_ANSWERS:
            why = f"{len(answers)} different answers are more than the {MOST_ANSWERS} that it is shown"
            return await in_place_of(self, why, query, answers)
        said = [answer_text(answer) for answer in answers]
        texts, question = [text[:MOST_CHARACTERS] for text in said], query.text[:MOST_CHARACTERS]
        hearing = Hearing(self.member, query.ask, structured=self._structured)
        orders = [list(range(len(texts))), list(reversed(range(len(texts))))][: 2 if self._swap else 1]
        *verdicts, unsupported = await asyncio.gather(
            *(hearing.equivalence(question, texts, order) for order in orders),
            hearing.support(question, texts) if self.gives else _nothing(),
        )
        heard = [matrix for matrix in verdicts if matrix is not None]
        if not heard:
            found = await in_place_of(self, hearing.failure, query, answers, hearing.paid)
            return dataclasses.replace(found, unsupported=unsupported)
        matrix, unsaid = _merged(heard)
        cut = sum(len(text) > MOST_CHARACTERS for text in said)
        return Comparison(
            matrix,
            f"judge {self.member.name}",
            paid=tuple(hearing.paid),
            notes=tuple(_notes(hearing, len(orders) - len(heard), unsaid, cut)),
            same_at=self.same_at,
            unsupported=unsupported,
        )


class Hearing:
    """One comparison: what the judge is asked, what it costs, and what went wrong.

    Attributes:
        paid: The requests so far.
        failures: What went wrong, each in a few words.
    """

    def __init__(self, member: Member, ask: Ask, *, structured: bool) -> None:
        self._member, self._ask, self._structured = member, ask, structured
        self.paid: list[PaidCall] = []
        self.failures: list[str] = []

    @property
    def failure(self) -> str:
        """What went wrong, each thing once."""
        return "; ".join(dict.fromkeys(self.failures))

    async def equivalence(self, question: str, texts: Sequence[str], order: Sequence[int]) -> FloatArray | None:
        """Return the n×n verdicts, NaN where there is none; None where the judge failed."""
        verdicts = await self.verdicts(equivalence_form(question, [texts[index] for index in order]))
        if not verdicts:
            return None
        matrix = np.full((len(texts), len(texts)), np.nan)
        np.fill_diagonal(matrix, 1.0)
        for (first, second), verdict in verdicts.items():
            one, other = order[first - 1], order[second - 1]
            matrix[one, other] = matrix[other, one] = verdict
        return matrix

    async def support(self, question: str, texts: Sequence[str]) -> FloatArray | None:
        """Return how far answer j leaves answer i unsupported, n×n; None where the judge failed."""
        pieces = [
            (number, piece)
            for number, text in enumerate(texts, start=1)
            for piece in evenly(sentences(text), MOST_SENTENCES)
        ]
        verdicts = await self.verdicts(support_form(question, texts, pieces))
        if not verdicts:
            return None
        unsupported, counts = np.zeros((len(texts), len(texts))), np.zeros(len(texts))
        for number, (own, _) in enumerate(pieces, start=1):
            counts[own - 1] += 1
            for other in range(1, len(texts) + 1):
                if other != own:
                    unsupported[own - 1, other - 1] += 1 - verdicts.get((number, other), 0.5)
        return np.asarray(unsupported / np.maximum(counts, 1)[:, None])

    async def verdicts(self, form: Form) -> Verdicts:
        """Return the verdicts on a form; empty where the judge failed, which `failures` tells."""
        answer = await self._answer(form if self._structured else form.without_schema())
        if self._structured and _refused_schema(answer):
            answer = await self._answer(form.without_schema())
        if answer.failure is not None:
            self.failures.append(str(answer.failure))
            return {}
        if classify(answer) is Kind.TRUNCATED:
            # What it was quoting may stand there whole, and its own verdicts not.
            self.failures.append("its reply was cut off")
            return {}
        verdicts = form.read(without_thoughts(answer.text))
        if not verdicts:
            self.failures.append("its reply holds no verdicts")
        return verdicts

    async def _answer(self, form: Form) -> Candidate:
        answer = await self._ask(self._member, form.request)
        self.paid.append(PaidCall(self._member.name, answer.cost, calls=answer.attempts))
        return answer


async def _nothing() -> None:
    return None


def _refused_schema(answer: Candidate) -> bool:
    """Whether the provider may have refused the request for its schema."""
    other = ContextOverflowError | ContentFilterError
    return isinstance(answer.failure, BadRequestError) and not isinstance(answer.failure, other)


def _merged(heard: Sequence[FloatArray]) -> tuple[FloatArray, int]:
    """Return the mean verdict for each pair, and how many pairs have none."""
    stacked = np.stack(heard)
    given = np.isfinite(stacked)
    counts = given.sum(axis=0)
    total = np.where(given, stacked, 0.0).sum(axis=0)
    unsaid = int((counts == 0).sum()) // 2
    return np.divide(total, counts, out=np.zeros_like(total), where=counts > 0), unsaid


def _notes(hearing: Hearing, lost: int, unsaid: int, cut: int) -> list[str]:
    notes = []
    if lost:
        notes.append(f"the judge failed in one of two orders ({hearing.failure}); the other one decides alone")
    elif hearing.failures:
        notes.append(f"the judge did not check what is supported: {hearing.failure}")
    if unsaid:
        notes.append(f"the judge said nothing of {unsaid} pairs, which count as different")
    if cut:
        notes.append(f"the judge saw only the first {MOST_CHARACTERS} characters of {cut} answers")
    return notes


def judge_member(spec: str | Mapping[str, Any] | Member) -> Member:
    """Read who judges.

    Raises:
        ConfigError: If that is no member, or holds a secret: the settings of a similarity are shown and stored.
    """
    if isinstance(spec, Member):
        return spec
    try:
        member = Member.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(["similarity.member", *map(str, first["loc"])])
        raise ConfigError(first["msg"].removeprefix("Value error, "), field=field) from None
    if member.api_key is not None or any(secret_values(member.params)):
        raise ConfigError("a key must not stand here; name its variable as api_key_env", field="similarity.member")
    return member
