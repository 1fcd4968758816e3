"""A breaker opens after failures in a row, lets one probe through, and closes when that one is answered."""

import threading
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from semcascade.engine.breaker import Circuit, tells_of_health
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    CircuitOpenError,
    ContentFilterError,
    ContextOverflowError,
    MemberTimeoutError,
    RateLimitError,
    ServerError,
)
from semcascade.limits import Breaker

DOWN = ServerError("down", member="a", status=503)


def circuit(failures=2, cooldown=10.0):
    now = SimpleNamespace(s=0.0)
    return Circuit("a", Breaker(failures=failures, cooldown=cooldown), lambda: now.s), now


def opened(**settings):
    c, now = circuit(**settings)
    while c.refusal() is None:
        c.enter().failed(DOWN)
    return c, now


def test_it_opens_after_failures_in_a_row_and_says_when_it_is_tried_again():
    c, now = opened()
    now.s = 4.0
    with pytest.raises(CircuitOpenError) as raised:
        c.enter()
    assert raised.value.retry_after == 6.0
    assert str(raised.value) == (
        "a: not asked after 2 failures in a row; it is tried again in 6.0 s (the last one: down)"
    )


def test_an_answer_between_failures_starts_the_count_anew():
    c, _ = circuit()
    for _ in range(5):
        c.enter().failed(DOWN)
        c.enter().answered()
    assert c.refusal() is None


def test_one_probe_is_let_through_and_closes_it():
    c, now = opened()
    now.s = 10.0
    probe = c.enter()
    with pytest.raises(CircuitOpenError, match="being tried now"):
        c.enter()
    probe.answered()
    c.enter()
    c.enter()


def test_a_probe_that_fails_opens_it_again_for_the_whole_cooldown():
    c, now = opened()
    now.s = 10.0
    c.enter().failed(DOWN)
    assert c.refusal().retry_after == 10.0


def test_a_probe_that_is_left_gives_way_to_the_next():
    c, now = opened()
    now.s = 10.0
    c.enter().left()
    c.enter().answered()
    assert c.refusal() is None


def test_what_was_sent_before_it_opened_says_nothing_of_now():
    c, now = circuit()
    early = [c.enter() for _ in range(6)]
    for one in early[:2]:
        one.failed(DOWN)
    early[2].answered()
    early[3].failed(DOWN)
    assert c.refusal().retry_after == 10.0
    now.s = 10.0
    probe = c.enter()
    early[4].answered()
    early[5].left()
    with pytest.raises(CircuitOpenError):
        c.enter()
    probe.answered()


def test_of_many_threads_exactly_one_probes():
    c, now = opened()
    now.s = 10.0
    start, passes = threading.Barrier(16), []

    def work():
        start.wait()
        try:
            passes.append(c.enter())
        except CircuitOpenError:
            return

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passes) == 1


@pytest.mark.parametrize("kind", [BadRequestError, ContextOverflowError, ContentFilterError])
def test_a_refused_request_says_nothing_against_the_member(kind):
    assert not tells_of_health(kind("no", member="a"))


@pytest.mark.parametrize("kind", [ServerError, RateLimitError, AuthenticationError, MemberTimeoutError])
def test_other_failures_do(kind):
    assert tells_of_health(kind("no", member="a"))


class Passing(RuleBasedStateMachine):
    """Requests come and go in any order; while it is open none passes, and one at a time while it is tried."""

    passes = Bundle("passes")

    def __init__(self):
        super().__init__()
        self.circuit, self.now = circuit(failures=3, cooldown=5.0)
        self.under_way, self.row, self.since, self.probe = set(), 0, None, None

    @rule(target=passes)
    def enter(self):
        waiting = self.since is not None and self.now.s < self.since + 5.0
        expected = not waiting and self.probe is None
        try:
            got = self.circuit.enter()
        except CircuitOpenError:
            assert not expected
            return multiple()
        assert expected
        self.under_way.add(got)
        if self.since is not None:
            self.probe, self.under_way = got, {got}
        return got

    @rule(one=consumes(passes), how=st.sampled_from(["answered", "failed", "left"]))
    def tell(self, one, how):
        one.failed(DOWN) if how == "failed" else getattr(one, how)()
        if one not in self.under_way:
            return
        self.under_way.discard(one)
        was_probe, self.probe = one is self.probe, None if one is self.probe else self.probe
        if how == "answered":
            self.row, self.since = 0, None if was_probe else self.since
        elif how == "failed":
            self.row += 1
            if was_probe or self.row >= 3:
                self.since, self.under_way = self.now.s, set()

    @rule(seconds=st.floats(0.5, 6.0))
    def wait(self, seconds):
        self.now.s += seconds

    @invariant()
    def it_agrees_with_what_it_would_do(self):
        waiting = self.since is not None and self.now.s < self.since + 5.0
        assert (self.circuit.refusal() is None) == (not waiting and self.probe is None)


TestPassing = Passing.TestCase
