"""SelfCheckGPT: is what the chosen answer says borne out by the others? Higher values mean: less so.

Manakul, Liusie, Gales 2023 (arXiv 2303.08896). n = 1: undefined, for there is nothing to check against. n = 2: one
other answer is all there is.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import partial

import numpy as np

from semcascade.signals.base import Evidence, Signal

__all__ = ["SELFCHECK_NGRAM", "SELFCHECK_NGRAM_MEAN", "SELFCHECK_NLI", "SELFCHECK_PROMPT"]

_SENTENCES = frozenset({"sentences"})
_MANAKUL = "Manakul, Liusie, Gales 2023, arXiv 2303.08896"


def _surprise(evidence: Evidence, *, own: bool, peaks: bool) -> float | None:
    """Return how surprising the chosen answer's words are under a unigram model, -ln p.

    The model is trained on the answer and the others, or on the answer's own words alone. The mean over all words;
    with `peaks` the mean over sentences of each one's most surprising word.
    """
    if evidence.sentences is None:
        return None
    chosen = [sentence for sentence in evidence.sentences[evidence.chosen] if sentence]
    trained = [chosen] if own else evidence.sentences
    counts = Counter(word for answer in trained for sentence in answer for word in sentence)
    if not chosen:
        return None
    surprises = [[math.log(counts.total() / counts[word]) for word in sentence] for sentence in chosen]
    if peaks:
        return float(np.mean([max(sentence) for sentence in surprises]))
    return float(np.mean([value for sentence in surprises for value in sentence]))


def _by_own_words(value: float, evidence: Evidence, *, peaks: bool) -> float:
    """Map the range from the answer's words alone (all say the same) to words that no other has onto 1 to 0."""
    own = _surprise(evidence, own=True, peaks=peaks)
    sizes = [sum(map(len, answer)) for answer in evidence.sentences or ()]
    spread = math.log(sum(sizes) / sizes[evidence.chosen])
    if own is None or spread == 0.0:
        return 0.0
    return min(1.0, 1.0 - (value - own) / spread)


def _mean_over_others(evidence: Evidence, field: str) -> float:
    return float(getattr(evidence, field)[evidence.chosen, evidence.others].mean())


def _one_minus(value: float, _: Evidence) -> float:
    return 1.0 - value


SELFCHECK_NGRAM = Signal(
    name="selfcheck_ngram",
    compute=partial(_surprise, own=False, peaks=True),
    rescale=partial(_by_own_words, peaks=True),
    higher_is_better=False,
    min_answers=2,
    summary="-ln p of each sentence's most surprising word under a unigram model of all answers; mean over sentences.",
    span="0 to ln(number of words)",
    few="n = 1: undefined; n = 2: against the one other answer",
    source=_MANAKUL,
    needs=_SENTENCES,
    of_chosen=True,
)

SELFCHECK_NGRAM_MEAN = Signal(
    name="selfcheck_ngram_mean",
    compute=partial(_surprise, own=False, peaks=False),
    rescale=partial(_by_own_words, peaks=False),
    higher_is_better=False,
    min_answers=2,
    summary="Mean -ln p of the answer's words under a unigram model of all answers.",
    span="0 to ln(number of words)",
    few="n = 1: undefined; n = 2: against the one other answer",
    source=_MANAKUL,
    needs=_SENTENCES,
    of_chosen=True,
)

SELFCHECK_NLI = Signal(
    name="selfcheck_nli",
    compute=partial(_mean_over_others, field="contradiction"),
    rescale=_one_minus,
    higher_is_better=False,
    min_answers=2,
    summary="P(contradiction), neutrality left out, of the answer's sentences by the other answers; mean over both.",
    span="0 to 1",
    few="n = 1: undefined; n = 2: against the one other answer",
    source=_MANAKUL,
    needs=frozenset({"contradiction"}),
    of_chosen=True,
)

SELFCHECK_PROMPT = Signal(
    name="selfcheck_prompt",
    compute=partial(_mean_over_others, field="unsupported"),
    rescale=_one_minus,
    higher_is_better=False,
    min_answers=2,
    summary="A judge's word on whether the others support the answer's sentences: yes 0, no 1, else 0.5; mean of all.",
    span="0 to 1",
    few="n = 1: undefined; n = 2: against the one other answer",
    source=_MANAKUL,
    needs=frozenset({"unsupported"}),
    of_chosen=True,
)
