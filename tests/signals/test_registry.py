"""Finding signals and similarities by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

import semcascade.registry
from semcascade.config import CascadeConfig
from semcascade.engine.scoring import TierScorer
from semcascade.errors import ConfigError
from semcascade.messages import Candidate
from semcascade.registry import Registry
from semcascade.signals import Evidence, Score, Signal, get_signal, register_signal, signals
from semcascade.signals.catalog import _SIGNALS
from semcascade.similarity import Query


def made(name: str) -> Signal:
    return Signal(name, lambda _: 0.5, lambda value, _: value, True, 2, "Always a half.")


@pytest.fixture
def registered() -> Iterator[str]:
    register_signal(made("always_half"))
    yield "always_half"
    _SIGNALS.unregister("always_half")


def test_every_signal_is_found_under_its_own_name():
    for name, signal in signals().items():
        assert get_signal(name) is signal
        assert signal.name == name
        assert signal.summary.endswith(".")
        assert signal.span
        assert signal.few
        assert signal.source


def test_an_unknown_name_is_refused_with_the_close_match():
    with pytest.raises(ConfigError, match="did you mean 'agreement'") as caught:
        get_signal("agrement")
    assert caught.value.field == "signal"
    with pytest.raises(ConfigError, match="known are agreement, "):
        get_signal("xyzzy")


def test_a_registered_signal_is_used_by_name(registered: str):
    assert get_signal(registered).summary == "Always a half."
    assert registered in signals()


def test_a_plain_function_is_a_signal():
    def least(matrix: np.ndarray) -> float | None:
        """The least similarity of two answers.

        And more.
        """
        return None if len(matrix) == 3 else float(matrix.min())

    register_signal(least)
    try:
        signal = get_signal("least")
        assert signal.summary == "The least similarity of two answers."
        assert signal.score(Evidence(np.array([[1.0, 0.3], [0.3, 1.0]]))) == Score(0.3, 0.3)
        assert signal.score(Evidence(np.eye(3))).value is None
        assert "needs 2 answers" in signal.score(Evidence(np.eye(1))).note
        assert signals()["least"].higher_is_better
    finally:
        _SIGNALS.unregister("least")


def test_a_function_must_return_a_reliability():
    register_signal(lambda matrix: 3.0, "three")
    try:
        with pytest.raises(ConfigError, match="'three' must return a reliability from 0 to 1, got 3"):
            get_signal("three").score(Evidence(np.eye(2)))
    finally:
        _SIGNALS.unregister("three")


@pytest.mark.parametrize("wrong", [3, "agreement", None])
def test_what_is_no_signal_is_refused(wrong: object):
    with pytest.raises(ConfigError, match="expected a Signal or a function"):
        register_signal(wrong, "wrong")


def test_a_taken_name_is_refused(registered: str):
    for name in (registered, "agreement"):
        with pytest.raises(ConfigError, match="taken"):
            register_signal(made(name))
    assert get_signal("agreement").summary != "Always a half."


def test_registering_the_same_thing_again_is_no_error(registered: str):
    register_signal(get_signal(registered))


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_names_that_are_none_are_refused(name: object):
    with pytest.raises(ConfigError, match="name"):
        Registry("thing", {}, group="semcascade.nothing").register(name, object())


def test_packages_announce_theirs_by_entry_points(monkeypatch: pytest.MonkeyPatch):
    points = [
        EntryPoint("good", "types:SimpleNamespace", "semcascade.things"),
        EntryPoint("bad", "no_such_module_at_all:thing", "semcascade.things"),
    ]
    monkeypatch.setattr(
        semcascade.registry, "entry_points", lambda *, group, name=None: [p for p in points if name in {None, p.name}]
    )
    registry: Registry[object] = Registry("thing", {}, group="semcascade.things")
    assert registry.names() == ("bad", "good")
    assert registry.get("good") is SimpleNamespace
    with pytest.raises(ConfigError, match=r"no_such_module_at_all:thing.*cannot be loaded") as caught:
        registry.get("bad")
    assert caught.value.field == "thing"


def test_threads_that_register_at_once_lose_nothing():
    registry: Registry[int] = Registry("thing", {}, group="semcascade.nothing")
    start = threading.Barrier(8)

    def register(worker: int) -> None:
        start.wait()
        for index in range(50):
            registry.register(f"{worker}-{index}", worker)

    threads = [threading.Thread(target=register, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.names()) == 400


async def test_a_signal_of_the_users_own_does_not_hold_up_the_event_loop():
    threads: list[int] = []

    def slow(matrix: np.ndarray) -> float:
        threads.append(threading.get_ident())
        return 0.75

    register_signal(slow)
    try:
        config = CascadeConfig.build(ensemble=["a", "b"], target="t", signal="slow")
        answers = [Candidate("a", text="Tokyo"), Candidate("b", text="Kyoto")]
        scored = await TierScorer(config.tiers[0], config).score(Query("?"), answers, range(2))
    finally:
        _SIGNALS.unregister("slow")
    assert (scored.score.reliability, len(threads)) == (0.75, 1)
    assert threads[0] != threading.get_ident()
