"""What a cascade can do: what every member that may answer can do.

The table is LiteLLM's own, read from its file: importing LiteLLM takes seconds, and a chat model's constructor
must not.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from langchain_core.language_models.model_profile import ModelProfile

from semcascade.config import Member

__all__ = ["combined_profile", "member_profile"]

_TABLE = "model_prices_and_context_window_backup.json"

_ABILITIES = {
    "image_inputs": "supports_vision",
    "pdf_inputs": "supports_pdf_input",
    "audio_inputs": "supports_audio_input",
    "video_inputs": "supports_video_input",
    "tool_calling": "supports_function_calling",
    "tool_choice": "supports_tool_choice",
    "structured_output": "supports_response_schema",
    "reasoning_output": "supports_reasoning",
}
"""LangChain's word for an ability, and LiteLLM's."""

_LIMITS = ("max_input_tokens", "max_output_tokens")

_KEPT = ("litellm_provider", *_LIMITS, *_ABILITIES.values())


def combined_profile(members: Iterable[Member]) -> ModelProfile:
    """Return what all members can do: abilities that every one has, the least of their limits.

    What is not known of each of them is left out, unless one is known to lack it.
    """
    profiles = [member_profile(member) for member in members]
    combined: dict[str, Any] = {}
    for name in _ABILITIES:
        known = [profile.get(name) for profile in profiles]
        if False in known:
            combined[name] = False
        elif None not in known:
            combined[name] = True
    for name in _LIMITS:
        limits = [profile[name] for profile in profiles if profile.get(name)]
        if len(limits) == len(profiles):
            combined[name] = min(limits)
    if combined:
        combined["text_inputs"] = combined["text_outputs"] = True
    return cast("ModelProfile", combined)


def member_profile(member: Member) -> dict[str, Any]:
    """Return what is known of one member: its own settings, then LiteLLM's table."""
    entry = _entry(member)
    profile: dict[str, Any] = {}
    if entry is not None:
        profile = {name: bool(entry.get(key)) for name, key in _ABILITIES.items()}
        profile |= {name: entry[name] for name in _LIMITS if isinstance(entry.get(name), int)}
    if member.context_window is not None:
        profile["max_input_tokens"] = member.context_window
    return profile


def _entry(member: Member) -> Mapping[str, Any] | None:
    table = _table()
    provider, _, name = member.model.partition("/")
    for key in (member.model, name):
        entry = table.get(key)
        if entry is not None and (key == member.model or entry.get("litellm_provider") == provider):
            return entry
    return None


@functools.cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    """Read LiteLLM's table of models, or nothing where it is not to be found."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _TABLE
        if path.is_file():
            table = json.loads(path.read_text(encoding="utf-8"))
            return {model: {key: entry[key] for key in _KEPT if key in entry} for model, entry in table.items()}
    return {}
