"""Between LlamaIndex's chat messages and OpenAI's chat shape, both ways; what a caller hands in is never changed.

Reasoning of earlier turns is not sent again: its signatures belong to the model that wrote it, and another member
would refuse them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import IOBase
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from semcascade.errors import InputError
from semcascade.messages import Candidate, ToolCall

__all__ = ["to_chat_message", "to_conversation", "tool_calls_of"]

Part = dict[str, Any]

_ROLES = {MessageRole.CHATBOT: "assistant", MessageRole.MODEL: "assistant"}
_KEPT = ("name", "function_call")
"""Entries of `additional_kwargs` that OpenAI's chat shape knows; tool calls and their ids are looked at apart."""


def to_conversation(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages in OpenAI's chat shape.

    Raises:
        InputError: If a message holds what no chat model takes; its `field` names message and block.

    >>> to_conversation([ChatMessage("Hi"), ChatMessage("Hello!", role="model")])
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello!'}]
    """
    return [_to_openai(message, f"messages[{index}]") for index, message in enumerate(messages)]


def to_chat_message(candidate: Candidate) -> ChatMessage:
    """Return an answer as an assistant's message.

    Tool calls stand in it as blocks, and once more under `additional_kwargs["tool_calls"]`, where LlamaIndex's own
    structured streaming looks for them.
    """
    blocks: list[Any] = []
    if candidate.reasoning:
        tokens = candidate.usage.reasoning_tokens if candidate.usage else 0
        blocks.append(ThinkingBlock(content=candidate.reasoning, num_tokens=tokens or None))
    if candidate.text or not candidate.tool_calls:
        blocks.append(TextBlock(text=candidate.text))
    blocks += [_tool_call_block(call) for call in candidate.tool_calls]
    extra = {"tool_calls": [call.to_openai() for call in candidate.tool_calls]} if candidate.tool_calls else {}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra)


def _tool_call_block(call: ToolCall) -> ToolCallBlock:
    """Arguments that are no JSON object are kept as the text that they are."""
    arguments = call.parsed()
    return ToolCallBlock(
        tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments if arguments is None else arguments
    )


def _to_openai(message: ChatMessage, where: str) -> dict[str, Any]:
    if not isinstance(message, ChatMessage):
        raise InputError(f"expected a ChatMessage, got {type(message).__name__}", field=where)
    role = _ROLES.get(message.role, message.role.value)
    extra = message.additional_kwargs
    converted: dict[str, Any] = {"role": role, "content": _content(message.blocks, where)}
    converted |= {key: extra[key] for key in _KEPT if extra.get(key) is not None}
    if role == "tool":
        if extra.get("tool_call_id") is None:
            raise InputError(
                "a tool's result says which call it answers: additional_kwargs={'tool_call_id': ...}",
                field=f"{where}.additional_kwargs",
            )
        converted["tool_call_id"] = extra["tool_call_id"]
    elif role == "assistant":
        calls = tool_calls_of(message, where)
        if calls:
            converted |= {"content": converted["content"] or None, "tool_calls": calls}
    return converted


def tool_calls_of(message: ChatMessage, where: str = "message") -> list[Part]:
    """Return the calls of a message's blocks, or else those that older code keeps in `additional_kwargs`."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [_call_of_block(block) for block in blocks]
    calls = message.additional_kwargs.get("tool_calls") or ()
    return [_plain_call(call, f"{where}.additional_kwargs.tool_calls[{index}]") for index, call in enumerate(calls)]


def _call_of_block(block: ToolCallBlock) -> Part:
    given = block.tool_kwargs
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return ToolCall(block.tool_name, arguments, block.tool_call_id or "").to_openai()


def _plain_call(call: object, where: str) -> Part:
    """Accept a mapping in OpenAI's shape, or the object of a provider's client that stands for one."""
    plain = call.model_dump() if hasattr(call, "model_dump") else call
    if not isinstance(plain, Mapping) or not isinstance(plain.get("function"), Mapping):
        raise InputError("expected {'id': ..., 'type': 'function', 'function': {'name', 'arguments'}}", field=where)
    function = plain["function"]
    return ToolCall(function.get("name") or "", function.get("arguments") or "{}", plain.get("id") or "").to_openai()


def _content(blocks: Iterable[object], where: str) -> str | list[Part]:
    """Return text alone as one text, as `ChatMessage.content` joins it; anything else as a list of parts."""
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        _add(parts, block, f"{where}.blocks[{index}]")
    if all(part.keys() == {"type", "text"} for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _add(parts: list[Part], block: object, where: str) -> None:
    match block:
        case TextBlock():
            parts.append({"type": "text", "text": block.text})
        case ImageBlock():
            parts.append(_image(block, where))
        case AudioBlock():
            parts.append(_audio(block, where))
        case VideoBlock():
            parts.append({"type": "video_url", "video_url": {"url": _video_url(block, where)}})
        case DocumentBlock():
            parts.append(_document(block, where))
        case CitableBlock():
            parts.append({"type": "text", "text": f"{block.title} ({block.source})"})
            for index, inner in enumerate(block.content):
                _add(parts, inner, f"{where}.content[{index}]")
        case CitationBlock():
            _add(parts, block.cited_content, f"{where}.cited_content")
        case CachePoint():
            _mark_cached(parts, block, where)
        case ThinkingBlock() | ToolCallBlock():
            pass
        case _:
            raise InputError(f"a {type(block).__name__} cannot be sent to a chat model", field=where)


def _mark_cached(parts: list[Part], point: CachePoint, where: str) -> None:
    if not parts:
        raise InputError("a cache point stands behind the block up to which to cache", field=where)
    parts[-1]["cache_control"] = {"type": point.cache_control.type, "ttl": point.cache_control.ttl}


def _image(block: ImageBlock, where: str) -> Part:
    url = str(block.url) if block.url else _data_url(block.resolve_image, block.image_mimetype or "image/jpeg", where)
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": block.detail} if block.detail else {})}


def _audio(block: AudioBlock, where: str) -> Part:
    if not block.format:
        raise InputError("the audio's format is not known; give format='wav' or 'mp3'", field=where)
    return {"type": "input_audio", "input_audio": {"data": _base64(block.resolve_audio, where), "format": block.format}}


def _video_url(block: VideoBlock, where: str) -> str:
    return str(block.url) if block.url else _data_url(block.resolve_video, block.video_mimetype or "video/mp4", where)


def _document(block: DocumentBlock, where: str) -> Part:
    if block.url and not block.data:
        return {"type": "file", "file": {"file_id": str(block.url), "filename": block.title}}
    mimetype = block.document_mimetype or "application/pdf"
    if mimetype.startswith("text/"):
        text = _bytes(block.resolve_document, where).decode("utf-8", errors="replace")
        return {"type": "text", "text": f"{block.title}\n{text}"}
    data = _data_url(block.resolve_document, mimetype, where)
    return {"type": "file", "file": {"filename": block.title, "file_data": data}}


def _data_url(resolve: Callable[[], IOBase], mimetype: str, where: str) -> str:
    return f"data:{mimetype};base64,{_base64(resolve, where)}"


def _base64(resolve: Callable[[], IOBase], where: str) -> str:
    return base64.b64encode(_bytes(resolve, where)).decode("ascii")


def _bytes(resolve: Callable[[], IOBase], where: str) -> bytes:
    """Read a block's data; a caller's own buffer is left at its start, so that it can be read again."""
    try:
        buffer = resolve()
    except (OSError, ValueError) as error:
        raise InputError(f"its data cannot be read: {error}", field=where) from error
    data: bytes = buffer.read()
    buffer.seek(0)
    return data
