"""What was worked out for a content before, on disk: comparing the same answers twice takes no time.

One SQLite file in the user's cache directory (SEMCASCADE_CACHE), shared by all processes; SEMCASCADE_MEMORY=off does
without. It is a cache and nothing more: a damaged file is thrown away, one that is locked or cannot be written is
left alone, and when it has grown too large the oldest entries go. Keys are hashes of the content, of what was to be
done with it, and of the code that does it; values are plain JSON, mostly numbers, each with a check sum.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from semcascade import __version__
from semcascade.locks import ForkLock

try:
    import sqlite3
except ImportError:  # a Python that was built without it
    _HAS_SQLITE = False
else:
    _HAS_SQLITE = True

__all__ = ["Memory", "cache_directory", "key_of", "shared_memory"]

_log = logging.getLogger(__name__)

MOST_BYTES = 256_000_000
"""From this size on the oldest fifth is forgotten."""

_FILE, _SCHEMA, _BATCH, _WAIT_S, _CHECK = "worked-out.sqlite", 1, 200, 0.5, 8

_OFF = frozenset({"off", "0", "no", "false"})

_WORKS_WITH = ("numpy", "rapidfuzz", "jsonschema", "pydantic")
"""Packages whose version may tell in a result."""


def cache_directory() -> Path:
    """Return where semcascade keeps what it fetched: SEMCASCADE_CACHE, else the platform's place for caches."""
    override = os.environ.get("SEMCASCADE_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "semcascade" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "semcascade"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "semcascade"


def key_of(*parts: Any) -> bytes | None:
    """Return the key of a content: of texts, numbers, lists, mappings, dataclasses with all their fields, errors.

    It holds for this code only, and for the libraries that it works with. None: something else is among it, which may
    not be the same when it looks the same.
    """
    try:
        written = json.dumps(parts, ensure_ascii=True, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError):
        return None
    return hashlib.blake2b(_code() + written.encode("ascii"), digest_size=16).digest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, [getattr(value, field.name) for field in dataclasses.fields(value)]]
    if isinstance(value, BaseException):
        return [type(value).__name__, str(value)]
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no lasting content")


@functools.cache
def _code() -> bytes:
    """Name the code that works things out, so that a changed one does not find what the old one left."""
    root, digest = Path(__file__).parent, hashlib.blake2b(__version__.encode(), digest_size=32)
    for path in sorted(root.rglob("*.py")):
        written = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(written)}\n".encode() + written)
    digest.update(f"{sys.version} {platform.machine()} {[_version(name) for name in _WORKS_WITH]}".encode())
    return digest.digest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


class Memory:
    """Remembers JSON values by keys; safe to use from many threads and processes, and never in the way.

    Args:
        path: The file, made where it is missing; None, or without SQLite: nothing is remembered.
        most_bytes: How large it may grow.
    """

    def __init__(self, path: Path | None, *, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most_bytes = path, most_bytes
        self._lock = ForkLock()
        self._new: dict[bytes, str] = {}
        self._database: sqlite3.Connection | None = None
        self._usable = _HAS_SQLITE and path is not None
        self._process = os.getpid()

    def get(self, key: bytes | None) -> Any | None:
        """Return what is known, or None."""
        if key is None:
            return None
        with self._lock:
            written = self._new.get(key) or self._read(key)
        return None if written is None else json.loads(written)

    def put(self, key: bytes | None, value: Any) -> None:
        """Keep a value; it is on the disk at the latest when the memory is flushed. Without a key, it is not kept."""
        with self._lock:
            if self._usable and key is not None:
                self._new[key] = json.dumps(value, separators=(",", ":"))
            if len(self._new) >= _BATCH:
                self._write()

    def flush(self) -> None:
        """Write what is new, and let go of the file."""
        with self._lock:
            self._write()
            self._close()

    def _read(self, key: bytes) -> str | None:
        try:
            database = self._opened()
            found = database and database.execute("SELECT value FROM known WHERE key = ?", (key,)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._recover(error)
            return None
        return _checked(key, found[0]) if found else None

    def _write(self) -> None:
        new, self._new = self._new, {}
        rows = [(key, _sum(key, value.encode()) + value.encode()) for key, value in new.items()]
        try:
            self._insert(rows)
        except (sqlite3.Error, OSError) as error:
            self._recover(error)
            with contextlib.suppress(sqlite3.Error, OSError):
                self._insert(rows)

    def _insert(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        database = self._opened() if rows else None
        if database is not None:
            with database:
                database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", rows)
                self._forget(database)

    def _forget(self, database: sqlite3.Connection) -> None:
        asked = ("page_count", "freelist_count", "page_size")
        pages, free, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in asked)
        if (pages - free) * size > self._most_bytes:
            (count,) = database.execute("SELECT COUNT(*) FROM known").fetchone()
            oldest = "DELETE FROM known WHERE rowid IN (SELECT rowid FROM known ORDER BY rowid LIMIT ?)"
            database.execute(oldest, (count // 5 + 1,))

    def _opened(self) -> sqlite3.Connection | None:
        if self._process != os.getpid():  # a connection does not survive a fork
            self._database, self._process = None, os.getpid()
        if self._database is None and self._usable and self._path is not None:
            self._database = _open(self._path)
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _recover(self, error: Exception) -> None:
        """Throw a damaged file away; where the file cannot be used otherwise, remember nothing more."""
        self._close()
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        _log.debug("%s is %s: %s", self._path, "made anew" if damaged else "not used any more", error)
        try:
            if damaged and self._path is not None:
                for path in self._path.parent.glob(f"{self._path.name}*"):
                    path.unlink(missing_ok=True)
                self._database = _open(self._path)
        except (sqlite3.Error, OSError) as again:
            _log.debug("nothing is remembered: %s", again)
        self._usable = self._database is not None


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
    try:
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        if schema not in (0, _SCHEMA):
            raise sqlite3.DatabaseError(f"schema {schema}")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE IF NOT EXISTS known (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
        if not schema:
            database.execute(f"PRAGMA user_version = {_SCHEMA}")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _sum(key: bytes, written: bytes) -> bytes:
    return hashlib.blake2b(key + written, digest_size=_CHECK).digest()


def _checked(key: bytes, found: object) -> str | None:
    """Return what was written, if it is what was written."""
    if not isinstance(found, bytes) or _sum(key, found[_CHECK:]) != found[:_CHECK]:
        return None
    return found[_CHECK:].decode()


@functools.cache
def _memory_at(path: Path | None) -> Memory:
    return Memory(path)


def shared_memory() -> Memory:
    """Return the memory of this user; SEMCASCADE_MEMORY=off: one that remembers nothing."""
    if os.environ.get("SEMCASCADE_MEMORY", "").lower() in _OFF:
        return _memory_at(None)
    try:
        return _memory_at(cache_directory() / _FILE)
    except RuntimeError:  # this user has no home
        return _memory_at(None)
