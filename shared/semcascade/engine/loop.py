"""The one private event loop: all provider I/O runs on it, for synchronous and asynchronous callers alike.

Provider clients keep connections that belong to one loop; two loops in a process break them in ways that show
up as stray warnings and hanging requests. So there is one loop, in one daemon thread, made at first use.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import inspect
import os
import queue
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, suppress
from typing import Any, ClassVar, TypeVar

from semcascade._litellm import close_clients, finish_own_logging, was_imported
from semcascade.errors import SemcascadeError
from semcascade.locks import ForkLock

__all__ = ["ENDING", "EngineLoop", "is_ending"]

T = TypeVar("T")

_SHUTDOWN_S = 3.0

_MOMENT_S = 0.05
"""For so long a stream that is left may hold up the loop of who leaves it; letting go takes a fraction of it."""

ENDING = "the interpreter is shutting down; let the main thread wait for those that ask"


def is_ending() -> bool:
    """Say whether the main thread is over: no thread pool takes work any more."""
    return not threading.main_thread().is_alive()


class _End:
    """Ends a stream that crosses threads; carries the error that broke it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _GoneError(Exception):
    """Nobody listens to a stream any more."""


class EngineLoop:
    """An event loop in a daemon thread."""

    _shared: ClassVar[EngineLoop | None] = None
    _guard: ClassVar[ForkLock] = ForkLock()

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._ends_first = self._closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="semcascade", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._loop.close()
            raise SemcascadeError(f"the event loop cannot run: {error}") from error

    @classmethod
    def shared(cls) -> EngineLoop:
        """Return the process's loop; make it at first use, and again after a fork, which leaves no thread.

        Raises:
            SemcascadeError: If the interpreter is past its last words, where a thread would never start.
        """
        if sys.is_finalizing():
            raise SemcascadeError(ENDING)
        with cls._guard:
            current = cls._shared
            if current is None or current._pid != os.getpid() or not current._thread.is_alive():
                current = cls._shared = EngineLoop()
                atexit.register(current.close)
            current.end_before_litellm()
            return current

    def end_before_litellm(self) -> None:
        """Close before LiteLLM's own work at exit, which would run what this loop is still running.

        What was registered last comes first, and LiteLLM registers when it is imported, in the first query.
        """
        if not self._ends_first and was_imported():
            atexit.unregister(self.close)
            atexit.register(self.close)
            self._ends_first = True

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine from synchronous code and wait; an interrupt cancels it, and waits until it has ended.

        Raises:
            SemcascadeError: If called on the loop itself, which would wait for itself.
        """
        self._refuse_own_thread(work)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._closing:
                raise SemcascadeError(ENDING) from None
            raise
        except RuntimeError as error:
            if is_ending():
                raise SemcascadeError(ENDING) from error
            raise
        except BaseException:
            future.cancel()
            _wait_until_ended(work, _SHUTDOWN_S)
            raise

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine from asynchronous code on another loop; cancelling the caller cancels it, as by `run`."""
        if self._on_own_thread():
            return await work
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        except asyncio.CancelledError:
            for pause in _pauses_until_ended(work, _SHUTDOWN_S):
                await asyncio.sleep(pause)
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """Iterate from synchronous code; closing the iterator closes the generator."""
        self._refuse_own_thread(items)
        crossing: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        future = asyncio.run_coroutine_threadsafe(_feed(items, crossing.put), self._loop)
        try:
            while not isinstance(item := crossing.get(), _End):
                yield item
        except BaseException:
            future.cancel()
            if not self._on_own_thread():  # where garbage is collected, too; it would wait for itself
                _drain(crossing)
            raise
        if item.error is not None:
            raise item.error

    async def aiterate(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Iterate from asynchronous code on another loop; closing the iterator closes the generator."""
        caller = asyncio.get_running_loop()
        crossing: asyncio.Queue[T | _End] = asyncio.Queue()

        def put(item: T | _End) -> None:
            try:
                caller.call_soon_threadsafe(crossing.put_nowait, item)
            except RuntimeError:  # the caller's loop is closed
                raise _GoneError from None

        feed = _feed(items, put)
        future = asyncio.run_coroutine_threadsafe(feed, self._loop)
        try:
            while not isinstance(item := await crossing.get(), _End):
                yield item
        except GeneratorExit:  # nothing is awaited here: a loop that ends leaves its generators but one step
            future.cancel()
            if not self._on_own_thread():
                _wait_until_ended(feed, _MOMENT_S)
            raise
        except BaseException:
            future.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(_adrain(crossing), _SHUTDOWN_S)
            raise
        if item.error is not None:
            raise item.error

    def close(self) -> None:
        """Cancel what still runs, close clients, end the thread; never waits longer than a few seconds."""
        if self._pid != os.getpid() or not self._thread.is_alive():
            return
        self._closing = True
        with suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result(_SHUTDOWN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SHUTDOWN_S)

    async def _wind_up(self) -> None:
        await finish_own_logging()
        running = _other_tasks()
        for task in running:
            if not _closes_a_generator(task):
                task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # LiteLLM's clients are the process's: closed with one cascade, they would be missing to all others.
        await asyncio.gather(close_clients(), return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        while left := _other_tasks():  # generators that were dropped, at their last words
            await asyncio.wait(left)
        await asyncio.sleep(0)  # sockets are closed one turn of the loop after their transports

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        ended = False
        try:
            while not ended:
                with suppress(SystemExit, KeyboardInterrupt):  # of a member's own code; whoever waits for it is told
                    self._loop.run_forever()
                    ended = True
        finally:
            self._loop.close()

    def _on_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _refuse_own_thread(self, work: Coroutine[Any, Any, Any] | AsyncGenerator[Any, None]) -> None:
        if self._on_own_thread():
            if isinstance(work, Coroutine):
                work.close()
            raise SemcascadeError(
                "a synchronous call was made from semcascade's own event loop, where it would wait for itself; "
                "use the asynchronous method"
            )


def _wait_until_ended(work: Coroutine[Any, Any, Any], seconds: float) -> None:
    for pause in _pauses_until_ended(work, seconds):
        time.sleep(pause)


def _pauses_until_ended(work: Coroutine[Any, Any, Any], seconds: float) -> Iterator[float]:
    """Yield short pauses until a cancelled coroutine has let go and is in the ledger, or so many seconds are over."""
    until = time.monotonic() + seconds
    while inspect.getcoroutinestate(work) != inspect.CORO_CLOSED and time.monotonic() < until:
        yield 0.002


def _other_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def _closes_a_generator(task: asyncio.Task[Any]) -> bool:
    """Whether the loop itself closes a generator that nobody holds any more; cancelled, that stays half open."""
    return type(task.get_coro()).__name__ in {"async_generator_athrow", "async_generator_asend"}


async def _feed(items: AsyncGenerator[T, None], put: Callable[[T | _End], None]) -> None:
    with suppress(_GoneError):
        try:
            async with aclosing(items):
                async for item in items:
                    put(item)
        except asyncio.CancelledError:
            put(_End(asyncio.CancelledError()))  # one without frames: connections in them must end on this thread
            raise
        except _GoneError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are awaited
            put(_End(error))
        else:
            put(_End())


def _drain(crossing: queue.SimpleQueue[Any]) -> None:
    """Wait until a cancelled feed has let go of its connection."""
    with suppress(queue.Empty):
        while not isinstance(crossing.get(timeout=_SHUTDOWN_S), _End):
            pass


async def _adrain(crossing: asyncio.Queue[Any]) -> None:
    while not isinstance(await crossing.get(), _End):
        pass
