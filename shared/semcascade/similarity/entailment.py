"""Likeness of meaning by entailment: two answers mean the same if each follows from the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.clusters import greedy
from semcascade.errors import ConfigError
from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, FloatArray, Query, Similarity, answer_text
from semcascade.similarity.batches import Batches
from semcascade.similarity.cache import TextCache
from semcascade.similarity.local_models import BACKENDS, local_model, too_long
from semcascade.similarity.sentences import evenly, sentences
from semcascade.similarity.tokens import tokenize

__all__ = ["DEFAULT_MODEL", "Entailment"]

DEFAULT_MODEL = "cross-encoder/nli-deberta-v3-base"

LONG_WORDS = 40
"""An answer of more words is checked sentence by sentence."""

MOST_SENTENCES = 20
"""Of an answer with more sentences so many are checked, evenly spread."""

MOST_CHARACTERS = 20_000
"""Of a longer text only the beginning is given to the model."""

QUESTION_CHARACTERS = 400
"""Of a longer question only the end is put before the answers, so that they are not crowded out."""

Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the model says of one pair: P(entailment), P(neutral), P(contradiction), and whether it was cut."""

    shares: tuple[float, float, float]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Laid:
    """Answers laid out for the model: what each is taken to say, and what of it is to follow from another."""

    texts: tuple[str, ...]
    premises: tuple[str, ...]
    hypotheses: tuple[tuple[str, ...], ...]

    @classmethod
    def out(cls, query: Query, answers: Sequence[Candidate]) -> _Laid:
        texts = tuple(answer_text(answer) for answer in answers)
        return cls(
            texts,
            tuple(_stated(query, text) for text in texts),
            tuple(tuple(_stated(query, part) for part in _parts(text)) for text in texts),
        )

    @property
    def pairs(self) -> list[Pair]:
        """Every answer with every part of every other."""
        directions = permutations(range(len(self.texts)), 2)
        return [(self.premises[i], part) for i, j in directions for part in self.hypotheses[j]]


class Entailment(Similarity):
    """Mean of both directions' P(entailment), by a cross-encoder for natural language inference.

    The question (of a long one the end) is put before both texts, "{question} {answer}", so that short answers are
    statements. Answers of more than 40 words are checked sentence by sentence (at most 20, evenly spread): how far
    such an answer follows from another is the mean over its sentences. Everything goes to the model in one batch.

    Clusters are found in the answers' order, each answer compared with a cluster's first member (Kuhn, Gal, Farquhar
    2023, arXiv 2302.09664). Strict: the likeliest label is entailment both ways. Lenient: it is contradiction neither
    way, and not neutral both ways.

    Args:
        model: A hub id or directory of a sentence-transformers cross-encoder with three labels (entailment, neutral,
            contradiction, in any order; it is read from the model's configuration) or two (entailment and not, which
            then counts as contradiction).
        lenient: Whether clusters are lenient.
        same_at: Similarity from which two answers count as the same, for signals that do not take the clusters.
        labels: The model's labels in order, for a model whose configuration does not name them.
        batch_size: How many pairs the model is given at once.
        cache_size: How many pairs are remembered, so that none is checked twice.
        backend: "torch", "onnx" or "openvino".
        device: Chosen by torch unless given.

    Raises:
        ConfigError: If a setting is wrong.
    """

    name = "entailment"
    heavy = True
    gives = frozenset({"entailment", "contradiction"})

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        lenient: bool = False,
        same_at: float = 0.5,
        labels: Sequence[str] | None = None,
        batch_size: int = 64,
        cache_size: int = 8192,
        backend: str = "torch",
        device: str | None = None,
    ) -> None:
        if not isinstance(model, str) or not model.strip():
            raise ConfigError("name a cross-encoder, e.g. " + DEFAULT_MODEL, field="similarity.model")
        if not 0 <= same_at <= 1:
            raise ConfigError(f"must be from 0 to 1, got {same_at}", field="similarity.same_at")
        if batch_size < 1:
            raise ConfigError(f"must be 1 or more, got {batch_size}", field="similarity.batch_size")
        if cache_size < 0:
            raise ConfigError(f"must be 0 or more, got {cache_size}", field="similarity.cache_size")
        if backend not in BACKENDS:
            raise ConfigError(f"must be one of {', '.join(BACKENDS)}, got {backend!r}", field="similarity.backend")
        self.model, self.lenient, self.same_at = model, lenient, same_at
        self._labels = None if labels is None else _columns(labels, "similarity.labels")
        self._batch_size = batch_size
        self._cache: TextCache[_Judged] = TextCache(cache_size)
        self._batches: Batches[Pair, _Judged] = Batches(self._predict)
        self._local = (model, backend, device)

    def prepare(self) -> None:
        """Load the model, and see which of its labels is which."""
        with local_model("CrossEncoder", *self._local) as model:
            self._columns_of(model)

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Check every pair of answers in both directions."""
        laid = _Laid.out(query, answers)
        known, missing = self._known(laid.pairs)
        return self._found(laid, known | self._keep(missing, self._batches.wait(missing) if missing else []))

    async def acompare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Check every pair of answers; what concurrent queries ask the model goes to it in one batch."""
        laid = _Laid.out(query, answers)
        known, missing = self._known(laid.pairs)
        return self._found(laid, known | self._keep(missing, await self._batches.gather(missing) if missing else []))

    def _found(self, laid: _Laid, judged: Mapping[Pair, _Judged]) -> Comparison:
        n = len(laid.texts)
        entailment, contradiction = np.zeros((n, n, 3)), np.zeros((n, n))
        entailment[np.diag_indices(n)] = (1.0, 0.0, 0.0)
        for i, j in permutations(range(n), 2):
            shares = np.array([judged[laid.premises[i], part].shares for part in laid.hypotheses[j]])
            entailment[i, j] = shares.mean(axis=0)
            contradiction[j, i] = _contradicted(shares)
        follows = entailment[..., 0]
        return Comparison(
            (follows + follows.T) / 2,
            f"entailment by {self.model}{', lenient' if self.lenient else ''}",
            notes=self._notes(laid.texts, laid.premises, judged),
            same_at=self.same_at,
            clusters=greedy(_same(entailment, lenient=self.lenient)),
            entailment=entailment,
            contradiction=contradiction,
        )

    def _known(self, pairs: Sequence[Pair]) -> tuple[dict[Pair, _Judged], list[Pair]]:
        """Return what is known of the pairs, and those that the model must see; equal texts entail each other."""
        found = {pair: _Judged((1.0, 0.0, 0.0)) if pair[0] == pair[1] else self._cache.get(*pair) for pair in pairs}
        known = {pair: judged for pair, judged in found.items() if judged is not None}
        return known, [pair for pair, judged in found.items() if judged is None]

    def _keep(self, pairs: Sequence[Pair], judged: Sequence[_Judged]) -> dict[Pair, _Judged]:
        for pair, one in zip(pairs, judged, strict=True):
            self._cache.put(one, *pair)
        return dict(zip(pairs, judged, strict=True))

    def _predict(self, pairs: list[Pair]) -> list[_Judged]:
        with local_model("CrossEncoder", *self._local) as model:
            columns = self._columns_of(model)
            import torch

            logits = model.predict(
                pairs,
                batch_size=self._batch_size,
                activation_fn=torch.nn.Identity(),
                convert_to_numpy=True,
                show_progress_bar=False,
            )
            premises, hypotheses = zip(*pairs, strict=True)
            # The limit changed its name with sentence-transformers 6.
            limit = getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)
            cut = too_long(model.tokenizer, limit, premises, hypotheses)
        shares = _softmax(np.asarray(logits, dtype=np.float64))
        return [_Judged(_ordered(row, columns), lost) for row, lost in zip(shares, cut, strict=True)]

    def _columns_of(self, model: Any) -> Mapping[str, int]:
        if self._labels is not None:
            if len(self._labels) != (given := int(model.model.config.num_labels)):
                message = f"{len(self._labels)} labels are named, and {self.model} has {given}"
                raise ConfigError(message, field="similarity.labels")
            return self._labels
        named = model.model.config.id2label
        return _columns([str(named[index]) for index in sorted(named, key=int)], "similarity.model")

    def _notes(self, texts: Sequence[str], premises: Sequence[str], judged: Mapping[Pair, _Judged]) -> tuple[str, ...]:
        notes = []
        cut = {premise for (premise, other), one in judged.items() if one.cut and len(premise) >= len(other)}
        lost = sum(premise in cut or len(text) > MOST_CHARACTERS for text, premise in zip(texts, premises, strict=True))
        if lost:
            notes.append(f"{lost} of {len(texts)} answers were longer than {self.model} reads and lost their end")
        sampled = sum(len(_parts(text)) < len(sentences(text)) for text in texts if _is_long(text))
        if sampled:
            notes.append(f"{sampled} of {len(texts)} answers were checked by {MOST_SENTENCES} of their sentences")
        return tuple(notes)


