"""Models that run in processes of their own, with a real runtime and a model of 70 kB."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from semcascade.errors import LocalModelError, MissingDependencyError
from semcascade.transport.local import runtime, serve
from semcascade.transport.local.runtime import Runtime, Server, ServerSettings
from tests.support.tiny_gguf import write_tiny_gguf

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="session")
def gguf(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf")


@pytest.fixture
def settings(gguf):
    return ServerSettings(gguf, "tiny", context=256, slots=1)


@pytest.fixture
def running():
    made = Runtime()
    yield made
    made.close()


def status_of(server, *, key=None):
    request = urllib.request.Request(f"{server.address}/slots", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def gone(pid, seconds=10.0):
    """Wait until no process has this id, zombies of somebody else not counted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_it_answers_whoever_knows_the_key_and_stops(settings):
    server = Server.start(settings)
    try:
        assert server.address.startswith("http://127.0.0.1:")
        assert status_of(server, key=server.key) == 200
        assert status_of(server) == 401
        assert server.key not in repr(server)
        assert server.alive
    finally:
        server.stop()
    assert not server.alive
    server.stop()


@pytest.mark.parametrize(
    "content,words",
    [(None, "no file"), (b"", "not a GGUF"), (b"PK\3\4 a zip", "not a GGUF"), (b"GGUF!", "could not load")],
)
def test_what_cannot_be_loaded(tmp_path, content, words):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LocalModelError, match=words) as caught:
        Server.start(ServerSettings(path, "model"))
    assert str(path) in str(caught.value)


def test_truncated_weights(tmp_path, gguf):
    path = tmp_path / "half.gguf"
    path.write_bytes(gguf.read_bytes()[: gguf.stat().st_size // 2])
    with pytest.raises(LocalModelError, match="corrupted or incomplete"):
        Server.start(ServerSettings(path, "half"))


def test_a_directory_is_no_model(tmp_path):
    with pytest.raises(LocalModelError, match="cannot read"):
        Server.start(ServerSettings(tmp_path, "directory"))


def test_a_port_in_use(gguf):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalModelError, match=f"port {port} on 127.0.0.1 is in use"):
            Server.start(ServerSettings(gguf, "tiny", port=port))


def test_no_runtime_installed(settings, monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"semcascade\[local\]"):
        Server.start(settings)


def test_no_interpreter_to_start(settings, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(LocalModelError, match="/no/such/python"):
        Server.start(settings)


def test_many_threads_start_it_once(running, settings):
    found = []

    def ask():
        found.append(running.acquire(settings, "someone"))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({server.pid for server in found}) == 1


def test_a_failed_start_is_told_to_all_and_tried_again(running, tmp_path, gguf):
    path = tmp_path / "later.gguf"
    settings = ServerSettings(path, "later", context=256)
    with pytest.raises(LocalModelError):
        running.acquire(settings, "a")
    path.write_bytes(gguf.read_bytes())
    assert running.acquire(settings, "a").alive


def test_a_model_whose_process_died_is_started_anew(running, settings):
    first = running.acquire(settings, "a")
    os.kill(first.pid, signal.SIGKILL)
    while first.alive:  # its threads end one by one
        time.sleep(0.01)
    second = running.acquire(settings, "a")
    assert second.alive
    assert second.pid != first.pid


def test_the_last_user_stops_it(running, settings):
    server = running.acquire(settings, "a")
    assert running.acquire(settings, "b") is server
    running.release("a")
    assert server.alive
    running.release("b")
    assert not server.alive
    running.release("b")


def test_what_is_released_while_it_starts_does_not_run_on(running, settings, monkeypatch):
    started = []
    start = Server.start

    def slowly(given):
        server = start(given)
        started.append(server)
        running.release("a")
        return server

    monkeypatch.setattr(Server, "start", slowly)
    with pytest.raises(LocalModelError, match="closed while it started"):
        running.acquire(settings, "a")
    assert not started[0].alive


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_models_of_its_own_and_leaves_its_parents_alone(settings):
    shared = runtime.shared_runtime()
    server = shared.acquire(settings, "parent")
    try:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                shared.close()
                own = runtime.shared_runtime().acquire(settings, "child")
                os.write(writing, f"{own.pid} {own.alive}".encode())
                runtime.shared_runtime().close()
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as said:
            pid, alive = said.read().split()
        assert alive == "True"
        assert int(pid) != server.pid
        assert gone(int(pid))
        assert server.alive
    finally:
        shared.release("parent")


SCRIPT = """
import sys
from pathlib import Path
from semcascade.transport.local.runtime import ServerSettings, shared_runtime
server = shared_runtime().acquire(ServerSettings(Path(sys.argv[1]), "tiny", context=256), "script")
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def script(gguf):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(gguf)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_it_ends_with_the_program_and_writes_nothing(script):
    pid = int(script.stdout.readline())
    out, err = script.communicate()
    assert (out, err, script.returncode) == ("", "", 0)
    assert gone(pid)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
def test_it_ends_even_if_the_program_is_killed(script):
    pid = int(script.stdout.readline())
    script.kill()
    assert gone(pid)


def test_it_ends_even_if_the_program_is_gone_before_it_answers(settings):
    order = {"path": str(settings.path), "alias": "tiny", "template": "", "template_kwargs": {}, "key": "k"}
    order |= {"context": 256, "slots": 1, "threads": 1, "port": 0, "sys_path": [runtime.require_runtime()]}
    with subprocess.Popen(
        [sys.executable, "-P", serve.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        process.stdout.close()
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.close()
        try:
            assert process.wait(20) == 1
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
def test_an_interrupt_is_the_programs_business(running, settings):
    server = running.acquire(settings, "a")
    os.kill(server.pid, signal.SIGINT)
    assert status_of(server, key=server.key) == 200
