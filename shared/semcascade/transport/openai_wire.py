"""OpenAI's chat wire format, both ways: what is sent for a request, and what replies and chunks mean.

Whatever LiteLLM makes of a reply is made of it here: the two are tested against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from semcascade.config import Member
from semcascade.messages import Request, ToolCall, Usage, content_text
from semcascade.transport.base import Delta, ToolCallDelta, counted, reported_cost, told_of
from semcascade.transport.openai_services import Endpoint
from semcascade.transport.openai_shape import OpenCalls, request_body

__all__ = [
    "ServiceError", "StreamReader", "UnsendableError", "answer", "choices_of", "embedding_payload", "error_in",
    "headers", "misplaced", "payload", "refuse_error", "usage_of",
]  # fmt: skip

_FOR_LITELLM = frozenset(
    {"additional_drop_params", "allowed_openai_params", "custom_llm_provider", "drop_params", "extra_body",
     "extra_headers", "organization"}
)  # fmt: skip
_FOR_MEMBERS = frozenset(
    {"api_base", "api_key", "api_version", "base_url", "max_retries", "num_retries", "stream", "timeout"}
)

_FINISH_REASONS: Mapping[str, str] = {
    "COMPLETE": "stop", "STOP": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop",
    "MAX_TOKENS": "length", "max_tokens": "length", "tool_use": "tool_calls",
    "SAFETY": "content_filter", "content_filtered": "content_filter", "refusal": "content_filter",
    "sensitive": "content_filter",
}  # fmt: skip
"""Words of services that take OpenAI's interface but not all of its words."""

_THOUGHT = (("<think>", "</think>"), ("<thinking>", "</thinking>"))


class UnsendableError(Exception):
    """A request cannot be written as JSON, or not be sent to where it is to go."""


class ServiceError(Exception):
    """A service said what went wrong, by status or in its reply.

    Args:
        message: Its own words.
        status: HTTP status, or the number that stands in the reply's error.
        code: Its word for the error, e.g. "context_length_exceeded".
        headers: Of the response.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message if status is None else f"status {status}: {message}")
        self.status_code, self.code, self.headers = status, code, headers or {}


# --- what is sent


def misplaced(member: Member) -> str | None:
    """Return the first of the member's parameters that belongs to the member itself, not into a request."""
    return min(_FOR_MEMBERS & member.params.keys(), default=None)


def payload(member: Member, request: Request, endpoint: Endpoint, more: Mapping[str, Any]) -> bytes:
    """Return a request's body.

    Raises:
        UnsendableError: If a parameter cannot be written as JSON.
    """
    settings = request_body(member, request)
    body = {key: value for key, value in settings.items() if key not in _FOR_LITELLM and value is not None}
    if endpoint.official and "max_tokens" in body:  # its reasoning models refuse the old name, the others take both
        body.setdefault("max_completion_tokens", body.pop("max_tokens"))
    body |= {"model": endpoint.model, **more, **(settings.get("extra_body") or {})}
    return _written(body)


def embedding_payload(member: Member, texts: Sequence[str], endpoint: Endpoint) -> bytes:
    """Return the body of a request for vectors.

    Raises:
        UnsendableError: If a parameter cannot be written as JSON.
    """
    settings = {key: value for key, value in member.params.items() if key not in _FOR_LITELLM}
    return _written({**settings, "model": endpoint.model, "input": [*texts], **(member.params.get("extra_body") or {})})


def headers(params: Mapping[str, Any], endpoint: Endpoint) -> dict[str, str]:
    """Return the headers of a request with these parameters."""
    found: dict[str, str] = {} if endpoint.key is None else {"Authorization": f"Bearer {endpoint.key}"}
    if params.get("organization"):
        found["OpenAI-Organization"] = str(params["organization"])
    return found | {str(name): str(value) for name, value in (params.get("extra_headers") or {}).items()}