def _stated(query: Query, text: str) -> str:
    question = query.text[-QUESTION_CHARACTERS:].strip()
    return f"{question} {text[:MOST_CHARACTERS]}" if question else text[:MOST_CHARACTERS]


def _is_long(text: str) -> bool:
    return len(tokenize(text)) > LONG_WORDS


def _parts(text: str) -> list[str]:
    """Return what is to follow from another answer: the text, or its sentences where it is long."""
    return evenly(sentences(text), MOST_SENTENCES) if _is_long(text) else [text]


def _same(entailment: FloatArray, *, lenient: bool) -> npt.NDArray[np.bool_]:
    label = entailment.argmax(axis=2)
    if not lenient:
        return np.asarray((label == 0) & (label == 0).T)
    neutral, contradicts = label == 1, label == 2
    return np.asarray(~(contradicts | contradicts.T) & ~(neutral & neutral.T))


def _contradicted(shares: FloatArray) -> float:
    """Mean over sentences of P(contradiction) with neutrality left out (Manakul et al. 2023, arXiv 2303.08896)."""
    decided = shares[:, 0] + shares[:, 2]
    return float(np.divide(shares[:, 2], decided, out=np.full(len(shares), 0.5), where=decided > 0).mean())


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def _ordered(row: FloatArray, columns: Mapping[str, int]) -> tuple[float, float, float]:
    neutral = float(row[columns["neutral"]]) if "neutral" in columns else 0.0
    return float(row[columns["entailment"]]), neutral, float(row[columns["contradiction"]])


def _columns(labels: Sequence[str], field: str) -> Mapping[str, int]:
    """Say in which column each label stands.

    Raises:
        ConfigError: If the labels are not those of natural language inference.
    """
    columns: dict[str, int] = {}
    for index, label in enumerate(labels):
        word = str(label).strip().lower().replace(" ", "_").replace("-", "_")
        if word.startswith(("not_entail", "contradict")):
            columns["contradiction"] = index
        elif word.startswith("entail"):
            columns["entailment"] = index
        elif word.startswith("neutral"):
            columns["neutral"] = index
    if len(columns) != len(labels) or not {"entailment", "contradiction"} <= columns.keys():
        raise ConfigError(
            f"the labels {', '.join(map(str, labels))} are not those of an entailment model; take another model, or "
            "give labels = ['contradiction', 'entailment', 'neutral'] in the model's order",
            field=field,
        )
    return columns
