"""Token confidence: how sure a model was of the words it chose, alone and with agreement.

Each judges the answer that would be returned, by the log-probabilities of its tokens; without them it is undefined.
Log-probabilities of different models are on different scales: a threshold holds for one member.
"""

from __future__ import annotations

import math

import numpy as np

from semcascade.signals.agreement import centrality
from semcascade.signals.base import Evidence, Signal

__all__ = ["CHOW_AVERAGE", "CHOW_MINIMUM", "CHOW_QUANTILE", "CHOW_SUM", "COCOA", "COCOA_AVERAGE", "chow_quantile"]

_GUPTA = "Gupta et al. 2024, arXiv 2404.10136"
_VASHURIN = "Vashurin et al. 2025, arXiv 2502.04964"
_LOGPROBS = frozenset({"logprobs"})
_ANY = "any n: the same"


def _exp(value: float, _: Evidence) -> float:
    return math.exp(min(value, 0.0))


def _exp_minus(value: float, _: Evidence) -> float:
    return math.exp(-max(value, 0.0))


def _sum(evidence: Evidence) -> float | None:
    return None if evidence.tokens is None else float(evidence.tokens.sum())


def _average(evidence: Evidence) -> float | None:
    return None if evidence.tokens is None else float(evidence.tokens.mean())


def _disagreement(evidence: Evidence) -> float:
    """Mean of 1 - S between the chosen answer and the others."""
    return float(1.0 - centrality(evidence.matrix)[evidence.chosen])


def _cocoa(evidence: Evidence) -> float | None:
    """-ln p(y*) · mean_i(1 - S(y*, y_i)), ln p the sum over tokens."""
    likelihood = _sum(evidence)
    return None if likelihood is None else max(0.0, -likelihood) * _disagreement(evidence)


def _cocoa_average(evidence: Evidence) -> float | None:
    likelihood = _average(evidence)
    return None if likelihood is None else max(0.0, -likelihood) * _disagreement(evidence)


def chow_quantile(alpha: float, name: str | None = None) -> Signal:
    """Return the signal that takes the α-quantile of the tokens' log-probabilities; α = 0 is the least of them.

    Register it to use it by name: `register_signal(chow_quantile(0.4))`.

    Args:
        alpha: From 0 to 1.
        name: What to call it; "chow_quantile_" and α unless given.

    Raises:
        ValueError: If α is outside 0 to 1.

    >>> signal = chow_quantile(0.5)
    >>> signal.name, signal.score(Evidence(np.eye(1), logprobs=((-1.0, -0.25, -0.5),))).value
    ('chow_quantile_0.5', -0.5)
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be from 0 to 1, got {alpha}")

    def quantile(evidence: Evidence) -> float | None:
        return None if evidence.tokens is None else float(np.quantile(evidence.tokens, alpha))

    return Signal(
        name=name or f"chow_quantile_{alpha:g}",
        compute=quantile,
        rescale=_exp,
        higher_is_better=True,
        min_answers=1,
        summary=f"The {alpha:g}-quantile of the tokens' ln p; its reliability is exp(value).",
        span="-∞ to 0",
        few=_ANY,
        source=_GUPTA,
        needs=_LOGPROBS,
        of_chosen=True,
        rises_with="similarity",
    )


CHOW_SUM = Signal(
    name="chow_sum",
    compute=_sum,
    rescale=_exp,
    higher_is_better=True,
    min_answers=1,
    summary="Σ ln p over the tokens; its reliability exp(value) is the answer's probability, which falls with length.",
    span="-∞ to 0",
    few=_ANY,
    source=_GUPTA,
    needs=_LOGPROBS,
    of_chosen=True,
    rises_with="similarity",
)

CHOW_AVERAGE = Signal(
    name="chow_average",
    compute=_average,
    rescale=_exp,
    higher_is_better=True,
    min_answers=1,
    summary="Mean ln p of the tokens; its reliability exp(value) is their geometric mean probability.",
    span="-∞ to 0",
    few=_ANY,
    source=_GUPTA,
    needs=_LOGPROBS,
    of_chosen=True,
    rises_with="similarity",
)

CHOW_MINIMUM = chow_quantile(0.0, "chow_minimum")
CHOW_QUANTILE = chow_quantile(0.1, "chow_quantile")

COCOA = Signal(
    name="cocoa",
    compute=_cocoa,
    rescale=_exp_minus,
    higher_is_better=False,
    min_answers=2,
    summary="Token confidence times consistency: -ln p of the answer times its mean dissimilarity to the others.",
    span="0 and up",
    few="n = 1: undefined; n = 2: -ln p times one minus the one similarity",
    source=_VASHURIN,
    needs=_LOGPROBS,
    of_chosen=True,
    rises_with="similarity",
)

COCOA_AVERAGE = Signal(
    name="cocoa_average",
    compute=_cocoa_average,
    rescale=_exp_minus,
    higher_is_better=False,
    min_answers=2,
    summary="The same with the mean ln p of the tokens, so that length does not count.",
    span="0 and up",
    few="n = 1: undefined; n = 2: minus the mean ln p times one minus the one similarity",
    source=_VASHURIN,
    needs=_LOGPROBS,
    of_chosen=True,
    rises_with="similarity",
)