def _written(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise UnsendableError(f"the request cannot be written as JSON: {error}") from error


# --- what comes back


def choices_of(reply: Any) -> list[Mapping[str, Any]]:
    """Return the choices of a whole reply.

    Raises:
        ServiceError: If the reply is an error, whatever its status.
        ValueError: If there is none.
    """
    refuse_error(reply)
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not choices or choices[0].get("message") is None:
        raise ValueError("the reply has no choices; nothing was answered")
    return [choice for choice in choices if choice.get("message") is not None]


def answer(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a Candidate that one choice fills."""
    message = choice["message"]
    reasoning, text = _reasoning(message)
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    return {
        "text": text,
        "reasoning": reasoning,
        "tool_calls": calls,
        "finish_reason": _finish_reason(choice.get("finish_reason") or "stop", called=bool(calls)),
        **told_of(_tokens(choice)),
    }


def usage_of(reply: Mapping[str, Any]) -> tuple[Usage | None, float | None]:
    """Return the tokens and the price in US dollars that a reply reports, None where it does not."""
    usage = _mapping(reply.get("usage"))
    asked, said = _mapping(usage.get("prompt_tokens_details")), _mapping(usage.get("completion_tokens_details"))
    cached = asked.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens")
    output, reasoning = usage.get("completion_tokens"), said.get("reasoning_tokens")
    found = counted(usage.get("prompt_tokens"), output, cached)
    if found is None:
        return None, None
    apart = counted(found.input_tokens, reasoning)  # xAI counts what was thought apart from what was said
    if apart and usage.get("total_tokens") == found.input_tokens + found.output_tokens + apart.output_tokens:
        output = found.output_tokens + apart.output_tokens
    return counted(found.input_tokens, output, cached, reasoning), reported_cost(usage.get("cost"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@dataclass(slots=True)
class StreamReader:
    """Turns the chunks of a stream into deltas, of the first choice only.

    What ends an answer is told at its end, once, however often the service repeats it.
    """

    finish_reason: str | None = None
    model: str | None = None
    _usage: tuple[Usage | None, float | None] = (None, None)
    _calls: OpenCalls = field(default_factory=OpenCalls)

    def read(self, chunk: Any) -> Iterator[Delta]:
        """Yield what a chunk adds.

        Raises:
            ServiceError: If the chunk is an error.
            ValueError: If it is no chunk.
        """
        refuse_error(chunk)
        if chunk is None:
            return
        if not isinstance(chunk, Mapping):
            raise ValueError(f"a chunk of the stream is a {type(chunk).__name__}")  # noqa: TRY004 - data, not code
        self.model = chunk.get("model") or self.model
        usage = usage_of(chunk)
        if usage[0] is not None:
            self._usage = usage
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                if choice.get("finish_reason"):
                    self.finish_reason = choice["finish_reason"]
                said = choice.get("delta") or choice.get("message") or {}  # a message: the service does not stream
                delta = self._delta(choice, said)
                if delta.says:
                    yield delta

    def end(self) -> Delta:
        """Return the last delta.

        Raises:
            ServiceError: If the service ended the answer with an error.
        """
        if self.finish_reason == "error":
            raise ServiceError("the service broke the answer off with an error")
        reason = _finish_reason(self.finish_reason, called=self._calls.any) if self.finish_reason else None
        usage, cost = self._usage
        return Delta(finish_reason=reason, usage=usage, cost=cost, model=self.model)

    def _delta(self, choice: Mapping[str, Any], delta: Mapping[str, Any]) -> Delta:
        calls = tuple(filter(None, (_piece(self._calls, call) for call in delta.get("tool_calls") or ())))
        text, reasoning = content_text(delta.get("content")), delta.get("reasoning_content") or delta.get("reasoning")
        return Delta(text=text, reasoning=reasoning or "", tool_calls=calls, **told_of(_tokens(choice)))


def refuse_error(reply: Any) -> Any:
    """Return a reply that is no error.

    Raises:
        ServiceError: If it is one, whatever its status.
    """
    if isinstance(reply, Mapping) and reply.get("error"):
        raise error_in(reply)
    return reply


def error_in(reply: Any, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> ServiceError:
    """Return the error that a reply tells of, in whichever of the usual shapes.

    >>> str(error_in({"error": {"message": "no such model", "code": 404}}))
    'status 404: no such model'
    """
    while isinstance(reply, list) and reply:
        reply = reply[0]
    error = reply.get("error", reply) if isinstance(reply, Mapping) else reply
    if not isinstance(error, Mapping):
        return ServiceError(str(error), status=status, headers=headers)
    message = error.get("message") or error.get("detail") or json.dumps(error, ensure_ascii=False, default=str)
    code = error.get("code")
    if status is None and str(code).isdigit():
        status = int(str(code))
    kind = next((word for word in (code, error.get("type")) if isinstance(word, str) and word), "")
    return ServiceError(str(message), status=status, code=kind, headers=headers)


def _reasoning(message: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reasoning and the text of a message, also where both come as one."""
    text = content_text(message.get("content"))
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning:
        return str(reasoning), text
    for opening, closing in _THOUGHT:
        if text.startswith(opening) and closing in text:
            thought, _, said = text.removeprefix(opening).partition(closing)
            return thought, said
    return "", text


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(function.get("name") or "", _arguments(function) or "{}", call.get("id") or "")


def _piece(calls: OpenCalls, call: Mapping[str, Any]) -> ToolCallDelta | None:
    function = call.get("function") or {}
    return calls.piece(call.get("index"), call.get("id") or "", function.get("name") or "", _arguments(function))


def _arguments(function: Mapping[str, Any]) -> str:
    """Return a call's arguments, or a piece of them, as a text; some services write them as an object."""
    arguments = function.get("arguments") or ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _finish_reason(reason: str, *, called: bool) -> str:
    known = _FINISH_REASONS.get(str(reason), str(reason))
    return "tool_calls" if called and known == "stop" else known


def _tokens(choice: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    tokens = _mapping(choice.get("logprobs")).get("content")
    return tokens if isinstance(tokens, list) else ()
