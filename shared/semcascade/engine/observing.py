"""What a fitted policy is shown of a query and its answers: how alike they are by several measures, how they look.

Fitting looks through the same eyes (`semcascade.evaluation`), so that a policy sees in production what it was
fitted on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import numpy as np

from semcascade.deferral.features import describe
from semcascade.messages import Candidate
from semcascade.similarity import Comparison, Kind, Query, answer_text, compare, get_similarity, is_brief
from semcascade.similarity.extract import final_answer
from semcascade.similarity.tokens import tokenize

__all__ = ["aobserve", "observe"]

VIEWS = ("chrf", "rouge_l", "token_f1", "exact")
"""Measures of likeness beside the tier's own."""

MAX_CHARACTERS = 20_000
"""How much of a text is looked at for its looks."""

_HEDGES = re.compile(r"\b(?:might|may|perhaps|possibly|likely|probably|unclear|not sure|i think|however)\b", re.I)
_ENDINGS = '.!?。！？"”)}`'


def observe(
    query: Query, answers: Sequence[Candidate], places: Sequence[int], comparison: Comparison
) -> dict[str, float]:
    """Return the features of a query and its answers.

    Args:
        query: What was asked.
        answers: The answers.
        places: The place of each among all answers that the tier asks for.
        comparison: How alike they are by the tier's own similarity.
    """
    asked = set(tokenize(query.text[:MAX_CHARACTERS]))
    views = {name: compare(get_similarity(name), query, answers).matrix for name in VIEWS}
    views["own"] = comparison.matrix
    views["tiebreak"] = comparison.matrix if comparison.tiebreak is None else comparison.tiebreak
    told = [
        {**_looks(answer_text(answer), asked), **{f"is {one}": float(kind is one) for one in Kind}}
        for answer, kind in zip(answers, comparison.kinds, strict=True)
    ]
    question = {**_looks(query.text, set()), "tools": float(len(query.tools)), "asks": _asks(query.text)}
    return describe(question, told, places, views)


async def aobserve(
    query: Query, answers: Sequence[Candidate], places: Sequence[int], comparison: Comparison
) -> dict[str, float]:
    """Return the features like `observe`, without holding up the event loop."""
    if is_brief(answers) and len(query.text) < MAX_CHARACTERS:
        return observe(query, answers, places, comparison)
    return await asyncio.to_thread(observe, query, answers, places, comparison)


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
        "foreign": sum(character > "\x7f" for character in text) / length,
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
