"""What a similarity is: (query, answers) → n×n matrix in [0, 1].

Symmetric, with ones on the diagonal. Answers that say nothing (empty, refusals, cut off) resemble no other
answer, so that they never count as consensus; `semcascade.similarity.compare` sees to that for every similarity.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.config import Member
from semcascade.messages import Candidate, Embeddings, Request, question_text
from semcascade.similarity.extract import without_thoughts
from semcascade.similarity.kinds import Kind

__all__ = [
    "Ask",
    "Comparison",
    "Embed",
    "FloatArray",
    "PaidCall",
    "Query",
    "Similarity",
    "TextSimilarity",
    "answer_text",
]

FloatArray: TypeAlias = npt.NDArray[np.float64]
Ask: TypeAlias = Callable[[Member, Request], Awaitable[Candidate]]
"""Asks a member for a whole answer, with its retries and timeout; a failure comes as a candidate that carries it."""
Embed: TypeAlias = Callable[[Member, Sequence[str]], Awaitable[Embeddings]]
"""Asks a member for a vector for each text, likewise."""


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked, as far as it matters for comparing answers.

    Attributes:
        text: The question.
        tools: The tools that could be called, in OpenAI's shape.
        response_format: OpenAI's `response_format`, where structured output was asked for.
        tool_choice: Whether, and which, tool must be called, in OpenAI's shape.
        ask: How to ask a member something, for similarities that do (a judge); a cascade's queries have it.
        embed: How to ask a member for vectors; a cascade's queries have it.
    """

    text: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    response_format: Mapping[str, Any] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    ask: Ask | None = field(default=None, compare=False, repr=False)
    embed: Embed | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, request: Request, ask: Ask | None = None, embed: Embed | None = None) -> Query:
        """Return what a request asks."""
        question = question_text(request.messages)
        return cls(question, request.tools, request.response_format, request.tool_choice, ask, embed)


@dataclass(frozen=True, slots=True)
class PaidCall:
    """One paid call that a comparison made (a remote embedding, a judge).

    Attributes:
        what: Which model was called.
        cost: US dollars, or None where unknown.
        calls: How many requests it took.
    """

    what: str
    cost: float | None = None
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike the answers are, and how that was found out.

    Attributes:
        matrix: n×n, in [0, 1], ones on the diagonal.
        method: The similarity that was used, in words a user can read.
        paid: Paid calls that were made for it.
        notes: What the user should know, e.g. that an answer was truncated.
        same_at: Similarity from which two answers count as the same.
        clusters: A cluster number for each answer, where the similarity has its own way to find clusters.
        tiebreak: A finer n×n similarity that tells apart what `matrix` scores the same, or None.
        entailment: (n, n, 3) probabilities that answer i entails answer j, is neutral to it, contradicts it; or None.
        contradiction: (n, n) how far answer j contradicts answer i, sentence by sentence, in [0, 1]; or None.
        unsupported: (n, n) how far answer j leaves answer i unsupported, sentence by sentence, in [0, 1]; or None.
        twins: n×n; two answers that every other answer, whatever it be, resembles equally; those with the same words
            are, `compare` fills them in.
        apart: n×n; two answers that no third one, whatever it be, can both resemble; or None where that is not known.
        kinds: What each answer is; filled in by `compare`.
    """

    matrix: FloatArray
    method: str
    paid: tuple[PaidCall, ...] = ()
    notes: tuple[str, ...] = ()
    same_at: float = 0.5
    clusters: tuple[int, ...] | None = None
    tiebreak: FloatArray | None = None
    entailment: FloatArray | None = None
    contradiction: FloatArray | None = None
    unsupported: FloatArray | None = None
    twins: FloatArray | None = None
    apart: FloatArray | None = None
    kinds: tuple[Kind, ...] = ()


class Similarity(ABC):
    """Compares answers. Pure: the same query and answers give the same matrix.

    Attributes:
        name: The name it is chosen by.
        heavy: Whether one comparison may take more than about 10 ms; such ones run in a worker thread.
        remote: Whether it asks a service: then `acompare` does so on the running event loop.
        members: Whom it asks, through the query's `ask`.
        gives: What its comparisons hold beside the matrix, by field: "entailment", "contradiction", "unsupported".
        pairwise: Whether how alike two answers are depends on the query and on these two alone, never on what else is
            compared with them, and is quickly told. Only then is a comparison of some of the answers a part of that of
            all of them, and a tier may decide before all have come. Say so of your own similarity if it holds.
        separates: Whether its comparisons may say which answers are `apart`.
    """

    name: str
    heavy: bool = False
    remote: bool = False
    members: tuple[Member, ...] = ()
    gives: frozenset[str] = frozenset()
    pairwise: bool = False
    separates: bool = False

    @abstractmethod
    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers to the query; each of them says something."""

    def prepare(self) -> None:  # noqa: B027 - most similarities are ready as they are
        """Load what the first comparison would wait for; called before anything is spent, in a worker thread.

        Raises:
            SemcascadeError: If a package, a model or a key is missing.
        """

    async def acompare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare without blocking the event loop; remote similarities override this one."""
        if self.heavy:
            return await asyncio.to_thread(self.compare, query, answers)
        return self.compare(query, answers)


class TextSimilarity(Similarity):
    """Compares answers by their texts alone.

    Attributes:
        same_at: Similarity from which two answers count as the same.
    """

    same_at: float = 0.5

    @abstractmethod
    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return the n×n similarities of texts."""

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers by their texts."""
        matrix = self.matrix([answer_text(answer) for answer in answers])
        return Comparison(matrix, self.name, same_at=self.same_at)


def answer_text(answer: Candidate) -> str:
    """Return all that an answer says as one text: its words, then each tool call on a line of its own.

    Thoughts that a model wrote before its answer are no part of it.
    """
    if not answer.tool_calls:
        return without_thoughts(answer.text)
    calls = (f"{call.name}({call.arguments})" for call in answer.tool_calls)
    return "\n".join(filter(None, (without_thoughts(answer.text), *calls)))
