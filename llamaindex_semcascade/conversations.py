"""From OpenAI's chat shape to LlamaIndex's chat messages, for members that are LlamaIndex LLMs themselves."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)

from semcascade.errors import InputError
from semcascade.messages import Conversation, Message, ToolCall

__all__ = ["from_conversation"]


def from_conversation(messages: Conversation) -> list[ChatMessage]:
    """Return a conversation as LlamaIndex's messages.

    Raises:
        InputError: If a content part is of a kind that LlamaIndex has no block for.

    >>> from_conversation(({"role": "user", "content": "Hi"},))[0].content
    'Hi'
    """
    return [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _message(message: Message, where: str) -> ChatMessage:
    content = message.get("content")
    blocks: list[ContentBlock] = []
    if isinstance(content, str):
        blocks.append(TextBlock(text=content))
    else:
        for index, part in enumerate(content or ()):
            blocks += _blocks(part, f"{where}.content[{index}]")
    blocks += [_tool_call(call) for call in message.get("tool_calls") or ()]
    extra = {key: message[key] for key in ("name", "tool_call_id", "function_call") if key in message}
    return ChatMessage(role=MessageRole(message["role"]), blocks=blocks, additional_kwargs=extra)


def _tool_call(call: Mapping[str, Any]) -> ToolCallBlock:
    asked = ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"])
    arguments = asked.parsed()
    return ToolCallBlock(
        tool_call_id=asked.id, tool_name=asked.name, tool_kwargs=asked.arguments if arguments is None else arguments
    )


def _blocks(part: Mapping[str, Any], where: str) -> list[ContentBlock]:
    blocks = [_block(part, where)]
    if "cache_control" in part:
        blocks.append(CachePoint(cache_control=CacheControl(**part["cache_control"])))
    return blocks


def _block(part: Mapping[str, Any], where: str) -> ContentBlock:
    match part.get("type"):
        case "text":
            return TextBlock(text=part["text"])
        case "image_url":
            image = part["image_url"]
            return ImageBlock(url=image["url"], detail=image.get("detail"), image_mimetype=_mimetype(image["url"]))
        case "input_audio":
            audio = part["input_audio"]
            return AudioBlock(audio=base64.b64decode(audio["data"]), format=audio["format"])
        case "video_url":
            return VideoBlock(url=part["video_url"]["url"], video_mimetype=_mimetype(part["video_url"]["url"]))
        case "file":
            return _document(part["file"])
        case kind:
            raise InputError(f"LlamaIndex has no block for a part of type {kind!r}", field=where)


def _document(file: Mapping[str, Any]) -> DocumentBlock:
    title = file.get("filename")
    if "file_data" not in file:
        return DocumentBlock(url=file["file_id"], title=title)
    data = base64.b64decode(file["file_data"].partition(",")[2])
    return DocumentBlock(data=data, title=title, document_mimetype=_mimetype(file["file_data"]))


def _mimetype(url: str) -> str | None:
    """Return the type that a data address says."""
    parts = urlsplit(url)
    return parts.path.partition(";")[0] if parts.scheme == "data" else None
