"""Models of sentence-transformers: each loaded once in the process and used by one comparison at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from semcascade.errors import ConfigError, MissingDependencyError
from semcascade.redaction import redact

__all__ = ["BACKENDS", "Kind", "forget_models", "local_model", "too_long"]

Kind = Literal["SentenceTransformer", "CrossEncoder"]
BACKENDS = ("torch", "onnx", "openvino")

_MODELS: dict[tuple[str, str, str, str | None], Any] = {}
_LOCK = threading.Lock()


@contextmanager
def local_model(kind: Kind, name: str, backend: str = "torch", device: str | None = None) -> Iterator[Any]:
    """Give a model to one user at a time, loaded at first use, with one torch thread.

    For a few short texts, more threads only get into each other's way.

    Raises:
        MissingDependencyError: If sentence-transformers is not installed.
        ConfigError: If the model cannot be loaded.
    """
    with _LOCK:
        model = _loaded(kind, name, backend, device)
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield model
        finally:
            torch.set_num_threads(threads)


def forget_models() -> None:
    """Let go of all loaded models."""
    with _LOCK:
        _MODELS.clear()


def too_long(tokenizer: Any, limit: Any, *texts: Sequence[str]) -> list[bool]:
    """Say which texts, or pairs of texts given as two lists, have more tokens than the model reads."""
    if not isinstance(limit, int) or not callable(tokenizer):
        return [False] * len(texts[0])
    tokens = tokenizer(*(list(some) for some in texts), truncation=False, verbose=False)["input_ids"]
    return [len(line) > limit for line in tokens]


def _loaded(kind: Kind, name: str, backend: str, device: str | None) -> Any:
    key = (kind, name, backend, device)
    if key not in _MODELS:
        try:
            import sentence_transformers
        except ImportError as error:
            purpose = "comparing answers by a model of one's own"
            raise MissingDependencyError("sentence-transformers", extra="embeddings", purpose=purpose) from error
        try:
            _MODELS[key] = getattr(sentence_transformers, kind)(name, backend=backend, device=device)
        except Exception as error:
            message = f"cannot load the model {name!r}: {redact(str(error))[:500]}"
            raise ConfigError(message, field="similarity.model") from error
    return _MODELS[key]
