"""Likeness of wording by BLEU, as sacreBLEU computes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from semcascade.errors import MissingDependencyError
from semcascade.similarity.base import FloatArray, TextSimilarity

__all__ = ["Bleu"]

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff]")


class Bleu(TextSimilarity):
    """Sentence BLEU with effective order (Papineni et al. 2002, doi 10.3115/1073083.1073135; Post 2018, W18-6319).

    Made symmetric by the mean of both directions. Tokens are sacreBLEU's: "13a"; "zh" where one of two texts is
    Chinese; "char" where one is in another script without spaces. Slower than the other lexical similarities.

    Raises:
        MissingDependencyError: When used, if sacrebleu is not installed.
    """

    name = "bleu"
    heavy = True

    def prepare(self) -> None:
        """Import sacreBLEU."""
        _metric("13a")

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        """Return BLEU, 0 to 1, for every pair of texts.

        >>> Bleu().matrix(["the cat sat on the mat", "the cat sat on a mat"]).round(3).tolist()
        [[1.0, 0.537], [0.537, 1.0]]
        """
        matrix = np.eye(len(texts))
        metrics: dict[str, Any] = {}
        for i, first in enumerate(texts):
            for j, second in enumerate(texts[:i]):
                kind = _tokens_of(first + second)
                metric = metrics.get(kind) or metrics.setdefault(kind, _metric(kind))
                there, back = metric.sentence_score(first, [second]), metric.sentence_score(second, [first])
                matrix[i, j] = matrix[j, i] = 1.0 if first == second else (there.score + back.score) / 200
        return np.asarray(np.clip(matrix, 0.0, 1.0))


def _tokens_of(text: str) -> str:
    return "char" if _UNSPACED.search(text) else "zh" if _HAN.search(text) else "13a"


def _metric(tokens: str) -> Any:
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise MissingDependencyError("sacrebleu", extra="lexical", purpose="comparing answers by BLEU") from error
    return BLEU(effective_order=True, tokenize=tokens)
