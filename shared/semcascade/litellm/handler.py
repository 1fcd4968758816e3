"""LiteLLM's side of a cascade: what it calls for a model `semcascade/NAME`. Importing this imports LiteLLM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

from semcascade._litellm import litellm, part_of_a_call
from semcascade.litellm.errors import litellm_errors
from semcascade.litellm.models import find
from semcascade.litellm.replies import Chunks, filled

__all__ = ["CascadeProvider"]

_LITELLMS_OWN = frozenset({"max_retries", "stream", "stream_options"})
"""Parameters that say how LiteLLM is to ask; how members are asked, the cascade's settings say."""

_SENT = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "cache_control")
"""What is passed on of a message. Answers that come back as history hold more: hidden thoughts, our own decision."""


class CascadeProvider(litellm().CustomLLM):  # type: ignore[misc]
    """Answers for every registered cascade; LiteLLM calls it, nobody else has to."""

    def completion(
        self, model: str, messages: Sequence[Mapping[str, Any]], *, model_response: Any, **given: Any
    ) -> Any:
        """Return the answer of the cascade of that name as LiteLLM's response."""
        with litellm_errors(model), part_of_a_call():
            result = find(model).complete(_conversation(messages), **_options(**given))
        return filled(model_response, model, result)

    async def acompletion(
        self, model: str, messages: Sequence[Mapping[str, Any]], *, model_response: Any, **given: Any
    ) -> Any:
        """Return the answer of the cascade of that name as LiteLLM's response."""
        with litellm_errors(model), part_of_a_call():
            result = await find(model).acomplete(_conversation(messages), **_options(**given))
        return filled(model_response, model, result)

    def streaming(self, model: str, messages: Sequence[Mapping[str, Any]], **given: Any) -> Iterator[Any]:
        """Yield the pieces of the one answer as LiteLLM's chunks; closing it ends the request."""
        chunks = Chunks(model)
        with litellm_errors(model):
            pieces = find(model).stream(_conversation(messages), **_options(**given))
            with closing(pieces):
                with part_of_a_call():  # all of it begins with the first piece
                    first = next(pieces)
                yield from chunks.of(first)
                for piece in pieces:
                    yield from chunks.of(piece)

    async def astreaming(self, model: str, messages: Sequence[Mapping[str, Any]], **given: Any) -> AsyncIterator[Any]:
        """Yield the pieces of the one answer as LiteLLM's chunks; closing it ends the request."""
        chunks = Chunks(model)
        with litellm_errors(model):
            pieces = find(model).astream(_conversation(messages), **_options(**given))
            async with aclosing(pieces):
                with part_of_a_call():  # all of it begins with the first piece
                    first = await anext(pieces)
                for chunk in chunks.of(first):
                    yield chunk
                async for piece in pieces:
                    for chunk in chunks.of(piece):
                        yield chunk


def _options(*, optional_params: Mapping[str, Any], timeout: Any = None, **_: Any) -> dict[str, Any]:
    """Return the options of one call; LiteLLM's timeout is one of httpx's, or the seconds that all of it may take."""
    options = {key: value for key, value in optional_params.items() if key not in _LITELLMS_OWN}
    return {**options, "deadline": getattr(timeout, "read", timeout)}


def _conversation(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: message[key] for key in _SENT if message.get(key) is not None} for message in messages]
