"""The cache: what counts as present, and who may touch it."""

import errno
import hashlib
import json
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from semcascade.errors import LocalModelError
from semcascade.transport.local import store


def put(model, content):
    path = store.weights_path(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_environment_names_the_cache(cache):
    assert store.cache_directory() == cache


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="the convention of other systems")
def test_the_xdg_convention(monkeypatch, tmp_path):
    monkeypatch.delenv("SEMCASCADE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_directory() == tmp_path / "semcascade"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_directory() == tmp_path / ".cache" / "semcascade"


@pytest.mark.parametrize("platform,tail", [("darwin", "Library/Caches/semcascade"), ("win32", "semcascade/Cache")])
def test_the_conventions_of_other_systems(monkeypatch, tmp_path, platform, tail):
    monkeypatch.delenv("SEMCASCADE_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(store.sys, "platform", platform)
    assert store.cache_directory() == tmp_path / tail


def test_absent(tiny):
    assert store.verified(tiny) is None


def test_whole(tiny, weights):
    path = put(tiny, weights)
    assert store.verified(tiny) == path


def test_the_hash_is_computed_once_and_again_when_the_file_changes(tiny, weights, monkeypatch):
    path = put(tiny, weights)
    store.verified(tiny)
    computed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: computed.append(1) or digest(*given))
    store.verified(tiny)
    assert computed == []
    os.utime(path, (1, 1))
    assert store.verified(tiny) == path
    assert computed == [1]


@pytest.mark.parametrize(
    "damage,words",
    [(lambda data: data[:-1], "bytes, not"), (lambda data: data[:-1] + b"!", "sha256"), (lambda data: b"", "0 bytes")],
)
def test_corrupt(tiny, weights, damage, words):
    path = put(tiny, weights)
    store.verified(tiny)
    path.write_bytes(damage(weights))
    os.utime(path, (1, 1))
    with pytest.raises(LocalModelError, match=words) as caught:
        store.verified(tiny)
    assert str(path) in str(caught.value)
    assert "semcascade models pull tiny" in str(caught.value)


@pytest.mark.parametrize("mark", ["", "[]", "{not json", json.dumps({"sha256": "0" * 64})])
def test_a_mark_that_says_nothing_is_not_believed(tiny, weights, mark):
    path = put(tiny, weights[:-1] + b"!")
    path.with_name(f".{path.name}.verified").write_text(mark)
    with pytest.raises(LocalModelError):
        store.verified(tiny)


def test_remove(tiny, weights):
    assert store.remove(tiny) is False
    path = put(tiny, weights)
    store.verified(tiny)
    store.work_directory(tiny).mkdir()
    assert store.remove(tiny) is True
    assert not path.exists()
    assert not store.work_directory(tiny).exists()
    assert store.remove(tiny) is False


@pytest.mark.parametrize(
    "code,words", [(errno.ENOSPC, "disk is full"), (errno.EACCES, "SEMCASCADE_CACHE"), (errno.EROFS, "Read-only")]
)
def test_disk_errors_say_what_to_do(code, words):
    with pytest.raises(LocalModelError, match=words), store.disk_errors(Path("/somewhere")):
        raise OSError(code, os.strerror(code))


def test_a_cache_that_cannot_be_made(tiny, cache):
    cache.write_text("a file where a directory should be")
    with pytest.raises(LocalModelError, match="SEMCASCADE_CACHE"), store.lock(tiny):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="another way of locking")
def test_a_file_system_that_cannot_lock(tiny, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(store.fcntl, "flock", refuse)
    with pytest.raises(LocalModelError, match="SEMCASCADE_CACHE"), store.lock(tiny):
        pass


def test_one_thread_at_a_time(tiny):
    inside, most, waits = [], [], []

    def work():
        with store.lock(tiny, waiting=lambda: waits.append(1)):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
    assert waits


def _hold(model, entered):
    with store.lock(model):
        entered.set()
        time.sleep(60)


def test_the_lock_of_a_killed_process_is_free(tiny):
    context = multiprocessing.get_context("spawn")
    entered = context.Event()
    holder = context.Process(target=_hold, args=(tiny, entered))
    holder.start()
    try:
        assert entered.wait(30)
        waits = []
        killer = threading.Timer(0.3, holder.kill)
        killer.start()
        with store.lock(tiny, waiting=lambda: waits.append(1)):
            assert waits == [1]
            holder.join(10)
            assert not holder.is_alive()
    finally:
        holder.kill()
        holder.join()
        holder.close()
