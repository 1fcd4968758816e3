"""Asking a chat model without the handlers, tracers and tags of the cascade's run.

These hear of that run; hearing of its members, too, they would count tokens twice and show rejected text.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextvars import Context
from typing import Any, TypeVar

from langchain_core.runnables import Runnable
from langsmith.run_helpers import tracing_context

from semcascade.transport import crossing

__all__ = ["asked", "in_pieces"]

T = TypeVar("T")


async def asked(model: Runnable[Any, T], messages: Any, **arguments: Any) -> T:
    """Ask a model for a whole answer; it reports to its own callbacks alone."""

    def invoke() -> T:
        with tracing_context(enabled=False):
            return model.invoke(messages, **arguments)

    async def ainvoke() -> T:
        with tracing_context(enabled=False):
            return await model.ainvoke(messages, **arguments)

    return await crossing.asked(invoke, ainvoke, context=Context())


def in_pieces(model: Runnable[Any, T], messages: Any, **arguments: Any) -> AsyncGenerator[T, None]:
    """Ask a model for an answer in pieces; it reports to its own callbacks alone."""

    def stream() -> Iterator[T]:
        with tracing_context(enabled=False):
            yield from model.stream(messages, **arguments)

    async def astream() -> AsyncIterator[T]:
        with tracing_context(enabled=False):
            async for piece in model.astream(messages, **arguments):
                yield piece

    return crossing.in_pieces(stream, astream, context=Context())
