"""Conversations and answers in one provider-neutral shape: OpenAI chat.

A conversation is a tuple of plain message mappings, sent as they are; what comes back is a `Candidate`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from semcascade.errors import InputError, MemberError

__all__ = [
    "Candidate",
    "Conversation",
    "Embeddings",
    "Message",
    "Prompt",
    "Request",
    "ToolCall",
    "Usage",
    "as_conversation",
    "content_text",
    "question_text",
]

Message: TypeAlias = Mapping[str, Any]
Conversation: TypeAlias = tuple[Message, ...]
Prompt: TypeAlias = str | Sequence[Message]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that a model proposed.

    Attributes:
        name: The tool's name.
        arguments: The arguments as the model wrote them, a JSON text.
        id: The provider's id of the call, or "".
    """

    name: str
    arguments: str = "{}"
    id: str = ""

    def parsed(self) -> dict[str, Any] | None:
        """Return the arguments as a dict, or None where they are not a JSON object.

        >>> ToolCall("add", '{"a": 1}').parsed()
        {'a': 1}
        """
        try:
            value = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def to_openai(self) -> dict[str, Any]:
        """Return the call in OpenAI's chat shape."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the provider counted them.

    Attributes:
        input_tokens: Tokens of the prompt, cached ones included.
        output_tokens: Tokens of the answer, reasoning included.
        cached_tokens: Prompt tokens that were read from the provider's cache.
        reasoning_tokens: Output tokens that were spent on hidden reasoning.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer of one member, or its failure.

    Attributes:
        member: Name of the member that was asked.
        text: The answer's text; untrusted.
        tool_calls: The tool calls that the model proposed.
        reasoning: Visible reasoning text, where the provider sends it apart.
        finish_reason: "stop", "length", "tool_calls", "content_filter", or the provider's own word.
        usage: Token counts, or None where the provider sent none.
        cost: Price of the call (all its attempts) in US dollars, or None where unknown.
        estimated_cost: The part of `cost` that is an estimate, for requests that were not waited for.
        latency_s: Seconds from the request to the complete answer.
        logprobs: Natural-log probabilities of the answer's tokens, where the provider sent them.
        tokens: What the provider told of each of these tokens (its text, its alternatives), in OpenAI's shape.
        model: The model's name as the provider reported it.
        attempts: How many requests it took; 0 where it came with another sample's request.
        shares_prompt: Whether it came with another sample's request, whose prompt was billed once, with that sample.
        failure: The error that stands in for an answer; None for an answer.
    """

    member: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    latency_s: float = 0.0
    logprobs: tuple[float, ...] | None = None
    tokens: tuple[Mapping[str, Any], ...] = ()
    model: str | None = None
    attempts: int = 1
    shares_prompt: bool = False
    failure: MemberError | None = None
    estimated_cost: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the member answered."""
        return self.failure is None

    @property
    def billed(self) -> Usage:
        """The tokens that the provider billed for this answer: without the prompt where that was another's."""
        usage = self.usage or Usage()
        return dataclasses.replace(usage, input_tokens=0, cached_tokens=0) if self.shares_prompt else usage


@dataclass(frozen=True, slots=True)
class Embeddings(Candidate):
    """What a model gave that was asked for vectors, or its failure.

    Attributes:
        vectors: One for each text, of equal lengths.
    """

    vectors: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a member is asked.

    Attributes:
        messages: The conversation.
        tools: Tools in OpenAI's shape.
        tool_choice: "auto", "none", "required" or a named tool in OpenAI's shape.
        response_format: OpenAI's `response_format`, for structured output.
        params: Further request parameters (`temperature`, `stop`, ...); they win over the member's own.
    """

    messages: Conversation
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def as_conversation(prompt: object) -> Conversation:
    """Check a prompt and return it as a conversation; message mappings are passed on unchanged.

    Args:
        prompt: A text, or a sequence of OpenAI-style messages.

    Raises:
        InputError: If the prompt is empty, or is neither text nor messages.

    >>> as_conversation("Hi")
    ({'role': 'user', 'content': 'Hi'},)
    """
    if isinstance(prompt, str):
        if not prompt.strip():
            raise InputError("the prompt is empty; ask something", field="prompt")
        _check_text(prompt, "prompt")
        return ({"role": "user", "content": prompt},)
    if isinstance(prompt, Mapping | bytes) or not isinstance(prompt, Sequence):
        raise InputError(
            f"expected a text or a list of messages ({{'role': ..., 'content': ...}}), got {_type(prompt)}",
            field="prompt",
        )
    if not prompt:
        raise InputError("the list of messages is empty", field="prompt")
    for index, message in enumerate(prompt):
        _check_message(message, f"prompt[{index}]")
    if not any(_has_content(message) for message in prompt):
        raise InputError("no message has any content", field="prompt")
    return tuple(prompt)


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, Mapping):
        raise InputError(f"expected a mapping with role and content, got {_type(message)}", field=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InputError(f"unknown role {role!r}; use one of {', '.join(sorted(ROLES))}", field=f"{where}.role")
    content = message.get("content")
    if content is None:
        if role != "assistant":
            raise InputError("content is missing", field=f"{where}.content")
    elif isinstance(content, str):
        _check_text(content, f"{where}.content")
    elif not isinstance(content, Sequence) or not all(isinstance(part, Mapping) for part in content):
        raise InputError(f"expected a text or a list of content parts, got {_type(content)}", field=f"{where}.content")
    else:
        for index, part in enumerate(content):
            if isinstance(part.get("text"), str):
                _check_text(part["text"], f"{where}.content[{index}].text")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"character {error.start} is half a surrogate pair and cannot be sent", field=where) from None


def _has_content(message: Message) -> bool:
    content = message.get("content")
    if isinstance(content, str):
        return bool(content.strip())
    return bool(message.get("tool_calls")) or any(
        str(part.get("text", "")).strip() if part.get("type") == "text" else bool(part) for part in content or ()
    )


def _type(value: object) -> str:
    return type(value).__name__


def content_text(content: object) -> str:
    """Return the text of a message's content; other parts (images, audio) are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))


def question_text(messages: Conversation) -> str:
    """Return the text of the last user message, the question that answers are compared under."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return content_text(message.get("content"))
    return content_text(messages[-1].get("content")) if messages else ""
