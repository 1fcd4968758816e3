"""The default transport: LiteLLM, hence any provider.

LiteLLM's own retries, cache and router stay off: the engine repeats attempts, and a cached sample would be
agreement with oneself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from semcascade._litellm import litellm, not_reported_itself
from semcascade.config import Member
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    MalformedReplyError,
    ModelNotFoundError,
)
from semcascade.messages import Candidate, Embeddings, Request, ToolCall, Usage
from semcascade.provider_errors import provider_error
from semcascade.transport.base import Delta, ToolCallDelta, configured_price, counted, reported_cost, told_of
from semcascade.transport.openai_shape import OpenCalls, TabledTransport, request_body, shared_out, vectors_of

__all__ = ["LiteLLMTransport"]


MOST_STOPS = 4
"""How many of the texts that end an answer LiteLLM passes on."""


class _Zero(int):
    """A zero that counts as said: for embeddings, LiteLLM takes `max_retries or 2`."""

    def __bool__(self) -> bool:
        return True


_NO_RETRIES = _Zero()


class LiteLLMTransport(TabledTransport):
    """Asks a member through `litellm.acompletion`."""

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for one whole answer."""
        arguments = _arguments(member, request, timeout)
        try:
            response = await litellm().acompletion(**arguments)
        except Exception as error:
            raise provider_error(error, member) from error
        return self._candidate(member, response)

    async def complete_many(self, member: Member, request: Request, *, timeout: float, n: int) -> list[Candidate]:
        """Ask for several whole answers by one request."""
        arguments = _arguments(member, request, timeout) | {"n": n}
        try:
            response = await litellm().acompletion(**arguments)
        except Exception as error:
            raise provider_error(error, member) from error
        whole = self._candidate(member, response)
        answers = [dataclasses.replace(whole, **_said(choice)) for choice in response.choices[:n] if choice.message]
        return list(shared_out(answers, whole))

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Ask for one answer in pieces."""
        arguments = _arguments(member, request, timeout) | {"stream": True, "stream_options": {"include_usage": True}}
        stream: Any = None
        calls, last = OpenCalls(), Delta()
        try:
            stream = await litellm().acompletion(**arguments)
            async for chunk in stream:
                delta = self._delta(member, chunk, calls, told=_counted(stream))
                last = _of_the_whole(last, delta)
                if delta.says:
                    yield dataclasses.replace(delta, finish_reason=None, usage=None, cost=None)
        except Exception as error:
            raise provider_error(error, member) from error
        finally:
            await _close(stream)
        if getattr(stream, "received_finish_reason", "stop") is None:
            raise ConnectionFailedError("the stream ended before the answer did", member=member.name)
        yield last

    async def embed(self, member: Member, texts: Sequence[str], *, timeout: float) -> Embeddings:
        """Ask for a vector for each text."""
        arguments = {**member.params, **_place(member), **_settings(timeout), "model": member.model, "input": [*texts]}
        try:
            response = await litellm().aembedding(**arguments)
        except Exception as error:
            raise provider_error(error, member) from error
        try:
            vectors = vectors_of(response.data, len(texts))
        except ValueError as error:
            raise MalformedReplyError(f"what came back is not a reply: {error}", member=member.name) from error
        usage = _usage(getattr(response, "usage", None))
        return Embeddings(member.name, usage=usage, cost=self._cost(member, response, usage), vectors=vectors)

    async def prepare(self, member: Member) -> None:
        """Import LiteLLM in a thread, where its seconds do not hold up the event loop."""
        if "litellm" not in sys.modules:
            await asyncio.to_thread(litellm)

    def check(self, member: Member) -> None:
        """Refuse a model of no known provider, and a member whose key is not there."""
        try:
            litellm().get_llm_provider(member.model, custom_llm_provider=member.params.get("custom_llm_provider"))
        except Exception:  # noqa: BLE001 - LiteLLM raises whatever its provider modules raise
            raise ModelNotFoundError(
                f"no provider is known for the model id {member.model!r}; write it as provider/model, "
                "e.g. 'openai/gpt-5-mini' or 'ollama/llama3.2'",
                member=member.name,
            ) from None
        if member.api_key_env and not member.key():
            raise AuthenticationError(f"the environment variable {member.api_key_env} is not set", member=member.name)
        if member.key() or member.api_base or member.params.get("extra_headers"):
            return
        missing = [name for name in self.missing_keys(member) if "KEY" in name or "TOKEN" in name]
        if missing:
            raise AuthenticationError(
                f"no key: set the environment variable {' or '.join(missing)}, or give the member api_key_env",
                member=member.name,
            )

    def missing_keys(self, member: Member) -> list[str]:
        """Return the environment variables that the member's provider wants and that are not set."""
        return list(litellm().validate_environment(member.model)["missing_keys"])

    def price(self, member: Member, usage: Usage) -> float | None:
        """Return the price by LiteLLM's table, else by the member's settings, else None."""
        tokens = litellm().Usage(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            prompt_tokens_details={"cached_tokens": usage.cached_tokens},
            completion_tokens_details={"reasoning_tokens": usage.reasoning_tokens},
        )
        return self._reckoned(member, tokens, usage)

    def _reckoned(self, member: Member, counted: Any, usage: Usage) -> float | None:
        """Reckon from LiteLLM's own count, which also tells what was written to a cache."""
        try:
            costs = litellm().cost_per_token(model=member.model, usage_object=counted)
        except Exception:  # noqa: BLE001 - an unknown model raises, each provider its own error
            return configured_price(member, usage)
        return float(sum(costs))

    def _candidate(self, member: Member, response: Any) -> Candidate:
        choices = getattr(response, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise MalformedReplyError("the reply has no choices; nothing was answered", member=member.name)
        usage, model = _usage(getattr(response, "usage", None)), getattr(response, "model", None)
        cost = self._cost(member, response, usage)
        return Candidate(member=member.name, usage=usage, cost=cost, model=model, **_said(choices[0]))

    def _delta(self, member: Member, chunk: Any, calls: OpenCalls, *, told: bool) -> Delta:
        usage = _usage(getattr(chunk, "usage", None)) if told else None
        cost = self._cost(member, chunk, usage) if usage else None
        choice = next((choice for choice in chunk.choices or () if not choice.index), None)
        if choice is None:
            return Delta(usage=usage, cost=cost, model=getattr(chunk, "model", None))
        return Delta(
            text=choice.delta.content or "",
            reasoning=getattr(choice.delta, "reasoning_content", None) or "",
            tool_calls=tuple(filter(None, (_piece(calls, call) for call in choice.delta.tool_calls or ()))),
            finish_reason="tool_calls" if calls.any and choice.finish_reason == "stop" else choice.finish_reason,
            usage=usage,
            cost=cost,
            model=getattr(chunk, "model", None),
            **told_of(_tokens(choice)),
        )

    def _cost(self, member: Member, response: Any, usage: Usage | None) -> float | None:
        """Return what the provider reported, else LiteLLM's reckoning, else the member's settings, else None."""
        if usage is None:
            return None
        said = response.usage
        reported = reported_cost(getattr(said, "cost", None))
        if reported is None:
            reported = reported_cost((getattr(response, "_hidden_params", None) or {}).get("response_cost"))
        return self._reckoned(member, said, usage) if reported is None else reported


def _of_the_whole(known: Delta, delta: Delta) -> Delta:
    """Return what is known of the answer as a whole with another piece."""
    told = {name: getattr(delta, name) for name in ("finish_reason", "usage", "cost", "model")}
    return dataclasses.replace(known, **{name: value for name, value in told.items() if value is not None})


def _said(choice: Any) -> dict[str, Any]:
    """Return what one choice of a reply says."""
    message = choice.message
    return {
        "text": message.content or "",
        "tool_calls": tuple(_tool_call(call) for call in message.tool_calls or ()),
        "reasoning": getattr(message, "reasoning_content", None) or "",
        "finish_reason": choice.finish_reason,
        **told_of(_tokens(choice)),
    }


def _arguments(member: Member, request: Request, timeout: float) -> dict[str, Any]:
    """Return what LiteLLM is to be called with.

    Raises:
        BadRequestError: If LiteLLM would cut the request short.
    """
    arguments = request_body(member, request) | _place(member) | _settings(timeout) | {"model": member.model}
    _refuse_many_stops(member, arguments.get("stop"))
    if request.tools:
        arguments["_skip_mcp_handler"] = True  # else LiteLLM wants the package mcp as soon as there are tools
    if "parallel_tool_calls" in arguments and not _takes(member, "parallel_tool_calls"):
        del arguments["parallel_tool_calls"]  # LiteLLM would refuse the request, over what is no more than a wish
    return arguments


def _place(member: Member) -> dict[str, str]:
    """Return where the member is asked, and with which key."""
    place = {} if member.api_base is None else {"api_base": member.api_base}
    key = member.key()
    if key is not None:
        place["api_key"] = key
    elif member.api_base is not None and member.provider == "openai":
        place["api_key"] = "none"  # a service of one's own needs no key, but the client insists on one
    return place


def _settings(timeout: float) -> dict[str, Any]:
    """Return what is said with every request, so that LiteLLM neither repeats nor remembers any."""
    return {
        "timeout": timeout,
        "max_retries": _NO_RETRIES,
        "num_retries": 0,
        "cache": {"no-cache": True, "no-store": True},
        **not_reported_itself(),
    }


def _refuse_many_stops(member: Member, stop: object) -> None:
    """Refuse what LiteLLM would cut off without a word: an answer would run on where it was to end."""
    many = isinstance(stop, list | tuple) and len(stop) > MOST_STOPS
    if many and not litellm().disable_stop_sequence_limit:
        raise BadRequestError(
            f"LiteLLM sends {MOST_STOPS} stop texts at most, and more were given; "
            "where the provider takes more, set litellm.disable_stop_sequence_limit = True",
            member=member.name,
        )


def _takes(member: Member, parameter: str) -> bool:
    """Say whether LiteLLM knows the provider to take a parameter of OpenAI's."""
    provider = member.params.get("custom_llm_provider")
    return parameter in (litellm().get_supported_openai_params(member.model, custom_llm_provider=provider) or ())


def _piece(calls: OpenCalls, call: Any) -> ToolCallDelta | None:
    return calls.piece(call.index, call.id or "", call.function.name or "", call.function.arguments or "")


def _tool_call(call: Any) -> ToolCall:
    return ToolCall(call.function.name or "", call.function.arguments or "{}", call.id or "")


def _usage(usage: Any) -> Usage | None:
    asked, said = getattr(usage, "prompt_tokens_details", None), getattr(usage, "completion_tokens_details", None)
    return counted(  # LiteLLM puts zeros where the provider said nothing
        getattr(usage, "prompt_tokens", None),
        getattr(usage, "completion_tokens", None),
        getattr(asked, "cached_tokens", None),
        getattr(said, "reasoning_tokens", None),
    )


def _counted(stream: Any) -> bool:
    """Whether the provider itself has counted tokens; where it did not, LiteLLM ends the stream with an estimate."""
    return any(getattr(chunk, "usage", None) is not None for chunk in getattr(stream, "chunks", ()))


def _tokens(choice: Any) -> list[Mapping[str, Any]]:
    content = getattr(getattr(choice, "logprobs", None), "content", None) or ()
    return [token if isinstance(token, Mapping) else token.model_dump() for token in content]


async def _close(stream: Any) -> None:
    """End the request at the provider; a stream that merely goes out of scope would run on."""
    close = getattr(stream, "aclose", None)
    if close is not None and inspect.iscoroutinefunction(close):
        await close()
