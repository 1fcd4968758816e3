"""A member whose breaker is open is left out of its tier, until a probe finds it well."""

import asyncio
from types import SimpleNamespace

import pytest

from semcascade import CascadeError, DeadlineExceededError, ScriptedTransport
from semcascade.engine.guard import Guards
from semcascade.errors import BadRequestError, CircuitOpenError, MemberTimeoutError, ServerError
from tests.engine.helpers import AGREE, QUESTION, SCATTER, Never, asked, cascade

DOWN = ServerError("down", member="b", status=503)


def timed(script, **settings):
    c, now = cascade(script, **settings), SimpleNamespace(s=0.0)
    object.__setattr__(c._plan, "guards", Guards(c.config.budget, c.config.breaker, lambda: now.s))
    return c, now


def test_it_is_left_out_and_comes_back():
    script = AGREE | {"b": [DOWN, DOWN, "Tokyo"]}
    c, now = timed(script, breaker={"failures": 2, "cooldown": 10})
    for _ in range(2):
        assert c.complete(QUESTION).decision.accepted
    left_out = c.complete(QUESTION).decision
    failed = left_out.tiers[0].candidates[1]
    assert (type(failed.failure), failed.attempts, failed.cost) == (CircuitOpenError, 0, 0.0)
    assert (left_out.accepted, left_out.calls) == (True, 2)
    assert "it is tried again in 10.0 s (the last one: down)" in str(failed.failure)
    now.s = 10.0
    back = c.complete(QUESTION).decision
    assert back.tiers[0].candidates[1].text == "Tokyo"
    assert asked(c).count("b") == 3


def test_by_default_five_failures_open_it():
    c, _ = timed(AGREE | {"b": DOWN})
    for _ in range(8):
        c.complete(QUESTION)
    assert asked(c).count("b") == 5


def test_repeated_requests_count_and_it_stops_them():
    c, _ = timed(AGREE | {"b": ServerError("down", member="b", retry_after=0)}, max_retries=9)
    decision = c.complete(QUESTION).decision
    assert (asked(c).count("b"), decision.tiers[0].candidates[1].attempts) == (5, 5)
    assert isinstance(decision.tiers[0].candidates[1].failure, ServerError)
    assert "not repeated: b: not asked after 5 failures in a row" in decision.notes[0]


def test_off_is_off():
    c, _ = timed(AGREE | {"b": DOWN}, breaker=False)
    for _ in range(8):
        c.complete(QUESTION)
    assert asked(c).count("b") == 8


def test_refused_requests_do_not_open_it():
    c, _ = timed(AGREE | {"b": BadRequestError("no", member="b", status=400)}, breaker={"failures": 1})
    for _ in range(3):
        c.complete(QUESTION)
    assert asked(c).count("b") == 3


def test_a_tier_that_cannot_reach_its_quorum_is_not_asked():
    c, _ = timed(SCATTER | {"a": DOWN, "b": DOWN}, breaker={"failures": 1})
    c.complete(QUESTION)
    assert c.complete(QUESTION).decision.tiers[0].reason == "only 1 of 3 answers could be asked for, 2 are needed"
    assert asked(c).count("c") == 1


def test_time_that_ran_out_counts():
    c = cascade({}, ensemble=["a", "b"], breaker={"failures": 1}, timeout=0.01)
    c._transports.default = Never()
    with pytest.raises(CascadeError) as raised:
        c.complete(QUESTION)
    assert all(isinstance(failure, MemberTimeoutError) for failure in raised.value.failures)
    guard = c._plan.guards.query()
    assert isinstance(guard.unwell(c.config.members()[0]), CircuitOpenError)


async def test_a_query_that_is_left_does_not_count():
    never = Never()
    c = cascade({}, ensemble=["a", "b"], breaker={"failures": 1})
    c._transports.default = never
    query = asyncio.ensure_future(c.acomplete(QUESTION))
    assert await asyncio.to_thread(never.started.wait, 5)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert await asyncio.to_thread(never.cancelled.wait, 5)
    assert c._plan.guards.query().unwell(c.config.members()[0]) is None


@pytest.mark.parametrize("way", ["complete", "stream"])
def test_the_only_way_to_an_answer_is_always_tried(way):
    down = ServerError("down", member="t")
    c, _ = timed(SCATTER | {"t": [down, down, down, "It is Tokyo."]}, breaker={"failures": 1})
    for _ in range(3):
        with pytest.raises(CascadeError):
            c.complete(QUESTION)
    result = c.complete(QUESTION) if way == "complete" else list(c.stream(QUESTION))[-1]
    assert result.text == "It is Tokyo."
    assert c.complete(QUESTION, member="t").text == "It is Tokyo."


def test_but_not_where_an_answer_may_stand_in():
    down = ServerError("down", member="t")
    c, _ = timed(SCATTER | {"t": down}, breaker={"failures": 1}, on_target_failure="ensemble")
    for _ in range(3):
        assert c.complete(QUESTION).decision.fallback
    assert asked(c).count("t") == 1
    assert c.complete(QUESTION).decision.tiers[-1].reason == "t was not asked"


async def test_in_a_crowd_one_request_probes():
    class Slow(ScriptedTransport):
        async def complete(self, member, request, *, timeout, sample=0):
            if member.name == "b":
                self.requests.append((member.name, request))
                await asyncio.sleep(0.05)
                raise DOWN
            return await super().complete(member, request, timeout=timeout, sample=sample)

    c, now = timed(AGREE, breaker={"failures": 1, "cooldown": 10})
    c._transports.default = Slow(AGREE)
    await c.acomplete(QUESTION)
    now.s = 10.0
    await asyncio.gather(*(c.acomplete(QUESTION) for _ in range(50)))
    assert asked(c).count("b") == 2


def test_callers_in_a_hurry_do_not_close_a_member_to_all_others():
    ensemble, slow = ["a", {"model": "slow", "transport": "never"}], Never()
    c = cascade(AGREE, ensemble=ensemble, transports={"never": slow}, deadline=10, breaker={"failures": 1})
    for _ in range(2):
        with pytest.raises(DeadlineExceededError):
            c.complete(QUESTION, deadline=0.3)
    assert slow.cancelled.is_set()
    with pytest.raises(DeadlineExceededError) as caught:
        c.complete(QUESTION, deadline=0.3)
    assert "failed: MemberTimeoutError: slow: no answer within the query's deadline" in caught.value.decision.explain()
    assert c._plan.guards.circuit(c.find("slow")).refusal() is None
    assert c._plan.guards.circuit(c.find("a")).refusal() is None


def test_a_member_that_takes_all_the_time_there_is_does_close():
    ensemble, transports = ["a", {"model": "slow", "transport": "never"}], {"never": Never()}
    c = cascade(AGREE, ensemble=ensemble, transports=transports, deadline=0.3, breaker={"failures": 1})
    with pytest.raises(DeadlineExceededError):
        c.complete(QUESTION)
    assert c._plan.guards.circuit(c.find("slow")).refusal() is not None
