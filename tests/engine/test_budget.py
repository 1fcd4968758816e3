"""Caps: nothing begins that does not fit, whatever the order of things."""

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from semcascade.engine.budget import Refusal, Spend, Till
from semcascade.limits import Budget

SECONDS = 60


def till(clock=None, **caps):
    return Till(Budget.model_validate(caps), clock or (lambda: 0.0))


def test_what_fits_is_reserved_and_what_does_not_is_refused_in_words():
    query = till(query={"calls": 2, "tokens": 100, "cost": 0.5}).query()
    (first,) = query.reserve(Spend.of(tokens=60, cost=0.1))
    assert query.reserve(Spend.of(tokens=60)) == Refusal("up to 60 tokens needed, 40 of 100 left (budget.query.tokens)")
    assert "$0.4 of $0.5 left (budget.query.cost)" in query.reserve(Spend.of(cost=0.41)).reason
    first.settle(Spend.of(tokens=10, cost=0.02))
    (second,) = query.reserve(Spend.of(tokens=90))
    assert "0 of 2 left" in query.reserve(Spend.of()).reason
    second.release()
    assert list(query.used) == [Spend.of(tokens=10, cost=0.02)]


def test_requests_are_reserved_together_or_not_at_all():
    query = till(query={"calls": 2}).query()
    assert isinstance(query.reserve(*[Spend.of()] * 3), Refusal)
    assert len(query.reserve(*[Spend.of()] * 2)) == 2


def test_a_reservation_is_settled_once():
    query = till(query={"calls": 1}).query()
    (reservation,) = query.reserve(Spend.of())
    reservation.settle(Spend.of())
    reservation.release()
    assert list(query.used) == [Spend.of()]


def test_a_period_is_shared_by_queries_and_makes_room_with_time():
    now = SimpleNamespace(s=1000.0)
    shared = till(lambda: now.s, period={"seconds": SECONDS, "calls": 1})
    (reservation,) = shared.query().reserve(Spend.of())
    assert shared.query().reserve(Spend.of()).retry_after is None  # in flight: nobody knows
    reservation.settle(Spend.of())
    refusal = shared.query().reserve(Spend.of())
    assert SECONDS <= refusal.retry_after <= SECONDS * 61 / 60
    now.s += refusal.retry_after - 0.001
    assert isinstance(shared.query().reserve(Spend.of()), Refusal)
    now.s += 0.002
    assert shared.query().reserve(Spend.of())


def test_what_never_fits_is_not_worth_waiting_for():
    assert till(period={"seconds": 1, "tokens": 5}).query().reserve(Spend.of(tokens=6)).retry_after is None


def test_without_caps_everything_fits():
    query = Till(None).query()
    assert not query.capped
    assert query.reserve(Spend.of(10**9, 10**12, 1e9))


def test_threads_never_overshoot_together():
    shared = till(period={"seconds": 3600, "calls": 50, "tokens": 500})
    begun, start = [], threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(200):
            got = shared.query().reserve(Spend.of(tokens=10))
            if not isinstance(got, Refusal):
                begun.append(got)
                got[0].settle(Spend.of(tokens=10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 50


@given(costs=st.lists(st.floats(1e-9, 0.4), min_size=1, max_size=30))
def test_costs_add_up_without_drift(costs):
    query = till(query={"cost": 1e6}).query()
    reservations = [query.reserve(Spend.of(cost=cost))[0] for cost in costs]
    for reservation in reservations:
        reservation.release()
    assert list(query.used) == [Spend()]


class Interleavings(RuleBasedStateMachine):
    """Queries reserve, settle and release in any order while time goes by; a plain diary of it is kept beside."""

    reservations = Bundle("reservations")

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.shared = till(
            lambda: self.now,
            query={"tokens": 40, "cost": 3e-6},
            period={"seconds": SECONDS, "calls": 9, "tokens": 100, "cost": 8e-6},
        )
        self.queries = [self.shared.query() for _ in range(3)]
        self.open, self.spent = {}, []

    @rule(
        target=reservations,
        query=st.integers(0, 2),
        tokens=st.lists(st.integers(0, 50), min_size=1, max_size=3),
        pico=st.integers(0, 4 * 10**6),
    )
    def reserve(self, query, tokens, pico):
        got = self.queries[query].reserve(*(Spend(1, count, pico) for count in tokens))
        if isinstance(got, Refusal):
            return multiple()
        self.open |= {one: (query, one.need) for one in got}
        return multiple(*got)

    @rule(one=consumes(reservations), share=st.floats(0, 1))
    def settle(self, one, share):
        query, need = self.open.pop(one)
        spent = Spend(1, int(need.tokens * share), int(need.pico * share))
        one.settle(spent)
        self.spent.append((self.now, query, spent))

    @rule(one=consumes(reservations))
    def release(self, one):
        one.release()
        del self.open[one]

    @rule(seconds=st.floats(0.01, 70))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: not self.open)
    @rule()
    def all_room_comes_back(self):
        self.now += SECONDS * 62 / 60
        assert list(self.shared.query().used)[1] == Spend()

    @invariant()
    def no_cap_is_overshot(self):
        reserved = [need for _, need in self.open.values()]
        recent = [spent for when, _, spent in self.spent if when > self.now - SECONDS]
        total = sum([*reserved, *recent], start=Spend())
        assert (total.calls <= 9, total.tokens <= 100, total.pico <= 8 * 10**6) == (True, True, True)
        for number in range(3):
            own = [need for query, need in self.open.values() if query == number]
            own += [spent for _, query, spent in self.spent if query == number]
            assert sum(one.tokens for one in own) <= 40
            assert sum(one.pico for one in own) <= 3 * 10**6


TestInterleavings = Interleavings.TestCase


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        ({"query": {"call": 3}}, "budget.query.call"),
        ({"query": {"calls": 0}}, "budget.query.calls"),
        ({"query": {}}, "budget.query"),
        ({"query": {"cost": float("inf")}}, "budget.query.cost"),
        ({"query": {"tokens": True}}, "budget.query.tokens"),
        ({"period": {"cost": 1.0}}, "budget.period.seconds"),
        ({"period": {"seconds": 0, "cost": 1.0}}, "budget.period.seconds"),
        ({"day": {"cost": 1.0}}, "budget.day"),
        ({}, "budget"),
    ],
)
def test_wrong_budgets_are_refused_by_name(budget, field):
    from semcascade.config import CascadeConfig
    from semcascade.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        CascadeConfig.build(ensemble=["a/x", "b/y"], target="c/z", budget=budget)
    assert caught.value.field == field
