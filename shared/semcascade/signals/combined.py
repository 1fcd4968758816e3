"""One number from several signals, without labels: a fixed formula, the same for any number of answers."""

from __future__ import annotations

import math

import numpy as np

from semcascade.signals.agreement import AGREEMENT_MEAN, AGREEMENT_PRIMARY
from semcascade.signals.base import Evidence, Signal
from semcascade.signals.confidence import CHOW_AVERAGE
from semcascade.signals.selfcheck import SELFCHECK_NGRAM_MEAN

__all__ = ["COMBINED"]

_CONSISTENCY = (AGREEMENT_PRIMARY, AGREEMENT_MEAN, SELFCHECK_NGRAM_MEAN)


def _combined(evidence: Evidence) -> float | None:
    """Combine consistency c and token confidence t: √(c·t), or the one of them that is defined.

    c is the mean of the reliabilities of `agreement_primary`, `agreement_mean` and `selfcheck_ngram_mean`, as far as
    they are defined; t is that of `chow_average`. Either of them near 0 takes the whole near 0: an answer is trusted
    that the others bear out and whose own model was sure of it.
    """
    scores = [signal.score(evidence).reliability for signal in _CONSISTENCY]
    known = [score for score in scores if score is not None]
    confidence = CHOW_AVERAGE.score(evidence).reliability
    if not known:
        return confidence
    consistency = float(np.mean(known))
    return consistency if confidence is None else math.sqrt(consistency * confidence)


COMBINED = Signal(
    name="combined",
    compute=_combined,
    rescale=lambda value, _: value,
    higher_is_better=True,
    min_answers=1,
    summary=(
        "Consistency (mean of `agreement_primary`, `agreement_mean`, `selfcheck_ngram_mean`), times token confidence "
        "(`chow_average`) under a square root where log-probabilities are known."
    ),
    span="0 to 1",
    few="n = 1: token confidence alone, undefined without; n = 2: by the one similarity and the words that are shared",
    source="this library",
    uses=frozenset({"sentences", "logprobs"}),
    of_chosen=True,
)
