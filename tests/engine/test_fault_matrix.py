"""Every fault, at every place, by every way to ask, over both transports: the right answer or the right error, in
time, every request counted, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from semcascade.engine import attempts
from semcascade.errors import DeadlineExceededError
from semcascade.transport import openai_http
from tests.engine.matrix import (
    CASES,
    DEADLINE_S,
    LIMIT,
    PLACES,
    SCRIPT,
    STREAMS,
    TRANSPORTS,
    WAYS,
    Case,
    Matrix,
    Outcome,
    asked,
    cells,
    tasks_left,
)
from tests.support.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    with OpenAIServer(dict(SCRIPT)) as server:
        made = Matrix(server)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat without a pause where the provider names none; a small limit is as good as a large one."""
    monkeypatch.setattr(attempts, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(openai_http, "LARGEST_REPLY", LIMIT)


@pytest.mark.parametrize(
    ("case", "place", "transport", "way"), [*cells()], ids=lambda part: getattr(part, "name", part)
)
def test_every_fault_in_every_place(matrix: Matrix, case: Case, place: str, transport: str, way: str):
    with matrix.cascade(case, place, transport) as cascade:
        outcome = asked(cascade, way)
        calls = cascade.ledger.summary().calls
    expected = case.expected(place, way, transport)
    CHECKS[place](outcome, case, expected, way)
    assert outcome.decision.latency_s < DEADLINE_S
    refused = sum(attempts_of(outcome, "b" if place == "one member" else place)) if case.fault is None else 0
    assert calls == outcome.decision.calls == len(matrix.server.requests) + refused
    if case.stalls:
        matrix.server.wait_until(lambda: all(one.finished or one.disconnected for one in matrix.server.requests))
    assert tasks_left() == []


def attempts_of(outcome: Outcome, place: str) -> list[int]:
    tiers = outcome.decision.tiers
    if place == "embeddings":
        return [tiers[0].scoring_calls]
    candidates = tiers[-1].candidates if place == "target" else tiers[0].candidates
    return [one.attempts for one in candidates if place in (one.member, "target", "all members")]


def check_one(outcome: Outcome, case: Case, expected: tuple, way: str) -> None:
    assert outcome.result is not None
    agreed = not case.says_nothing  # an empty answer agrees with none; two of three are not enough
    assert (outcome.result.text, outcome.decision.accepted) == ("Tokyo" if agreed else SCRIPT["t"], agreed)
    record = outcome.decision.tiers[0]
    assert [candidate.ok for candidate in record.candidates] == [True, not expected, True]
    check_failure(record.candidates[1].failure, record.candidates[1].attempts, case, expected)


def check_all(outcome: Outcome, case: Case, expected: tuple, way: str) -> None:
    assert outcome.result is not None
    for candidate in outcome.decision.tiers[0].candidates:
        check_failure(candidate.failure, candidate.attempts, case, expected)
    if expected or case.says_nothing:
        assert outcome.result.text == SCRIPT["t"]
        assert outcome.decision.tier == "target"
    else:
        assert (outcome.result.text, outcome.decision.accepted) == ("Tokyo", True)
    if way in STREAMS:
        assert "".join(outcome.pieces) == outcome.result.text


def check_target(outcome: Outcome, case: Case, expected: tuple, way: str) -> None:
    (candidate,) = outcome.decision.tiers[-1].candidates
    said = "".join(outcome.pieces)
    begun = bool(said) and bool(expected)
    check_failure(candidate.failure, candidate.attempts, case, expected, repeated=not begun)
    if expected:
        assert outcome.error is not None
        assert outcome.error.failures[-1] is candidate.failure
        assert SCRIPT["t"].startswith(said)
        assert not begun or "broke off" in str(outcome.error)
        return
    assert outcome.result is not None
    assert outcome.result.text == ("" if case.says_nothing else SCRIPT["t"])
    assert way not in STREAMS or said == outcome.result.text
    assert (candidate.usage is None) == (case.name == "usage missing")


def check_embeddings(outcome: Outcome, case: Case, expected: tuple, way: str) -> None:
    assert outcome.result is not None
    record = outcome.decision.tiers[0]
    assert outcome.decision.accepted
    assert outcome.result.text in {SCRIPT[name] for name in "pqr"}
    repeats = any(kind.retryable for kind in expected) and not case.stalls
    assert record.scoring_calls == 1 + repeats
    assert (record.similarity == "embedding by openai/e") == (not expected)
    assert any("embedding could not compare" in note for note in record.notes) == bool(expected)


def check_failure(failure, tries: int, case: Case, expected: tuple, *, repeated: bool = True) -> None:
    assert (type(failure) in expected) if expected else failure is None, failure
    retried = failure is not None and failure.retryable and repeated and not case.stalls
    assert tries == 1 + retried
    assert failure is None or failure.__traceback__ is None


CHECKS = {"one member": check_one, "all members": check_all, "target": check_target, "embeddings": check_embeddings}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("place", PLACES)
def test_no_stall_outlives_the_deadline(matrix: Matrix, place: str, transport: str, way: str):
    deadline, slack = {"openai": 0.4, "litellm": 0.8}[transport], 3.0  # a loaded machine
    started = time.monotonic()
    with matrix.cascade(case_of("stall before"), place, transport, patient=True, deadline=deadline) as cascade:
        outcome = asked(cascade, way)
    assert time.monotonic() - started < deadline + slack
    assert outcome.decision.calls == cascade.ledger.summary().calls == len(matrix.server.requests)
    matrix.server.wait_until(lambda: all(one.finished or one.disconnected for one in matrix.server.requests))
    assert tasks_left() == []
    if place == "embeddings":
        assert outcome.result is not None, "what had answered is compared without the service"
    else:
        assert isinstance(outcome.error, DeadlineExceededError) or place == "one member"


PASSING = (
    "408",
    "429",
    "429 with Retry-After",
    "500",
    "529",
    "reset at once",
    "truncated",
    "malformed",
    "empty choices",
)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_asked_again(matrix: Matrix, name: str, place: str, transport: str):
    with matrix.cascade(case_of(name), place, transport, at=1) as cascade:
        outcome = asked(cascade, "sync")
        assert outcome.result is not None
        assert cascade.ledger.summary().calls == outcome.decision.calls == len(matrix.server.requests)
    assert outcome.decision.calls == {"one member": 4, "all members": 6, "target": 5, "embeddings": 5}[place]
    candidates = [one for tier in outcome.decision.tiers for one in tier.candidates]
    assert all(one.ok for one in candidates)
    if place == "embeddings":
        assert outcome.decision.tiers[0].similarity == "embedding by openai/e"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["401", "503", "reset mid-body", "stall before", "malformed", "context overflow"])
