"""The cache of weights: where they lie, whether they are whole, and how they get there, never half."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from semcascade.errors import LocalModelError
from semcascade.memory import cache_directory
from semcascade.transport.local.catalogue import LocalModel

__all__ = [
    "adopt",
    "cache_directory",
    "disk_errors",
    "lock",
    "remove",
    "require_space",
    "verified",
    "weights_path",
    "work_directory",
]

_LOCK_POLL_S = 0.2
_SPARE_BYTES = 50_000_000


def weights_path(model: LocalModel) -> Path:
    """Return where the model's GGUF lies, or will lie."""
    return cache_directory() / "models" / model.file


def work_directory(model: LocalModel) -> Path:
    """Return where a download is put together, on the same file system as the GGUF itself."""
    return cache_directory() / "models" / f".{model.file}.work"


def verified(model: LocalModel) -> Path | None:
    """Return the model's GGUF if it is there and whole, None if it is not there.

    The hash is computed once, and again when the file's size or time changes.

    Raises:
        LocalModelError: If the file is not what it should be.
    """
    path = weights_path(model)
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalModelError(f"cannot read {path}: {error.strerror}") from error
    mark = {"sha256": model.sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if _read_mark(path) == mark:
        return path
    if model.size is not None and stat.st_size != model.size:
        raise _corrupt(model, path, f"it has {stat.st_size:,} bytes, not {model.size:,}")
    with disk_errors(path), path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != model.sha256:
            raise _corrupt(model, path, "its sha256 is not the pinned one")
    _write_mark(path, mark)
    return path


def adopt(model: LocalModel, written: Path) -> Path:
    """Move a complete file, whose hash was checked, into its place; before that, nothing counts as present.

    Args:
        model: Whose weights they are.
        written: The file, on the same file system.

    Raises:
        LocalModelError: If it cannot be moved.
    """
    path = weights_path(model)
    with disk_errors(path):
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        written.replace(path)
        _sync_directory(path.parent)
        stat = path.stat()
    _write_mark(path, {"sha256": model.sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns})
    return path


def remove(model: LocalModel) -> bool:
    """Delete the model's weights and whatever an interrupted download left; say whether there was anything.

    Raises:
        LocalModelError: If the file cannot be deleted.
    """
    path = weights_path(model)
    if not path.parent.is_dir():
        return False
    with lock(model):
        leftovers = work_directory(model)
        found = path.exists() or leftovers.exists()
        shutil.rmtree(leftovers, ignore_errors=True)
        with disk_errors(path):
            path.unlink(missing_ok=True)
            _mark_path(path).unlink(missing_ok=True)
    return found


def require_space(model: LocalModel, needed: int) -> None:
    """Refuse to start what the disk cannot hold.

    Args:
        model: What is to be fetched.
        needed: Bytes that will be written at the most, at one time.

    Raises:
        LocalModelError: If there is less room than that and a little to spare.
    """
    directory = weights_path(model).parent
    free = shutil.disk_usage(directory).free
    if free < needed + _SPARE_BYTES:
        raise LocalModelError(
            f"not enough room for {model.name}: {(needed + _SPARE_BYTES) / 1e6:.0f} MB are needed and "
            f"{free / 1e6:.0f} MB are free in {directory}; make room, or set SEMCASCADE_CACHE to another disk"
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say plainly what a failing file operation means.

    Raises:
        LocalModelError: Instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            raise LocalModelError(
                f"the disk is full: could not write {path}; make room, or set SEMCASCADE_CACHE to another disk; "
                "nothing half-written was kept"
            ) from error
        raise LocalModelError(
            f"cannot use {path}: {error.strerror or error}; set SEMCASCADE_CACHE to a directory that can be written"
        ) from error


@contextmanager
def lock(model: LocalModel, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the model for this process and thread alone; the system lets go of it if the process dies.

    Args:
        model: What is locked.
        waiting: Called once if somebody else holds it.

    Raises:
        LocalModelError: If the cache directory cannot be written.
    """
    path = weights_path(model).with_name(f".{model.file}.lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    with file:
        with disk_errors(path):
            _wait_for(file, waiting)
        try:
            yield
        finally:
            _unlock(file)


def _wait_for(file: IO[bytes], waiting: Callable[[], None] | None) -> None:
    if _try_lock(file):
        return
    if waiting is not None:
        waiting()
    while not _try_lock(file):
        time.sleep(_LOCK_POLL_S)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

    def _sync_directory(directory: Path) -> None:
        """Windows has no way to do this, and no need."""

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

    def _sync_directory(directory: Path) -> None:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _corrupt(model: LocalModel, path: Path, what: str) -> LocalModelError:
    return LocalModelError(
        f"the weights of {model.name} in {path} are corrupt: {what}; `semcascade models pull {model.name}` fetches "
        f"them anew, `semcascade models rm {model.name}` removes them"
    )


def _mark_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _read_mark(path: Path) -> object:
    try:
        return json.loads(_mark_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_mark(path: Path, mark: dict[str, object]) -> None:
    with suppress(OSError):  # without the mark the hash is computed again, that is all
        _mark_path(path).write_text(json.dumps(mark), encoding="utf-8")
