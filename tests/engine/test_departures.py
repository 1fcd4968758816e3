"""Queries that nobody waits for to the end: what they asked stands in the ledger all the same."""

import asyncio
import gc
import threading
import warnings

import pytest

from semcascade import Cascade, CascadeError, DeadlineExceededError, Delta, InputError, ScriptedTransport
from semcascade.config import Member
from semcascade.engine.attempts import Deadline, Patience, Tally
from semcascade.engine.departures import cut_short
from semcascade.engine.guard import Guards
from semcascade.engine.hedging import ask_hedged
from semcascade.engine.loop import EngineLoop
from semcascade.engine.streams import ask_in_pieces
from semcascade.errors import ConnectionFailedError
from semcascade.messages import Request

SCATTER = {"a": "1", "b": "2", "t": "one two three"}
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}


def priced(transport, **settings):
    ensemble = [{"model": name, **PRICES} for name in ("a", "b")]
    return Cascade(ensemble=ensemble, target={"model": "t", **PRICES}, transport=transport, max_retries=0, **settings)


class Hanging(ScriptedTransport):
    """Never answers for the members that are named; tells when all of them were asked."""

    def __init__(self, *who):
        super().__init__(SCATTER)
        self.who, self.waiting, self.asked = who, 0, threading.Event()

    async def complete(self, member, request, *, timeout, sample=0):
        if member.name in self.who:
            self.waiting += 1
            if self.waiting == len(self.who):
                self.asked.set()
            await asyncio.Event().wait()
        return await super().complete(member, request, timeout=timeout, sample=sample)


class Pausing(ScriptedTransport):
    """Stops behind the first piece, until it is left."""

    async def stream(self, member, request, *, timeout):
        yield Delta(text="one ")
        await asyncio.Event().wait()


class Breaking(ScriptedTransport):
    """Breaks off behind the first piece."""

    async def stream(self, member, request, *, timeout):
        yield Delta(text="one ")
        raise ConnectionFailedError("gone", member=member.name)


class StallingOnce(ScriptedTransport):
    """Lets the first stream wait until its time is up."""

    tries = 0

    async def stream(self, member, request, *, timeout):
        self.tries += 1
        if self.tries == 1:
            await asyncio.Event().wait()
        async for piece in super().stream(member, request, timeout=timeout):
            yield piece


def _tells_when_added(ledger, monkeypatch):
    added, add = threading.Event(), ledger.add
    monkeypatch.setattr(ledger, "add", lambda decision: (add(decision), added.set()))
    return added


def test_a_stream_that_is_left_stands_in_the_ledger():
    with priced(Pausing(SCATTER)) as cascade:
        pieces = cascade.stream("?")
        assert next(pieces).text == "one "
        pieces.close()
        summary = cascade.ledger.summary()
    assert (summary.queries, summary.failed, summary.calls, summary.unpriced_queries) == (1, 1, 3, 0)
    assert summary.estimated_cost == pytest.approx(2e-6)  # one token in, one out, as the siblings had in the mean


async def test_an_asynchronous_stream_that_is_left_stands_in_the_ledger():
    async with priced(Pausing(SCATTER)) as cascade:
        pieces = cascade.astream("?")
        assert (await anext(pieces)).text == "one "
        await pieces.aclose()
        assert cascade.ledger.summary().calls == 3


def test_an_accepted_answer_whose_result_is_not_fetched_counts_as_accepted():
    with priced(ScriptedTransport({"a": "1", "b": "1"})) as cascade:
        pieces = cascade.stream("?")
        next(pieces)
        pieces.close()
        assert cascade.ledger.summary().accepted == 1


@pytest.mark.parametrize(("hanging", "calls", "unpriced"), [(("b",), 2, 0), (("a", "b"), 2, 1), (("t",), 3, 0)])
async def test_a_cancelled_query_stands_in_the_ledger_with_all_it_asked(hanging, calls, unpriced, monkeypatch):
    transport = Hanging(*hanging)
    async with priced(transport) as cascade:
        added = _tells_when_added(cascade.ledger, monkeypatch)
        query = asyncio.ensure_future(cascade.acomplete("?"))
        assert await asyncio.to_thread(transport.asked.wait, 5)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        assert await asyncio.to_thread(added.wait, 5)
    summary = cascade.ledger.summary()
    assert (summary.queries, summary.failed, summary.calls, summary.unpriced_queries) == (1, 1, calls, unpriced)
    assert (summary.estimated_cost > 0) == (not unpriced)