def test_an_answer_of_the_ensemble_stands_in_for_a_faulty_target(matrix: Matrix, name: str, way: str, transport: str):
    with matrix.cascade(case_of(name), "target", transport, on_target_failure="ensemble") as cascade:
        outcome = asked(cascade, way)
    begun = way in STREAMS and name == "reset mid-body"
    assert (outcome.error is not None) == begun, "what was shown cannot be taken back"
    if outcome.result is not None:
        assert (outcome.result.text, outcome.decision.fallback) == ("Tokyo", True)
    assert outcome.decision.calls == len(matrix.server.requests)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("way", WAYS)
def test_who_is_not_waited_for_is_counted_too(matrix: Matrix, way: str, transport: str):
    """Two agree and a third stalls: it can change nothing any more, so it is left, and is in the ledger all the same."""
    settings = {"patient": True, "early_exit": "verdict", "threshold": 0.3}
    with matrix.cascade(case_of("stall before"), "one member", transport, **settings) as cascade:
        outcome = asked(cascade, way)
        assert outcome.result is not None
        assert (outcome.result.text, outcome.decision.calls) == ("Tokyo", 3)
        matrix.server.wait_until(lambda: [one.disconnected for one in matrix.server.asked("b")] == [True])
        assert len(matrix.server.requests) == cascade.ledger.summary().calls == 3
    assert tasks_left() == []


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


SLICE = """
import asyncio, gc, json, sys, threading
from semcascade.engine import attempts
from semcascade.errors import DeadlineExceededError
from tests.engine.matrix import *
attempts._FIRST_PAUSE_S = 0.0
transport = sys.argv[1]
with OpenAIServer(dict(SCRIPT)) as server:
    matrix, calls = Matrix(server), 0
    names = ("429 with Retry-After", "refused connection", "reset mid-body", "stall inside", "malformed")
    for turn, name in enumerate(names):
        case = next(case for case in CASES if case.name == name)
        for place, way in zip(PLACES, WAYS[turn % 4:] + WAYS[:turn % 4], strict=True):
            with matrix.cascade(case, place, transport) as cascade:
                calls += bool(asked(cascade, way).decision.calls)
    matrix.close()
    assert tasks_left() == []
gc.collect()
threads = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
print(json.dumps([calls, [name for name in threads if not name.startswith("asyncio_")]]))
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nothing_is_left_behind_in_a_process_that_warns_of_everything(transport: str):
    done = subprocess.run(
        [sys.executable, "-X", "dev", *WARNINGS[transport], "-c", SLICE, transport],
        capture_output=True, text=True, timeout=240, check=False, env={**os.environ, "LITELLM_LOG": "ERROR"},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # a slow machine
    assert (done.returncode, complaints) == (0, [])
    assert json.loads(done.stdout.splitlines()[-1]) == [20, []]


WARNINGS = {"openai": ["-W", "error"], "litellm": ["-W", "error::ResourceWarning", "-W", "error::RuntimeWarning"]}
"""LiteLLM and what it imports use what is deprecated; that nothing is left open holds for it, too."""
