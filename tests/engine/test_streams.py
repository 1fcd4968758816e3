"""Streams hold one answer, and let go of what is left."""

import asyncio
import gc
import threading
import time
from types import SimpleNamespace

import pytest

from semcascade import (
    Cascade,
    CascadeError,
    Delta,
    Result,
    ScriptedTransport,
)
from semcascade.engine.loop import EngineLoop
from semcascade.errors import RateLimitError, ServerError
from semcascade.transport.crossing import from_here
from tests.engine.helpers import AGREE, QUESTION, SCATTER, Never, cascade


def collect(items):
    items = list(items)
    assert [isinstance(item, Result) for item in items] == [False] * (len(items) - 1) + [True]
    return "".join(item.text for item in items[:-1]), items[-1]


def test_streams_hold_one_answer():
    accepted, result = collect(cascade(AGREE).stream(QUESTION))
    assert accepted == result.text == "Tokyo"
    deferred, result = collect(cascade(SCATTER).stream(QUESTION))
    assert deferred == result.text == "It is Tokyo."
    assert 0 <= result.decision.first_token_s <= result.decision.latency_s


@pytest.mark.parametrize(
    "script", [AGREE, {**SCATTER, "t": ServerError("down", member="t")}], ids=["accepted", "fallback"]
)
def test_an_answer_in_one_piece_has_a_first_token_too(script):
    c = cascade(script, on_target_failure="ensemble")
    decision = collect(c.stream(QUESTION))[1].decision
    assert 0 < decision.first_token_s <= decision.latency_s
    assert c.complete(QUESTION).decision.first_token_s is None


def test_a_stream_retries_only_before_its_first_piece():
    script = {**SCATTER, "t": [RateLimitError("wait", member="t", retry_after=0.0), "It is Tokyo."]}
    text, result = collect(cascade(script, max_retries=1).stream(QUESTION))
    assert text == "It is Tokyo."
    assert result.candidate.attempts == 2


def test_a_stream_falls_back_only_before_its_first_piece():
    script = {**SCATTER, "t": ServerError("down", member="t")}
    text, result = collect(cascade(script, on_target_failure="ensemble").stream(QUESTION))
    assert text == "Tokyo"
    assert result.decision.fallback


def test_a_stream_that_breaks_off_raises():
    class Breaking(ScriptedTransport):
        async def stream(self, member, request, *, timeout):
            yield Delta(text="It ")
            raise ServerError("gone", member=member.name)

    c = Cascade(ensemble=["a", "b", "c"], target="t", transport=Breaking(SCATTER), on_target_failure="ensemble")
    pieces = []
    with pytest.raises(CascadeError, match="broke off"):
        pieces.extend(c.stream(QUESTION))
    assert [piece.text for piece in pieces] == ["It "]


def test_leaving_a_stream_cancels_it_upstream():
    never = Never()
    c = Cascade(
        ensemble=["a", "b", "c"], target="never/t", transport=ScriptedTransport(SCATTER), transports={"never": never}
    )
    stream = c.stream(QUESTION)
    assert next(stream).text == "first "
    stream.close()
    assert never.cancelled.wait(5)


async def test_leaving_an_asynchronous_stream_cancels_it_upstream():
    never = Never()
    c = Cascade(
        ensemble=["a", "b", "c"], target="never/t", transport=ScriptedTransport(SCATTER), transports={"never": never}
    )
    stream = c.astream(QUESTION)
    assert (await anext(stream)).text == "first "
    await stream.aclose()
    assert await asyncio.to_thread(never.cancelled.wait, 5)


def test_a_stream_that_is_garbage_on_the_engines_own_loop_holds_nobody_up():
    never = Never()
    c = cascade(SCATTER, target="never/t", transports={"never": never})
    held = SimpleNamespace(stream=c.stream(QUESTION))
    assert next(held.stream).text == "first "
    held.cycle = held  # found by the garbage collector, on whichever thread that runs

    async def collect_garbage():
        started = time.monotonic()
        gc.collect()
        return time.monotonic() - started

    gc.disable()
    try:
        del held
        took = EngineLoop.shared().run(collect_garbage())
    finally:
        gc.enable()
    assert never.cancelled.wait(5)
    assert took < 2.5


def test_a_stream_that_is_left_in_generators_around_it_ends_with_its_loop():
    never, complaints = Never(), []
    c = cascade(SCATTER, target="never/t", transports={"never": never})

    async def around(items):
        async for item in items:
            yield item

    async def leave():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
        async for _ in around(from_here(c.astream(QUESTION))):
            break

    asyncio.run(leave())
    gc.collect()
    assert never.cancelled.wait(5)
    assert complaints == []
    assert c.ledger.summary().calls == 4


def test_a_stream_whose_loop_is_closed_ends_upstream():
    class Talking(ScriptedTransport):
        def __init__(self):
            super().__init__(SCATTER)
            self.go_on, self.ended = threading.Event(), threading.Event()

        async def stream(self, member, request, *, timeout):
            try:
                while True:
                    yield Delta(text="and ")
                    await asyncio.to_thread(self.go_on.wait, 10)
            finally:
                self.ended.set()

    talking, loop = Talking(), asyncio.new_event_loop()
    c = Cascade(ensemble=["a", "b", "c"], target="t", transport=talking)
    stream = c.astream(QUESTION)
    assert loop.run_until_complete(anext(stream)).text == "and "
    loop.close()
    talking.go_on.set()
    assert talking.ended.wait(5)


async def test_both_kinds_of_call_work_inside_a_running_loop():
    c = cascade(AGREE)
    assert (await c.acomplete(QUESTION)).text == "Tokyo"
    assert c.complete(QUESTION).text == "Tokyo"
    items = [item async for item in c.astream(QUESTION)]
    assert items[-1].text == "Tokyo"


def test_many_threads_and_loops_share_one_cascade():
    c = cascade({"*": lambda request: request.messages[-1]["content"]})
    wrong = []

    def synchronous(start):
        wrong.extend(n for n in range(start, start + 20) if c.complete(str(n)).text != str(n))

    def asynchronous(start):
        async def run():
            results = await asyncio.gather(*(c.acomplete(str(n)) for n in range(start, start + 20)))
            wrong.extend(n for n, result in enumerate(results, start) if result.text != str(n))

        asyncio.run(run())

    threads = [
        threading.Thread(target=target, args=(n * 100,)) for n in range(6) for target in (synchronous, asynchronous)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert c.ledger.summary().queries == 240


async def test_cancelling_the_caller_cancels_the_members():
    never = Never()
    c = Cascade(ensemble=["a", "b"], target="t", transport=never)
    task = asyncio.create_task(c.acomplete(QUESTION))
    assert await asyncio.to_thread(never.started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(never.cancelled.wait, 5)


def test_a_synchronous_call_on_the_engines_own_loop_is_refused():
    inner = cascade(AGREE)
    outer = cascade({**SCATTER, "t": lambda request: inner.complete(QUESTION).text})
    with pytest.raises(CascadeError, match="asynchronous method"):
        outer.complete(QUESTION)


async def test_an_asynchronous_call_on_the_engines_own_loop_works():
    inner = cascade(AGREE)

    class Nested(ScriptedTransport):
        async def complete(self, member, request, *, timeout, sample=0):
            if member.name == "t":
                return (await inner.acomplete(QUESTION)).candidate
            return await super().complete(member, request, timeout=timeout)

    outer = Cascade(ensemble=["a", "b", "c"], target="t", transport=Nested(SCATTER))
    assert (await outer.acomplete(QUESTION)).text == "Tokyo"
