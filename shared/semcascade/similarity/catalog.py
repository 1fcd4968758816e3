"""Similarities by name, with their settings."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.errors import ConfigError
from semcascade.messages import Candidate
from semcascade.registry import Registry
from semcascade.similarity.base import Comparison, Query, Similarity, answer_text

__all__ = ["SimilarityFunction", "get_similarity", "register_similarity", "similarities"]

SimilarityFunction: TypeAlias = Callable[[str, list[str]], npt.ArrayLike]
"""(question, answers' texts) → n×n matrix in [0, 1]."""

_PACKAGE = "semcascade.similarity"
_SIMILARITIES: Registry[Any] = Registry(
    "similarity",
    {
        "auto": f"{_PACKAGE}.auto:Auto",
        "exact": f"{_PACKAGE}.exact:Exact",
        "rouge_l": f"{_PACKAGE}.lexical:RougeL",
        "token_f1": f"{_PACKAGE}.lexical:TokenF1",
        "chrf": f"{_PACKAGE}.lexical:ChrF",
        "bleu": f"{_PACKAGE}.bleu:Bleu",
        "embedding": f"{_PACKAGE}.embedding:Embedding",
        "entailment": f"{_PACKAGE}.entailment:Entailment",
        "judge": f"{_PACKAGE}.judge:Judge",
        "tool_calls": f"{_PACKAGE}.structured:ToolCalls",
        "json": f"{_PACKAGE}.structured:Json",
        "code": f"{_PACKAGE}.code:Code",
    },
    group="semcascade.similarities",
)


class _Function(Similarity):
    """A plain function, made a similarity. It runs in a worker thread, for it may take any time."""

    heavy = True

    def __init__(self, name: str, function: SimilarityFunction) -> None:
        self.name, self._function = name, function

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        matrix = self._function(query.text, [answer_text(answer) for answer in answers])
        return Comparison(np.asarray(matrix), self.name)


def get_similarity(spec: str | Mapping[str, Any] | Similarity) -> Similarity:
    """Return the similarity that a setting names.

    Args:
        spec: A name, a mapping with a `name` and settings, or a similarity itself.

    Raises:
        ConfigError: If the name or a setting is unknown, or a setting's value is wrong.

    >>> get_similarity({"name": "chrf"}).name
    'chrf'
    """
    if isinstance(spec, Similarity):
        return spec
    if isinstance(spec, str):
        spec = {"name": spec}
    if not isinstance(spec, Mapping):
        raise ConfigError(f"expected a name or a mapping, got {type(spec).__name__}", field="similarity")
    settings = {str(key): value for key, value in spec.items() if key != "name"}
    name = spec.get("name")
    if not isinstance(name, str):
        raise ConfigError(
            f"a mapping needs a name, e.g. 'chrf'; known are {', '.join(similarities())}", field="similarity.name"
        )
    found = _SIMILARITIES.get(name)
    if isinstance(found, type) and issubclass(found, Similarity):
        _check_settings(name, settings, list(inspect.signature(found).parameters))
        try:
            return found(**settings)
        except TypeError as error:
            raise ConfigError(f"a setting of {name!r} has the wrong type: {error}", field="similarity") from error
    _check_settings(name, settings, [])
    return _Function(name, found)


def register_similarity(name: str, similarity: type[Similarity] | SimilarityFunction) -> None:
    """Make a similarity known under `name` in this process.

    A package announces one to every process by an entry point of the group `semcascade.similarities` instead.

    Args:
        name: The name to choose it by.
        similarity: A class, whose constructor's parameters are its settings, or a plain function
            (question, texts) → n×n matrix in [0, 1], symmetric, with ones on the diagonal.

    Raises:
        ConfigError: If the name is taken, or the similarity is neither.
    """
    if not callable(similarity):
        raise ConfigError(f"expected a class or a function, got {type(similarity).__name__}", field="similarity")
    _SIMILARITIES.register(name, similarity)


def similarities() -> tuple[str, ...]:
    """Return the names of all known similarities."""
    return _SIMILARITIES.names()


def _check_settings(name: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    for setting in settings:
        if setting not in known:
            close = difflib.get_close_matches(setting, known, n=1)
            all_known = f"known are {', '.join(known)}" if known else "it has none"
            hint = f"did you mean {close[0]!r}?" if close else all_known
            raise ConfigError(f"{name!r} has no such setting; {hint}", field=f"similarity.{setting}")
