"""Asking a framework's own model the way the cascade itself was asked: on the caller's event loop, or in a thread.

The engine has a loop of its own, and models keep connections that belong to the loop they were opened on; one that
the application uses elsewhere would break if it were asked from the engine's loop, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import aclosing, contextmanager, suppress
from contextvars import Context, ContextVar
from typing import Any, TypeVar

from semcascade.transport.threads import in_daemon_thread

__all__ = ["asked", "asked_from_here", "from_here", "in_pieces"]

T = TypeVar("T")

_asking: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("semcascade_asking_loop", default=None)
"""The event loop that waits for the cascade's answer; None for synchronous callers."""

_THREAD = "semcascade-model"

_NOTHING: Any = object()


@contextmanager
def asked_from_here() -> Iterator[None]:
    """Let the models of the calls made herein be asked on the running event loop."""
    token = _asking.set(asyncio.get_running_loop())
    try:
        yield
    finally:
        _asking.reset(token)


async def from_here(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Iterate over a stream of which the models are asked on the running event loop."""
    async with aclosing(items):
        with asked_from_here():  # left again before anything is yielded, so that it never reaches the caller
            first = await anext(items, _NOTHING)
        if first is not _NOTHING:
            yield first
            async for item in items:
                yield item


async def asked(
    blocking: Callable[[], T], awaiting: Callable[[], Coroutine[Any, Any, T]] | None, *, context: Context
) -> T:
    """Ask for a whole answer.

    Args:
        blocking: Asks in a thread, for synchronous callers.
        awaiting: Asks on the caller's event loop; None where that would hold it up.
        context: What the model is asked in; it becomes that of this call alone.
    """
    caller = _asking.get()
    _forget_the_caller(context)
    if caller is None or awaiting is None:
        return await in_daemon_thread(lambda: context.run(blocking), name=_THREAD)
    return await asyncio.wrap_future(_scheduled(awaiting, caller, context))


async def in_pieces(
    blocking: Callable[[], Iterable[T]], awaiting: Callable[[], AsyncIterator[T]], *, context: Context
) -> AsyncGenerator[T, None]:
    """Ask for an answer in pieces; see `asked`."""
    here, caller = asyncio.get_running_loop(), _asking.get()
    crossing: asyncio.Queue[T | _End] = asyncio.Queue()
    left = threading.Event()
    _forget_the_caller(context)

    def put(item: T | _End) -> None:
        with suppress(RuntimeError):  # the engine's loop is closed: nobody waits any more
            here.call_soon_threadsafe(crossing.put_nowait, item)

    def stream() -> None:
        with suppress(asyncio.CancelledError, KeyboardInterrupt, SystemExit), _ending(put):  # who waits is told
            for piece in blocking():
                if left.is_set():
                    return
                put(piece)

    async def astream() -> None:
        with _ending(put):
            async for piece in awaiting():
                put(piece)

    if caller is None:
        threading.Thread(target=context.run, args=(stream,), name=_THREAD, daemon=True).start()
        stop: Callable[[], Any] = left.set
    else:
        stop = _scheduled(astream, caller, context).cancel
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


def _forget_the_caller(context: Context) -> None:
    """A cascade that the model itself asks, synchronously, must not wait for the loop that it holds up."""
    context.run(_asking.set, None)


def _scheduled(
    work: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop, context: Context
) -> Future[T]:
    coroutine = work()
    try:
        return context.run(asyncio.run_coroutine_threadsafe, coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise
