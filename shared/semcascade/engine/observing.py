"""What a fitted policy is shown of a query and its answers: how alike they are by several measures, how they look.

Fitting looks through the same eyes (`semcascade.evaluation`), so that a policy sees in production what it was
fitted on.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Sequence

import numpy as np

from semcascade.deferral.features import Observation, describe
from semcascade.memory import Memory, key_of
from semcascade.messages import Candidate
from semcascade.similarity import Comparison, FloatArray, Kind, Query, answer_text, is_brief
from semcascade.similarity.canonical import options
from semcascade.similarity.exact import equality, stated
from semcascade.similarity.extract import final_answer
from semcascade.similarity.lexical import ChrF, RougeL, TokenF1
from semcascade.similarity.remembered import content_of
from semcascade.similarity.tokens import tokenize

__all__ = ["aobserve", "observe"]

MAX_CHARACTERS = 20_000
"""How much of a text is looked at for its looks."""

_HEDGES = re.compile(r"\b(?:might|may|perhaps|possibly|likely|probably|unclear|not sure|i think|however)\b", re.I)
_ENDINGS = '.!?。！？"”)}`'


def observe(query: Query, answers: Sequence[Candidate], places: Sequence[int], comparison: Comparison) -> Observation:
    """Return what a policy is shown of a query and its answers.

    Args:
        query: What was asked.
        answers: The answers.
        places: The place of each among all answers that the tier asks for.
        comparison: How alike they are by the tier's own similarity.
    """
    asked = set(tokenize(query.text[:MAX_CHARACTERS]))
    views = _views(query, answers, comparison)
    told = [
        {**_looks(answer_text(answer), asked), **{f"is {one}": float(kind is one) for one in Kind}}
        for answer, kind in zip(answers, comparison.kinds, strict=True)
    ]
    question = {**_looks(query.text, set()), "tools": float(len(query.tools)), "asks": _asks(query.text)}
    texts = {place: answer_text(answer) for place, answer in zip(places, answers, strict=True)}
    return Observation(describe(question, told, places, views), query.text, texts)


async def aobserve(
    query: Query,
    answers: Sequence[Candidate],
    places: Sequence[int],
    comparison: Comparison,
    memory: Memory | None = None,
) -> Observation:
    """Observe like `observe`, without holding up the event loop, and only what the memory does not know."""
    look = observe if memory is None else functools.partial(_remembered, memory)
    if is_brief(answers) and len(query.text) < MAX_CHARACTERS:
        return look(query, answers, places, comparison)
    return await asyncio.to_thread(look, query, answers, places, comparison)


def _remembered(
    memory: Memory, query: Query, answers: Sequence[Candidate], places: Sequence[int], comparison: Comparison
) -> Observation:
    views = [None if view is None else view.tolist() for view in (comparison.matrix, comparison.tiebreak)]
    key = key_of("observation", content_of(query, answers), places, views, [kind.value for kind in comparison.kinds])
    known = memory.get(key)
    if known is not None:
        texts = {place: answer_text(answer) for place, answer in zip(places, answers, strict=True)}
        return Observation(known, query.text, texts)
    seen = observe(query, answers, places, comparison)
    memory.put(key, dict(seen.features))
    return seen


def _views(query: Query, answers: Sequence[Candidate], comparison: Comparison) -> dict[str, FloatArray]:
    """Return how alike the answers are by several measures; those that say nothing are like no other."""
    live = [index for index, kind in enumerate(comparison.kinds) if not kind.degenerate]
    texts, offered = [answer_text(answers[index]) for index in live], options(query.text)
    found = {
        "own": comparison.matrix,
        "tiebreak": comparison.matrix if comparison.tiebreak is None else comparison.tiebreak,
        **{name: np.eye(len(answers)) for name in ("chrf", "rouge_l", "token_f1", "exact")},
    }
    if live:
        places = np.ix_(live, live)
        for similarity in (ChrF(), RougeL(), TokenF1()):
            found[similarity.name][places] = similarity.matrix(texts)
        found["exact"][places] = equality([stated(text, offered) for text in texts])
    return found


def _asks(question: str) -> float:
    return float(np.log1p(question.count("?") + question.count("？")))


def _looks(text: str, asked: set[str]) -> dict[str, float]:
    """Describe a text's wording by numbers; shares are 0 to 1, counts are logarithms."""
    whole, text = text, text[:MAX_CHARACTERS]
    words, length = tokenize(text) if text else [], max(1, len(text))
    distinct, count = set(words), max(1, len(words))
    looks = {
        "length": float(np.log1p(len(whole))),
        "words": float(np.log1p(len(words))),
        "lines": float(np.log1p(text.count("\n"))),
        "distinct": len(distinct) / count,
        "digits": sum(map(str.isdigit, text)) / length,
        "foreign": (len(text) - len(text.encode("ascii", "ignore"))) / length,
        "letters": sum(map(str.isalpha, text)) / length,
        "capitals": sum(map(str.isupper, text)) / length,
        "spaces": sum(map(str.isspace, text)) / length,
        "word length": sum(map(len, words)) / count,
        "ends": float(text.rstrip()[-1:] in _ENDINGS) if text.strip() else 0.0,
    }
    if asked:
        looks |= {
            "from question": sum(word in asked for word in words) / count,
            "of question": len(distinct & asked) / len(asked),
            "hedges": float(np.log1p(len(_HEDGES.findall(text)))),
            "final": float(final_answer(text) is not None),
        }
    return looks
