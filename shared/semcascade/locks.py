"""Locks, and what would hold one, that a forked process finds open."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar, Self, TypeVar

__all__ = ["ForkLock", "cached_property"]


T = TypeVar("T")


class ForkLock:
    """A mutex for short, non-blocking sections; held by another thread at a fork, it is open in the child.

    The thread that held it does not exist in the child, which would wait for it for ever. What it guards must be
    changed in one assignment, since that thread may have been anywhere.
    """

    _all: ClassVar[weakref.WeakSet[ForkLock]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all.add(self)

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[ForkLock], tuple[()]]:
        return type(self), ()

    @classmethod
    def _open_all(cls) -> None:
        for lock in cls._all:
            lock._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ForkLock._open_all)


class cached_property(functools.cached_property[T]):  # noqa: N801 - as what it stands in for
    """`functools.cached_property` without the lock that it has before Python 3.12; two threads may both compute it."""

    def __init__(self, func: Callable[[Any], T]) -> None:
        super().__init__(func)
        self.lock = nullcontext()
