"""Work of concurrent queries, done together: whatever waits when the worker gets free goes to it in one batch."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from semcascade.locks import ForkLock

__all__ = ["Batches"]

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")


class Batches(Generic[T, R]):
    """One worker for many queries, on any threads and event loops.

    What several queries ask for is worked out once. If a batch fails, each query's part is tried alone, so that none
    fails over another's.

    Args:
        work: Items → one result each, in order. What an item comes to must not depend on the other items.

    >>> Batches(lambda texts: [text.upper() for text in texts]).wait(["a", "b"])
    ['A', 'B']
    """

    def __init__(self, work: Callable[[list[T]], Sequence[R]]) -> None:
        self._work, self._lock = work, ForkLock()
        self._pid = os.getpid()
        self._waiting: list[tuple[list[T], Future[list[R]]]] = []
        self._busy = False

    def wait(self, items: Sequence[T]) -> list[R]:
        """Return the items' results; blocks this thread."""
        return self._submit(items).result()

    async def gather(self, items: Sequence[T]) -> list[R]:
        """Return the items' results."""
        return await asyncio.wrap_future(self._submit(items))

    def _submit(self, items: Sequence[T]) -> Future[list[R]]:
        future: Future[list[R]] = Future()
        with self._lock:
            if self._pid != os.getpid():  # the parent's worker, and those who waited for it, are not in this process
                self._pid, self._waiting, self._busy = os.getpid(), [], False
            self._waiting.append((list(items), future))
            idle, self._busy = not self._busy, True
        if idle:
            self._start()
        return future

    def _start(self) -> None:
        """Start the worker; where no thread can be had, tell those who wait for it instead of letting them."""
        try:
            threading.Thread(target=self._run, name="semcascade-batches").start()
        except RuntimeError as error:
            with self._lock:
                batch, self._waiting, self._busy = self._waiting, [], False
            for _, future in batch:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)

    def _run(self) -> None:
        """Work until nothing waits."""
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._busy = False
                    return
            wanted = [(items, future) for items, future in batch if future.set_running_or_notify_cancel()]
            if not self._together(wanted):
                for one in wanted:
                    self._alone(*one)

    def _together(self, wanted: Sequence[tuple[list[T], Future[list[R]]]]) -> bool:
        if len(wanted) < 2:
            return False
        items = list(dict.fromkeys(item for own, _ in wanted for item in own))
        try:
            results = dict(zip(items, self._work(items), strict=True))
        except Exception:  # noqa: BLE001 - it may be the fault of one of them; each will hear of its own
            return False
        for own, future in wanted:
            future.set_result([results[item] for item in own])
        return True

    def _alone(self, items: list[T], future: Future[list[R]]) -> None:
        try:
            results = list(self._work(items))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            future.set_exception(error)
        else:
            future.set_result(results)
