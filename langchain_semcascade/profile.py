"""What a cascade can do: what every member that may answer can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from langchain_core.language_models.model_profile import ModelProfile

from semcascade.config import Member
from semcascade.model_table import known_of

__all__ = ["combined_profile", "member_profile"]

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
    entry = known_of(member.model)
    profile: dict[str, Any] = {}
    if entry:
        profile = {name: bool(entry.get(key)) for name, key in _ABILITIES.items()}
        profile |= {name: entry[name] for name in _LIMITS if name in entry}
    if member.context_window is not None:
        profile["max_input_tokens"] = member.context_window
    return profile
