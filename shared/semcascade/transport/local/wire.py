"""What a running model is asked and what it answers, in the library's own shapes and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from semcascade.config import Member
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    MalformedReplyError,
    MemberError,
    ModelNotFoundError,
    ServerError,
)
from semcascade.messages import Candidate, Message, Request, Usage
from semcascade.transport.base import Delta, told_of

__all__ = ["body", "candidate", "delta", "encoded", "refusal"]

_NOT_FOR_HERE = frozenset(
    {"api_version", "custom_llm_provider", "drop_params", "extra_body", "extra_headers", "max_completion_tokens"}
    | {"metadata", "modalities", "organization", "parallel_tool_calls", "reasoning_effort", "service_tier", "thinking"}
    | {"user", "verbosity"}
)
"""Parameters of other providers that a model here has no use for."""

_ERRORS: Mapping[int, type[MemberError]] = {401: AuthenticationError, 404: ModelNotFoundError}


def body(member: Member, request: Request, *, stop: Sequence[str] = (), sample: int = 0) -> dict[str, Any]:
    """Return a request in OpenAI's shape: the request's parameters over the member's.

    Args:
        member: Who is asked.
        request: What is asked.
        stop: Where the model's answers end unless member or request say otherwise.
        sample: Which of the member's samples this is; each gets a seed of its own.

    Raises:
        BadRequestError: If tools are offered, or there is more than text.
    """
    if request.tools and request.tool_choice != "none":
        raise BadRequestError(
            "models that run on this machine give no tool calls; use another provider for this member, or ask "
            "without tools",
            member=member.name,
        )
    given = {**member.params, **{key: value for key, value in request.params.items() if value is not None}}
    asked = {key: value for key, value in given.items() if key not in _NOT_FOR_HERE}
    asked.update(given.get("extra_body") or {})
    if given.get("max_completion_tokens") is not None:
        asked["max_tokens"] = given["max_completion_tokens"]
    if stop:
        asked.setdefault("stop", list(stop))
    if request.response_format is not None:
        asked["response_format"] = request.response_format
        if request.params.get("stop") is None:
            # The grammar knows where an answer ends; ends that are meant for plain text would cut it short.
            asked.pop("stop", None)
    if sample and isinstance(asked.get("seed"), int):
        asked["seed"] += sample
    return {**asked, "messages": [_text_only(member, message) for message in request.messages]}


def encoded(member: Member, asked: Mapping[str, Any]) -> bytes:
    """Return a request as it goes over the wire.

    Raises:
        BadRequestError: If a parameter cannot be written as JSON.
    """
    try:
        return json.dumps(asked).encode()
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"a request parameter cannot be sent: {error}", member=member.name) from error


def _text_only(member: Member, message: Message) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        others = [part.get("type") for part in content if part.get("type") != "text"]
        if others:
            raise BadRequestError(
                f"models that run on this machine read text only; the prompt holds {others[0]!r}", member=member.name
            )
    return dict(message)


def candidate(member: Member, text: str) -> Candidate:
    """Return a whole answer; cost and latency are left to the caller.

    Raises:
        MalformedReplyError: If it is not one.
    """
    try:
        reply = json.loads(text)
        choice = reply["choices"][0]
        message = choice["message"]
        return Candidate(
            member=member.name,
            text=(message.get("content") or "").lstrip(),
            reasoning=message.get("reasoning_content") or "",
            finish_reason=choice.get("finish_reason"),
            usage=_usage(reply),
            **told_of(_tokens(choice)),
            model=reply.get("model"),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise MalformedReplyError(f"the reply is not an answer: {text[:200]}", member=member.name) from error


def delta(member: Member, line: str) -> Delta | None:
    """Return the piece of an answer that a line of the stream carries, or None if it carries none.

    Raises:
        MemberError: If the line tells of an error.
    """
    kind, _, data = line.partition(":")
    data = data.strip()
    if kind not in {"data", "error"} or not data or data == "[DONE]":
        return None
    try:
        chunk = json.loads(data)
        if kind == "error" or "error" in chunk:
            raise refusal(member, 500, data)
        choice = chunk["choices"][0] if chunk["choices"] else {}
        piece = choice.get("delta") or {}
        return Delta(
            text=piece.get("content") or "",
            reasoning=piece.get("reasoning_content") or "",
            finish_reason=choice.get("finish_reason"),
            usage=_usage(chunk),
            model=chunk.get("model"),
            **told_of(_tokens(choice)),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise MalformedReplyError(f"a piece of the answer is garbled: {line[:200]}", member=member.name) from error


def refusal(member: Member, status: int, text: str) -> MemberError:
    """Return the error that a reply of this status means."""
    try:
        said = json.loads(text)["error"]
        kind, message, status = said.get("type", ""), str(said["message"]), int(said.get("code", status))
    except (ValueError, TypeError, KeyError, AttributeError):
        kind, message = "", text
    message = message[:400] or f"status {status}"
    if "context" in kind:
        return ContextOverflowError(f"the conversation does not fit the model: {message}", member=member.name)
    if status in _ERRORS:
        return _ERRORS[status](message, member=member.name, status=status)
    error = BadRequestError if 400 <= status < 500 else ServerError
    return error(message, member=member.name, status=status)


def _usage(reply: Mapping[str, Any]) -> Usage | None:
    counted = reply.get("usage")
    if not counted:
        return None
    return Usage(
        input_tokens=counted.get("prompt_tokens", 0),
        output_tokens=counted.get("completion_tokens", 0),
        cached_tokens=(counted.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
    )


def _tokens(choice: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (choice.get("logprobs") or {}).get("content") or ()
