"""Streams: pieces of one answer in, LlamaIndex's responses out, sync and async alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing

from llama_index.core.base.llms.types import (
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)

from llamaindex_semcascade.events import reported, reporting_failure
from llamaindex_semcascade.responses import GrowingAnswer, to_completion_response
from semcascade.decision import Result
from semcascade.transport.base import Delta

__all__ = ["acompletions", "aresponses", "completions", "responses"]


def responses(pieces: Generator[Delta | Result, None, None], span: str | None) -> ChatResponseGen:
    """Yield the responses to the pieces of one answer; closing it ends the request."""
    growing = GrowingAnswer()
    with closing(pieces), reporting_failure(span):
        for piece in pieces:
            if isinstance(piece, Result):
                yield growing.finish(reported(piece, span))
            elif (response := growing.add(piece)) is not None:
                yield response


async def aresponses(pieces: AsyncGenerator[Delta | Result, None], span: str | None) -> ChatResponseAsyncGen:
    """Yield the responses to the pieces of one answer; closing it ends the request."""
    growing = GrowingAnswer()
    async with aclosing(pieces):
        with reporting_failure(span):
            async for piece in pieces:
                if isinstance(piece, Result):
                    yield growing.finish(reported(piece, span))
                elif (response := growing.add(piece)) is not None:
                    yield response


def completions(given: ChatResponseGen) -> CompletionResponseGen:
    """Yield the responses of a chat as those of a completion."""
    with closing(given):
        for response in given:
            yield to_completion_response(response)


async def acompletions(given: ChatResponseAsyncGen) -> CompletionResponseAsyncGen:
    """Yield the responses of a chat as those of a completion."""
    async with aclosing(given):
        async for response in given:
            yield to_completion_response(response)
