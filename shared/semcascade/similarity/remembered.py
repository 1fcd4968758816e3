"""A similarity that remembers, across processes, what it said of the same question and answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semcascade.memory import Memory, key_of
from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, Query, Similarity

__all__ = ["Remembered", "content_of", "is_lasting", "remembering"]

_ARRAYS = ("matrix", "tiebreak", "entailment", "contradiction", "unsupported", "twins", "apart")

_PASSING = frozenset({"usage", "cost", "estimated_cost", "latency_s", "attempts", "shares_prompt", "model", "failure"})
"""What no comparison looks at: how an answer came, not what it says."""

_SAID = [field.name for field in dataclasses.fields(Candidate) if field.name not in _PASSING]


def remembering(similarity: Similarity, spec: str | Mapping[str, Any], memory: Memory) -> Similarity:
    """Return the similarity with a memory where what it says lasts; as it is otherwise."""
    return Remembered(similarity, spec, memory) if is_lasting(similarity) else similarity


def is_lasting(similarity: Similarity) -> bool:
    """Say whether the same answers will be found as alike tomorrow: where nothing but this library's code tells.

    The price of what asks a service is part of the record, a model's weights may change under its name, and what a
    user registered is the user's to change.
    """
    if isinstance(similarity, Remembered):
        return True
    if similarity.heavy or similarity.remote or similarity.members:
        return False
    ours = type(similarity).__module__.startswith("semcascade.")
    return ours and all(is_lasting(part) for part in vars(similarity).values() if isinstance(part, Similarity))


def content_of(query: Query, answers: Sequence[Candidate]) -> list[Any]:
    """Return all that a comparison may depend on, as plain data."""
    said = [[getattr(answer, name) for name in _SAID] for answer in answers]
    return [query.text, query.tools, query.response_format, query.tool_choice, said]


class Remembered(Similarity):
    """Looks up what is known before it compares.

    Args:
        similarity: Compares what is not known yet.
        spec: The similarity's name and settings; another one remembers something else.
        memory: Where it is kept.
    """

    def __init__(self, similarity: Similarity, spec: str | Mapping[str, Any], memory: Memory) -> None:
        self._similarity, self._memory = similarity, memory
        self._spec = spec if isinstance(spec, str) else dict(spec)
        self.name, self.heavy, self.gives = similarity.name, similarity.heavy, similarity.gives
        self.pairwise, self.separates = similarity.pairwise, similarity.separates

    def prepare(self) -> None:
        """Get the similarity ready."""
        self._similarity.prepare()

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Return what is known of the answers, or compare them."""
        key = key_of("comparison", self._spec, content_of(query, answers))
        known = self._memory.get(key)
        if known is not None:
            return _read(known)
        found = self._similarity.compare(query, answers)
        self._memory.put(key, _written(found))
        return found


def _written(found: Comparison) -> dict[str, Any]:
    data = {name: getattr(found, name) for name in ("method", "notes", "same_at", "clusters")}
    arrays = {name: getattr(found, name) for name in _ARRAYS}
    return data | {name: None if array is None else np.asarray(array).tolist() for name, array in arrays.items()}


def _read(known: Mapping[str, Any]) -> Comparison:
    fields = {field.name for field in dataclasses.fields(Comparison)}
    given = {name: value for name, value in known.items() if name in fields}
    for name in _ARRAYS:
        given[name] = None if given.get(name) is None else np.array(given[name])
    given["notes"] = tuple(given["notes"])
    given["clusters"] = None if given["clusters"] is None else tuple(given["clusters"])
    return Comparison(**given)
