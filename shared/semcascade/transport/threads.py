"""Blocking work beside the event loop, each in a daemon thread of its own.

Not in the loop's thread pool: a program that is interrupted would wait there for a download, or an answer, to end, and
a handful of slow answers would keep all others waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

__all__ = ["in_daemon_thread"]

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T], *, name: str) -> T:
    """Run blocking work and return its result; whoever stops waiting leaves it to end by itself.

    Args:
        work: What is run.
        name: What the thread is called.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.cancelled():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except StopIteration as raised:  # no future takes it: whoever waits would wait for ever
            error = RuntimeError("it raised StopIteration")
            error.__cause__ = raised
        except BaseException as raised:  # noqa: BLE001 - crosses to the waiting task
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome
