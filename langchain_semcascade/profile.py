"""What a cascade can do, in LangChain's words: what every member that may answer can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models.model_profile import ModelProfile

from semcascade.abilities import Ability
from semcascade.model_table import known_of

if TYPE_CHECKING:
    from semcascade.engine.cascade import Cascade

__all__ = ["Combined", "abilities_in", "combined_profile"]

_WORDS: Mapping[Ability, str] = {
    "images": "image_inputs",
    "pdf": "pdf_inputs",
    "audio": "audio_inputs",
    "video": "video_inputs",
    "tools": "tool_calling",
    "tool_choice": "tool_choice",
    "structured_output": "structured_output",
    "reasoning": "reasoning_output",
}
"""LangChain's word for each ability."""


class Combined(dict[str, Any]):
    """A profile that was worked out from the members, not given: other members have another."""


def combined_profile(cascade: Cascade) -> ModelProfile:
    """Return what all members can do: abilities that every one has, the least of their limits.

    What is not known of each of them is left out, unless one is known to lack it.
    """
    abilities = cascade.abilities()
    profile: dict[str, Any] = {word: abilities[name] for name, word in _WORDS.items() if name in abilities}
    window = cascade.context_window()
    outputs = [known_of(member.model).get("max_output_tokens") for member in cascade.config.members()]
    if window is not None:
        profile["max_input_tokens"] = window
    known = [tokens for tokens in outputs if tokens is not None]
    if len(known) == len(outputs):
        profile["max_output_tokens"] = min(known)
    if profile:
        profile["text_inputs"] = profile["text_outputs"] = True
    return cast("ModelProfile", Combined(profile))


def abilities_in(profile: Mapping[str, Any]) -> dict[Ability, bool]:
    """Return what a chat model's profile says that it can do.

    >>> abilities_in({"tool_calling": True, "max_input_tokens": 10})
    {'tools': True}
    """
    return {name: bool(profile[word]) for name, word in _WORDS.items() if profile.get(word) is not None}
