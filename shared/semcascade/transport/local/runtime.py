"""The running models: one process for each GGUF, an OpenAI-compatible service on the loopback, shared by all members.

A process is started at first use, reused, and ended when the last transport that uses it closes, or at exit.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import functools
import importlib.util
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from semcascade.errors import LocalModelError, MissingDependencyError
from semcascade.transport.local import serve

__all__ = ["Runtime", "Server", "ServerSettings", "require_runtime", "shared_runtime"]

_END_S = 5.0
_REASON = re.compile(r"(?:error loading model|couldn't bind|failed to|error|invalid)[^\n]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a running model is started with.

    Attributes:
        path: The GGUF.
        alias: What it calls itself in its replies.
        template: A chat template in Jinja; "" takes the one inside the GGUF.
        template_kwargs: Variables of the template, as (name, value) pairs.
        context: Tokens that all conversations of the moment share.
        slots: How many requests are worked on at once; further ones wait.
        threads: Threads that compute. One: two models beside each other, or beside other work, are slower with two.
        port: Port on the loopback; 0 lets the system choose a free one.
    """

    path: Path
    alias: str
    template: str = field(default="", repr=False)
    template_kwargs: tuple[tuple[str, str], ...] = ()
    context: int = 4096
    slots: int = 4
    threads: int = 1
    port: int = 0


class Server:
    """One running model.

    Attributes:
        address: Where it answers, e.g. `http://127.0.0.1:40123`.
        key: What requests must carry; other users of the machine do not know it.
    """

    def __init__(self, settings: ServerSettings, process: subprocess.Popen[str], address: str, key: str) -> None:
        self._process, self._name = process, settings.path.name
        self.address, self.key = address, key

    def __repr__(self) -> str:
        return f"Server({self._name!r}, {self.address!r})"

    @classmethod
    def start(cls, settings: ServerSettings) -> Server:
        """Load the model; returns when it answers.

        Raises:
            LocalModelError: If the file is missing or no GGUF, the runtime refuses it, or the port is taken.
            MissingDependencyError: If the runtime is not installed.
        """
        location = require_runtime()
        _require_gguf(settings.path)
        key = secrets.token_urlsafe(24)
        order = asdict(settings) | {
            "path": str(settings.path),
            "template_kwargs": dict(settings.template_kwargs),
            "key": key,
            "sys_path": [location],
        }
        with tempfile.TemporaryFile() as complaints:
            process = _spawn(complaints)
            try:
                address = _converse(process, order)
            except BaseException:
                _end(process)
                raise
            if address is None:
                _end(process)
                raise _refusal(settings, process.returncode, _tail(complaints))
        return cls(settings, process, address, key)

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Id of its process."""
        return self._process.pid

    def stop(self) -> None:
        """End the process; what it is asked at the moment is not answered."""
        _end(self._process)


class Runtime:
    """All running models of this process, safe to use from any thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._servers: dict[ServerSettings, concurrent.futures.Future[Server]] = {}
        self._users: dict[ServerSettings, set[object]] = {}
        atexit.register(self.close)

    def acquire(self, settings: ServerSettings, user: object) -> Server:
        """Return the running model, starting it if it does not run; blocks until it answers.

        Args:
            settings: What it is started with; equal settings share one process.
            user: Who uses it, until `release`.

        Raises:
            LocalModelError: If it cannot be started. The next call tries again.
            MissingDependencyError: If the runtime is not installed.
        """
        with self._lock:
            current = self._servers.get(settings)
            ours = current is None or _ended(current)
            if ours:
                _stop_all([] if current is None else [current])
                current = self._servers[settings] = concurrent.futures.Future()
            self._users.setdefault(settings, set()).add(user)
        assert current is not None  # noqa: S101 - set just above
        if ours:
            try:
                current.set_result(self._start(settings, current))
            except BaseException as error:
                current.set_exception(error)
                raise
        return current.result()

    def _start(self, settings: ServerSettings, place: concurrent.futures.Future[Server]) -> Server:
        server = Server.start(settings)
        with self._lock:
            wanted = self._servers.get(settings) is place
        if not wanted:
            server.stop()
            raise LocalModelError(f"{settings.alias} was closed while it started; ask again")
        return server

    def release(self, user: object) -> None:
        """Stop every running model that nobody else uses."""
        with self._lock:
            for users in self._users.values():
                users.discard(user)
            unused = [settings for settings, users in self._users.items() if not users]
            futures = [self._servers.pop(settings) for settings in unused if settings in self._servers]
            for settings in unused:
                del self._users[settings]
        _stop_all(futures)

    def close(self) -> None:
        """Stop every running model; a process that was forked off leaves its parent's alone."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            futures = list(self._servers.values())
            self._servers.clear()
            self._users.clear()
        _stop_all(futures)


def shared_runtime() -> Runtime:
    """Return the runtime of this process; a process that was forked off has its own."""
    return _runtime_of(os.getpid())


@functools.cache
def _runtime_of(_pid: int) -> Runtime:
    return Runtime()


def require_runtime() -> str:
    """Return the directory that holds the package xllamacpp.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    found = importlib.util.find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise MissingDependencyError("xllamacpp", extra="local", purpose="running models on this machine")
    return str(Path(found.origin).parent.parent)


def _require_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise LocalModelError(f"there is no file {path}; check the path after local/") from None
    except OSError as error:
        raise LocalModelError(f"cannot read {path}: {error.strerror or error}") from error
    if magic != b"GGUF":
        raise LocalModelError(f"{path} is not a GGUF file; only GGUF weights run here")


def _spawn(complaints: IO[bytes]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
            [sys.executable, "-P", serve.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
        )
    except OSError as error:
        raise LocalModelError(f"cannot start {sys.executable!r} to run the model: {error.strerror}") from error


def _converse(process: subprocess.Popen[str], order: dict[str, object]) -> str | None:
    """Tell the process what to do; return where it answers, or None if it gave up."""
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
    except OSError:  # it has ended already; its complaints say why
        return None
    answer = process.stdout.read()
    process.stdout.close()
    return str(json.loads(answer)["address"]) if answer else None


def _end(process: subprocess.Popen[str]) -> None:
    """Close the process's stdin, on which it ends, and make sure that it did."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not read yet is not missed
                continue
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _in_use(port: int) -> bool:
    """Whether somebody listens at a fixed port; the runtime does not always get to say so."""
    with socket.socket() as trial:
        trial.settimeout(1.0)
        return bool(port) and trial.connect_ex(("127.0.0.1", port)) == 0


def _tail(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    return complaints.read().decode(errors="replace")[-4000:]


def _refusal(settings: ServerSettings, status: int, words: str) -> LocalModelError:
    """Say why the process ended before it answered."""
    if "couldn't bind" in words or _in_use(settings.port):
        return LocalModelError(
            f"port {settings.port} on 127.0.0.1 is in use; choose another one, or 0 to take any that is free"
        )
    reasons = _REASON.findall(words)
    reason = reasons[0] if reasons else f"its process ended with status {status}"
    return LocalModelError(
        f"the runtime could not load {settings.path}: {reason.strip()[:300]}; fetch the file anew, or take a GGUF that "
        "this version of xllamacpp can run"
    )


def _ended(future: concurrent.futures.Future[Server]) -> bool:
    if not future.done():
        return False
    return future.exception() is not None or not future.result().alive


def _stop_all(futures: list[concurrent.futures.Future[Server]]) -> None:
    for future in futures:
        # One that is still starting ends with this process, whose end of its stdin then closes.
        if future.done() and future.exception() is None:
            future.result().stop()
