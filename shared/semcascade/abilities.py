"""What models can do beyond text, and what a request needs of them."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, get_args

from semcascade.messages import Message, Request
from semcascade.model_table import known_of

__all__ = ["ABILITIES", "Ability", "abilities_of_model", "common", "field_of", "in_words", "needs"]

Ability: TypeAlias = Literal[
    "tools", "tool_choice", "structured_output", "images", "audio", "video", "pdf", "reasoning"
]  # fmt: skip

ABILITIES: tuple[Ability, ...] = get_args(Ability)

_IN_TABLE: Mapping[Ability, str] = {
    "tools": "supports_function_calling",
    "tool_choice": "supports_tool_choice",
    "structured_output": "supports_response_schema",
    "images": "supports_vision",
    "audio": "supports_audio_input",
    "video": "supports_video_input",
    "pdf": "supports_pdf_input",
    "reasoning": "supports_reasoning",
}
"""LiteLLM's word for each."""

_WORDS: Mapping[Ability, str] = {
    "tools": "be offered tools",
    "tool_choice": "be told to call a tool",
    "structured_output": "be held to a schema",
    "images": "take images",
    "audio": "take audio",
    "video": "take video",
    "pdf": "take PDF files",
    "reasoning": "reason",
}

_FIELDS: Mapping[Ability, str] = {
    "tools": "tools",
    "tool_choice": "tool_choice",
    "structured_output": "response_format",
}

_BY_TYPE: Mapping[str, Ability] = {"image": "images", "audio": "audio", "video": "video", "application/pdf": "pdf"}
"""By a file's media type, or the first half of it."""


def abilities_of_model(model: str) -> dict[Ability, bool]:
    """Return what LiteLLM's table says of a model; {} where it does not know it.

    >>> abilities_of_model("openai/gpt-4o-mini")["audio"], abilities_of_model("openai/my-own")
    (False, {})
    """
    known = known_of(model)
    return {ability: bool(known.get(key)) for ability, key in _IN_TABLE.items()} if known else {}


def common(members: Iterable[Mapping[Ability, bool]]) -> dict[Ability, bool]:
    """Return what all members can do: what one is known to lack, all lack; what is unknown of one is left out.

    >>> common([{"tools": True, "images": True}, {"tools": True, "images": False}, {"tools": True}])
    {'tools': True, 'images': False}
    """
    each = list(members)
    said = {ability: {one.get(ability) for one in each} for ability in ABILITIES}
    return {ability: False not in known for ability, known in said.items() if False in known or None not in known}


def needs(request: Request) -> frozenset[Ability]:
    """Return what a request needs of whoever answers it.

    >>> sorted(needs(Request(({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "..."}}]},))))
    ['images']
    """
    found: set[Ability] = {ability for message in request.messages for ability in _shown(message)}
    if request.tools:
        found.add("tools")
        if request.tool_choice not in (None, "auto", "none"):
            found.add("tool_choice")
    if (request.response_format or {}).get("type") == "json_schema":
        found.add("structured_output")
    return frozenset(found)


def in_words(lacking: Iterable[Ability]) -> str:
    """Write abilities as what somebody can or cannot do.

    >>> in_words(["pdf", "tools"])
    'be offered tools or take PDF files'
    """
    wanted = set(lacking)
    return " or ".join(_WORDS[ability] for ability in ABILITIES if ability in wanted)


def field_of(ability: Ability) -> str:
    """Return the argument of a call that needs the ability."""
    return _FIELDS.get(ability, "prompt")


def _shown(message: Message) -> Iterable[Ability]:
    """Yield what the parts of one message need."""
    content = message.get("content")
    for part in content if isinstance(content, list | tuple) else ():
        kind = part.get("type")
        if kind in {"image_url", "image"}:
            yield "images"
        elif kind == "input_audio":
            yield "audio"
        elif kind == "video_url":
            yield "video"
        elif kind == "file":
            media = _media_type(part.get("file"))
            ability = _BY_TYPE.get(media) or _BY_TYPE.get(media.partition("/")[0])
            if ability is not None:
                yield ability


def _media_type(file: Any) -> str:
    """Return the media type of a file part, by its data, its own word, its address or its name; "" where unknown."""
    if not isinstance(file, Mapping):
        return ""
    data = file.get("file_data")
    if isinstance(data, str) and data.startswith("data:"):
        return data[len("data:") : 100].partition(";")[0]
    said = file.get("format") or file.get("mime_type")
    if isinstance(said, str):
        return said
    named = (file.get("file_id"), file.get("filename"))
    guesses = (mimetypes.guess_type(name.partition("?")[0])[0] for name in named if isinstance(name, str))
    return next(filter(None, guesses), "")
