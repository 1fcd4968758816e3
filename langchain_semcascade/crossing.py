"""Asking a chat model the way the cascade itself was asked: on the caller's event loop, or in a thread.

The engine has a loop of its own, and chat models keep connections that belong to the loop they were opened on; one that
the application uses elsewhere would break if it were asked from the engine's loop, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import aclosing, contextmanager, suppress
from contextvars import Context, ContextVar
from typing import Any, TypeVar

from langchain_core.runnables import Runnable
from langsmith.run_helpers import tracing_context

from semcascade.transport.threads import in_daemon_thread

__all__ = ["asked", "asked_from_here", "from_here", "in_pieces"]

T = TypeVar("T")

_asking: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("semcascade_asking_loop", default=None)
"""The event loop that waits for the cascade's answer; None for synchronous callers."""

_THREAD = "semcascade-chat-model"

_NOTHING: Any = object()


@contextmanager
def asked_from_here() -> Iterator[None]:
    """Let the chat models of the calls made herein be asked on the running event loop."""
    token = _asking.set(asyncio.get_running_loop())
    try:
        yield
    finally:
        _asking.reset(token)


async def from_here(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Iterate over a stream of which the chat models are asked on the running event loop."""
    async with aclosing(items):
        with asked_from_here():  # left again before anything is yielded, so that it never reaches the caller
            first = await anext(items, _NOTHING)
        if first is not _NOTHING:
            yield first
            async for item in items:
                yield item


async def asked(model: Runnable[Any, T], messages: Any, **arguments: Any) -> T:
    """Ask a model for a whole answer; it reports to its own callbacks alone."""
    caller = _asking.get()
    if caller is None:

        def invoke() -> T:
            with tracing_context(enabled=False):
                return model.invoke(messages, **arguments)

        return await in_daemon_thread(lambda: Context().run(invoke), name=_THREAD)

    async def ainvoke() -> T:
        with tracing_context(enabled=False):
            return await model.ainvoke(messages, **arguments)

    return await asyncio.wrap_future(_scheduled(ainvoke, caller))


async def in_pieces(model: Runnable[Any, T], messages: Any, **arguments: Any) -> AsyncGenerator[T, None]:
    """Ask a model for an answer in pieces; it reports to its own callbacks alone."""
    here, caller = asyncio.get_running_loop(), _asking.get()
    crossing: asyncio.Queue[T | _End] = asyncio.Queue()
    left = threading.Event()

    def put(item: T | _End) -> None:
        with suppress(RuntimeError):  # the engine's loop is closed: nobody waits any more
            here.call_soon_threadsafe(crossing.put_nowait, item)

    def stream() -> None:
        with _ending(put), tracing_context(enabled=False):
            for piece in model.stream(messages, **arguments):
                if left.is_set():
                    return
                put(piece)

    async def astream() -> None:
        with _ending(put), tracing_context(enabled=False):
            async for piece in model.astream(messages, **arguments):
                put(piece)

    if caller is None:
        threading.Thread(target=Context().run, args=(stream,), name=_THREAD, daemon=True).start()
        stop: Callable[[], Any] = left.set
    else:
        stop = _scheduled(astream, caller).cancel
    try:
        while not isinstance(item := await crossing.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop()


class _End:
    """Ends a stream that crosses threads; carries the error that broke it, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def _ending(put: Callable[[Any], None]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        put(_End(error))
        if not isinstance(error, Exception):
            raise
    else:
        put(_End(None))


def _scheduled(work: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop) -> Future[T]:
    """Start a coroutine on another loop, in a context without the handlers, tracers and tags of the outer run.

    These hear of the outer run; hearing of its members, too, they would count tokens twice and show rejected text.
    """
    coroutine = work()
    try:
        return Context().run(asyncio.run_coroutine_threadsafe, coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise
