"""What is known of models without asking anyone: LiteLLM's table, read from its file.

Importing LiteLLM takes seconds, which nobody should wait for to learn the size of a context window.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["known_of"]

_TABLE = "model_prices_and_context_window_backup.json"

_LIMITS = ("max_input_tokens", "max_output_tokens")


def known_of(model: str) -> Mapping[str, Any]:
    """Return what LiteLLM's table says of a model: `supports_...` flags and limits in tokens; {} where nothing.

    Args:
        model: Provider and model, as members write it.

    >>> known_of("openai/gpt-4o-mini")["max_input_tokens"], known_of("openai/my-own")
    (128000, {})
    """
    table = _table()
    provider, _, name = model.partition("/")
    for key in (model, name):
        entry = table.get(key)
        if entry is not None and (key == model or entry.get("litellm_provider") == provider):
            return entry
    return {}


@functools.cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    """Read the table, or nothing where it is not to be found."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _TABLE
        if path.is_file():
            table = json.loads(path.read_text(encoding="utf-8"))
            return {model: _kept(entry) for model, entry in table.items()}
    return {}


def _kept(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        key: value
        for key, value in entry.items()
        if key == "litellm_provider" or key.startswith("supports_") or (key in _LIMITS and isinstance(value, int))
    }
