"""A service on the loopback, a configuration that asks it, and the command line in this process and in others."""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from semcascade.cli.app import run
from tests.support.openai_server import OpenAIServer

CHEAP = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
DEAR = {"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6}
KEY = "qk-Zx81-plain-looking-key"
"""A key without any of the prefixes that give keys away."""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def server():
    script = {
        "a": "Tokyo",
        "b": "Tokyo.",
        "c": "tokyo",
        "x": "Kyoto",
        "y": "Osaka",
        "t": "The capital of Japan is Tokyo.",
    }
    with OpenAIServer(script, api_key=KEY) as running:
        yield running


@pytest.fixture
def configured(server, tmp_path):
    """Write a configuration of members of the service, and return its file."""

    def write(ensemble=("a", "b", "c"), target="t", name="team.json", **settings):
        members = [
            server.member(member, name=member, **CHEAP) if isinstance(member, str) else member for member in ensemble
        ]
        last = server.member(target, name=target, **DEAR)
        file = tmp_path / name
        file.write_text(json.dumps({"ensemble": members, "target": last, "max_retries": 0, "timeout": 20, **settings}))
        return str(file)

    return write


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path_factory):
    """Run in an empty directory, without the variables that steer the command line."""
    for name in ("SEMCASCADE_CONFIG", "SEMCASCADE_DEBUG", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def shell(capsys, monkeypatch):
    """Run a command line in this process."""

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def process():
    """Run a command line in a process of its own; output comes back as bytes."""

    def call(*arguments, stdin=b"", timeout=60, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "semcascade", *arguments],
            input=stdin,
            capture_output=True,
            env={**os.environ, **environment},
            timeout=timeout,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def on_terminal():
    """Run a command line on a terminal of 100 columns; return its exit code and all that the terminal got."""
    pty = pytest.importorskip("pty", reason="terminals are tested where there are pseudo-terminals")

    def call(*arguments, **environment):
        ours, theirs = pty.openpty()
        set_width(theirs, 100)
        running = subprocess.Popen(
            [sys.executable, "-m", "semcascade", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        os.close(theirs)
        shown = b""
        try:
            while piece := read_some(ours):
                shown += piece
        finally:
            os.close(ours)
        return running.wait(60), shown.decode("utf-8", "replace")

    return call


@pytest.fixture
def streams(monkeypatch):
    """Run a command line in this process on streams of any encoding, terminals or not; return what they got."""

    def call(*arguments, encoding="utf-8", terminal=False):
        out, err = Stream(encoding, terminal=terminal), Stream(encoding, terminal=terminal)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            code = run(list(arguments))
        return Ran(code, out.bytes(), err.bytes())

    return call


class Stream(io.TextIOWrapper):
    """A text stream into memory that may call itself a terminal."""

    def __init__(self, encoding, *, terminal):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._terminal = terminal

    def isatty(self):
        return self._terminal

    def bytes(self):
        self.flush()
        return self.buffer.getvalue()


def set_width(terminal, columns):
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))


def read_some(terminal):
    """Return what came, or nothing once the other side is closed (Linux says so by an error)."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