def test_a_stream_that_breaks_off_is_in_the_record_and_its_price_unknown():
    with priced(Breaking(SCATTER)) as cascade:
        with pytest.raises(CascadeError, match="broke off") as raised:
            list(cascade.stream("?"))
        assert cascade.ledger.summary().calls == 3
    assert raised.value.decision.tiers[-1].candidates[0].failure is not None
    assert raised.value.decision.cost is None


def test_a_streamed_answer_costs_what_its_failed_attempts_may_have_cost():
    transport = StallingOnce(SCATTER)
    ensemble = [{"model": name, **PRICES} for name in ("a", "b")]
    target = {"model": "t", "timeout": 0.6, "max_retries": 1, **PRICES}
    with Cascade(ensemble=ensemble, target=target, transport=transport) as cascade:
        *_, result = cascade.stream("?")
    assert (result.candidate.attempts, result.candidate.cost) == (2, None)


@pytest.mark.parametrize("way", ["complete", "stream"])
def test_nobody_is_asked_behind_the_deadline(way):
    transport = Hanging("b")
    with priced(transport, deadline=0.1) as cascade, pytest.raises(DeadlineExceededError) as raised:
        list(cascade.stream("?")) if way == "stream" else cascade.complete("?")
    late = raised.value.decision.tiers[-1].candidates[0]
    assert (late.attempts, late.cost) == (0, 0.0)
    assert [name for name, _ in transport.requests] == ["a"]


@pytest.mark.parametrize("way", ["complete", "stream"])
@pytest.mark.parametrize(("own", "of_the_call"), [(None, 0.1), (60, 0.1), (0.1, 60)])
def test_a_call_may_set_a_sooner_deadline_but_no_later_one(way, own, of_the_call):
    with priced(Hanging("b"), deadline=own) as cascade, pytest.raises(DeadlineExceededError):
        list(cascade.stream("?", deadline=of_the_call)) if way == "stream" else cascade.complete(
            "?", deadline=of_the_call
        )


@pytest.mark.parametrize("wrong", [0, -1, "soon", True, float("nan")])
def test_a_calls_deadline_is_a_time(wrong):
    cascade = priced(ScriptedTransport(SCATTER))
    with pytest.raises(InputError, match="deadline: expected seconds, more than 0"):
        cascade.complete("?", deadline=wrong)
    assert cascade.config.deadline is None


@pytest.mark.parametrize("hedged", [False, True])
async def test_whatever_wakes_up_after_it_was_told_sends_nothing(hedged):
    """What is cancelled hears of it one turn of the loop later, and may be about to repeat its request."""
    transport, member = ScriptedTransport(SCATTER), Member(model="a")
    patience = Patience(1.0, 2, Deadline(), Guards().query(), hedge_after=5.0 if hedged else None)
    tally = Tally(attempts=1)
    left = cut_short(transport, member, tally, "left", None)
    with pytest.raises(asyncio.CancelledError):
        await ask_hedged(transport, member, Request(({"role": "user", "content": "x"},)), patience, tally=tally)
    pieces = ask_in_pieces(transport, member, Request(({"role": "user", "content": "x"},)), patience, tally)
    with pytest.raises(asyncio.CancelledError):
        await anext(pieces)
    assert (left.attempts, tally.attempts, transport.requests) == (1, 1, [])


async def test_who_hears_that_a_query_is_cancelled_finds_it_in_the_ledger():
    hanging = Hanging("a", "b")
    c = priced(hanging)
    for number in range(1, 6):
        hanging.waiting = 0
        hanging.asked.clear()
        task = asyncio.create_task(c.acomplete("?"))
        assert await asyncio.to_thread(hanging.asked.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (c.ledger.summary().queries, c.ledger.summary().calls) == (number, 2 * number)


def test_who_leaves_before_anybody_is_made_ready_leaves_nothing_behind():
    class Prepared(ScriptedTransport):
        async def prepare(self, member):
            await asyncio.sleep(0)

    async def leave_at_once():
        task = asyncio.ensure_future(priced(Prepared(SCATTER)).acomplete("?"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        EngineLoop.shared().run(leave_at_once())
        gc.collect()
    assert [str(warning.message) for warning in told] == []
