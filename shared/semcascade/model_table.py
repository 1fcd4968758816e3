"""What is known of models without asking anyone: LiteLLM's table, read from its file.

Importing LiteLLM takes seconds, which nobody should wait for to learn the size of a context window.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semcascade.messages import Usage

__all__ = ["known_of", "price_of"]

_TABLE = "model_prices_and_context_window_backup.json"

_LIMITS = ("max_input_tokens", "max_output_tokens")
_PRICES = re.compile(
    r"(input_cost_per_token|output_cost_per_token|cache_read_input_token_cost|output_cost_per_reasoning_token)"
    r"(?:_above_(\d+)k_tokens)?"
)


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


def price_of(model: str, usage: Usage) -> float | None:
    """Return what a call costs in US dollars by LiteLLM's table, or None where it does not say.

    Cached and reasoning tokens have prices of their own where the table gives them, and so have long prompts, whose
    price then counts for all tokens; discounts by the time of day are left out.

    Args:
        model: Provider and model, as members write it.
        usage: The call's tokens.

    >>> round(price_of("openai/gpt-4o-mini", Usage(1_000_000, 0, cached_tokens=1_000_000)), 9)
    0.075
    """
    known = known_of(model)
    if "input_cost_per_token" not in known or "output_cost_per_token" not in known:
        return None
    prices = _prices(model, usage.input_tokens)
    asked, said = prices["input_cost_per_token"], prices["output_cost_per_token"]
    cached = prices.get("cache_read_input_token_cost", asked)
    thought = prices.get("output_cost_per_reasoning_token", said)
    read, hidden = min(usage.cached_tokens, usage.input_tokens), min(usage.reasoning_tokens, usage.output_tokens)
    return (
        (usage.input_tokens - read) * asked + read * cached + (usage.output_tokens - hidden) * said + hidden * thought
    )


def _prices(model: str, length: int) -> dict[str, float]:
    """Return the prices that count for a prompt of this length."""
    return {name: price for least, name, price in _graded(model) if least == 0 or length > least}


@functools.lru_cache(maxsize=1024)
def _graded(model: str) -> tuple[tuple[int, str, float], ...]:
    """Return the prices of a model with the lengths of prompt from which they count, short ones first."""
    found = [(_PRICES.fullmatch(key), price) for key, price in known_of(model).items()]
    return tuple(sorted((int(match[2] or 0) * 1000, match[1], price) for match, price in found if match is not None))


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
        if key == "litellm_provider"
        or key.startswith("supports_")
        or (key in _LIMITS and isinstance(value, int))
        or (_PRICES.fullmatch(key) and isinstance(value, int | float))
    }
