"""Appending to files that others read or write at the same time, and replacing them whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: one writer a file
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["append_line", "drop_broken_line", "locked", "replacing"]

_PIECE = 64 * 1024


@contextmanager
def locked(file: BinaryIO, *, wait: bool = True) -> Iterator[None]:
    """Hold a file for oneself, among processes that ask for it; where the system has no such locks, do nothing.

    Raises:
        BlockingIOError: If another process holds it, and we do not wait.
    """
    if not _HAS_LOCKS:
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def append_line(file: BinaryIO, line: bytes) -> int:
    """Append a line, whole or not at all, to an unbuffered file; return the byte that it begins at.

    Raises:
        OSError: If it cannot be written.
    """
    at, rest = file.seek(0, os.SEEK_END), memoryview(line)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(at)
        raise
    return at


def drop_broken_line(file: BinaryIO) -> int:
    """Cut off a last line without its end, which a writer left that was killed; return how many bytes that were.

    Only while holding the file: the end of a line that is being written is yet to come.
    """
    size = end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _PIECE)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        file.truncate(end)
    file.seek(0, os.SEEK_END)
    return size - end


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file anew: it is replaced as a whole, once all is on the disk, or stays as it was."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink()
