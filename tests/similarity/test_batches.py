"""Concurrent queries share one worker and its batches, and nothing else."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from semcascade import Candidate
from semcascade.similarity import acompare
from semcascade.similarity.batches import Batches
from semcascade.similarity.embedding import Embedding
from semcascade.similarity.entailment import Entailment
from tests.support.tiny_models import cross_encoder, sentence_model

WORDS = ["paris", "rome", "oslo", "is", "the", "capital", "of", "france", "italy", "norway", "red", "green", "blue"]
QUESTIONS = [[f"{a} is the capital of {b}", f"{b} is {a}", f"{a} {a}"] for a in WORDS[:3] for b in WORDS[7:]]


class Worker:
    """Doubles numbers; the first batch waits until it is let go, so that the others gather behind it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.started.set()
        assert self.go.wait(10)
        if 13 in items:
            raise ValueError("13 brings bad luck")
        return [2 * item for item in items]


async def behind_the_first(worker: Worker, *parts: Sequence[int]) -> list[object]:
    batches = Batches(worker)
    first = asyncio.ensure_future(batches.gather([0]))
    await asyncio.to_thread(worker.started.wait, 10)
    others = [asyncio.ensure_future(batches.gather(part)) for part in parts]
    await asyncio.sleep(0)
    worker.go.set()
    assert await first == [0]
    return await asyncio.gather(*others, return_exceptions=True)


async def test_what_waits_goes_in_one_batch_and_each_gets_its_own():
    worker = Worker()
    assert await behind_the_first(worker, [1, 2], [2, 3], [4]) == [[2, 4], [4, 6], [8]]
    assert worker.batches == [[0], [1, 2, 3, 4]]


async def test_a_failure_stays_with_whose_it_is():
    worker = Worker()
    fine, unlucky, also_fine = await behind_the_first(worker, [1], [2, 13], [3])
    assert (fine, also_fine) == ([2], [6])
    assert isinstance(unlucky, ValueError)


async def test_who_no_longer_waits_is_left_out():
    worker, batches = Worker(), None
    batches = Batches(worker)
    first = asyncio.ensure_future(batches.gather([0]))
    await asyncio.to_thread(worker.started.wait, 10)
    left, stays = (asyncio.ensure_future(batches.gather([item])) for item in (1, 2))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    worker.go.set()
    assert [await first, await stays] == [[0], [4]]
    assert worker.batches == [[0], [2]]


def test_where_no_thread_can_be_had_nobody_waits_for_one(monkeypatch):
    batches = Batches(lambda items: [2 * item for item in items])

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            batches.wait([1])
    assert batches.wait([1, 2]) == [2, 4]


def test_many_threads_get_what_they_asked_for():
    batches = Batches(lambda items: [-item for item in items])
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda n: batches.wait(range(n, n + 5)), range(200))
        assert list(found) == [[-item for item in range(n, n + 5)] for n in range(200)]
    assert not [thread for thread in threading.enumerate() if thread.name == "semcascade-batches" and thread.is_alive()]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_a_worker_of_its_own():
    parent, started, go = os.getpid(), threading.Event(), threading.Event()

    def work(items: list[int]) -> list[int]:
        if os.getpid() == parent:
            started.set()
            assert go.wait(20)
        return [2 * item for item in items]

    batches, context = Batches(work), multiprocessing.get_context("fork")
    asked = threading.Thread(target=batches.wait, args=([1],))
    asked.start()
    assert started.wait(10)  # the parent's worker is busy at the fork
    found: multiprocessing.Queue[list[int]] = context.Queue()
    child = context.Process(target=lambda: found.put(batches.wait([21])))
    child.start()
    assert found.get(timeout=20) == [42]
    child.join(20)
    go.set()
    asked.join(10)


# --- the similarities


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_model(tmp_path_factory.mktemp("embedding"), WORDS)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoder(tmp_path_factory.mktemp("nli"), WORDS, ("contradiction", "entailment", "neutral"))


def said(texts: Sequence[str]) -> list[Candidate]:
    return [Candidate(f"m{index}", text=text) for index, text in enumerate(texts)]


@pytest.mark.parametrize("kind", [Embedding, Entailment])
async def test_queries_at_once_are_compared_as_each_alone_in_fewer_batches(
    kind: type[Embedding | Entailment], embedder: Path, judge: Path
):
    pytest.importorskip("sentence_transformers")
    model = str(embedder if kind is Embedding else judge)
    alone = [await acompare(kind(model), "q", said(texts)) for texts in QUESTIONS]
    together, sizes = kind(model), []
    work = together._batches._work
    together._batches._work = lambda items: (sizes.append(len(items)), work(items))[1]
    found = await asyncio.gather(*(acompare(together, "q", said(texts)) for texts in QUESTIONS))
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-5)
        assert one.clusters == other.clusters
    assert len(sizes) < len(QUESTIONS) // 2
