"""A thousand queries at once: from threads, from event loops, from both; each gets its own answer."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from semcascade import Cascade, Result, ScriptedTransport
from semcascade.errors import BudgetExceededError
from tests.support.openai_server import OpenAIServer

MANY = 1000


def echo(request):
    return request.messages[-1]["content"]


def scripted(**settings):
    script = ScriptedTransport({"a": echo, "b": echo, "c": "other", "t": "target"}, latency_s=0.001)
    settings = {"similarity": "exact", "threshold": 0.3, **settings}
    return Cascade(ensemble=["a", "b", "c"], target="t", transport=script, **settings)


async def ask(cascade, numbers, *, stream=False):
    async def one(number):
        if not stream:
            return (await cascade.acomplete(f"q{number}")).text
        return [item async for item in cascade.astream(f"q{number}")][-1].text

    return await asyncio.gather(*map(one, numbers))


def stream(cascade, number):
    *_, result = cascade.stream(f"q{number}")
    assert isinstance(result, Result)
    return result.text


def expect(numbers):
    return [f"q{number}" for number in numbers]


def check(cascade, number=MANY):
    summary = cascade.ledger.summary()
    assert (summary.queries, summary.accepted, summary.failed) == (number, number, 0)


def test_from_threads():
    cascade = scripted()
    with ThreadPoolExecutor(MANY) as pool:
        said = list(pool.map(lambda number: cascade.complete(f"q{number}").text, range(MANY)))
    assert said == expect(range(MANY))
    check(cascade)


def test_from_one_event_loop():
    cascade = scripted()
    assert asyncio.run(ask(cascade, range(MANY))) == expect(range(MANY))
    check(cascade)


def test_from_threads_and_event_loops_whole_and_streamed():
    cascade, said = scripted(), {}
    parts = [range(start, start + MANY // 5) for start in range(0, MANY, MANY // 5)]
    ways = [
        lambda numbers: asyncio.run(ask(cascade, numbers)),
        lambda numbers: asyncio.run(ask(cascade, numbers, stream=True)),
        lambda numbers: [cascade.complete(f"q{number}").text for number in numbers],
        lambda numbers: [stream(cascade, number) for number in numbers],
        lambda numbers: asyncio.run(ask(cascade, numbers)),
    ]
    threads = [
        threading.Thread(target=lambda way=way, part=part: said.update({part: way(part)}))
        for way, part in zip(ways, parts, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {part: expect(part) for part in parts}
    check(cascade)


@pytest.mark.parametrize(("transport", "number"), [("openai", MANY // 2), ("litellm", 60)])
def test_over_the_wire_the_service_sees_every_request_once(transport, number):
    with OpenAIServer({}, default=lambda body: body["messages"][-1]["content"]) as server:
        members = [server.member(name, transport=transport) for name in "abt"]
        with Cascade(ensemble=members[:2], target=members[2], similarity="exact", early_exit="off") as cascade:
            with ThreadPoolExecutor(number) as pool:
                some = pool.map(lambda n: cascade.complete(f"q{n}").text, range(number))
                others = asyncio.run(ask(cascade, range(number, 2 * number)))
                assert [*some, *others] == expect(range(2 * number))
            check(cascade, 2 * number)
            asked = sorted(request.body["messages"][-1]["content"] for request in server.asked())
            assert asked == sorted(expect(range(2 * number)) * 2)


async def test_two_cascades_of_different_settings_do_not_touch_each_other():
    strict = scripted(threshold=0.9, breaker=False, sticky=True)
    capped = scripted(budget={"period": {"seconds": 3600, "calls": 30}})
    said = await asyncio.gather(ask(strict, range(50)), _refusals(capped, range(50)))
    assert said[0] == ["target"] * 50
    assert said[1].count(None) == 50 - 10
    assert strict.ledger.summary().deferred == 50
    assert (capped.ledger.summary().accepted, capped.ledger.summary().failed) == (10, 40)


async def _refusals(cascade, numbers):
    async def one(number):
        try:
            return (await cascade.acomplete(f"q{number}")).text
        except BudgetExceededError:
            return None

    return await asyncio.gather(*map(one, numbers))
