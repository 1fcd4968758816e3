"""Asking a running model: answers, streams, limits and failures, with a real runtime and a model of 70 kB."""

import asyncio
import json
import os
import signal
import time

import aiohttp
import pytest

from semcascade import Cascade
from semcascade.config import Member
from semcascade.errors import (
    BadRequestError,
    ConnectionFailedError,
    ContextOverflowError,
    LocalModelError,
    MemberError,
    MemberTimeoutError,
    MissingDependencyError,
    ModelNotFoundError,
)
from semcascade.messages import Request, Usage, as_conversation
from semcascade.transport.base import assemble
from semcascade.transport.local import LocalTransport, fetch, runtime
from semcascade.transport.local import transport as local_transport
from tests.support.tiny_gguf import write_tiny_gguf

pytest.importorskip("xllamacpp")

ASKED = Request(as_conversation("hello"))


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf")


@pytest.fixture
def member(gguf):
    return Member(model=f"local/{gguf}", name="tiny", temperature=0, max_tokens=20)


@pytest.fixture
async def transport():
    made = LocalTransport(context=1024, slots=2)
    yield made
    await made.aclose()


async def busy(transport, member):
    """Say whether the model works on anything."""
    server = await transport._server(member)
    headers = {"Authorization": f"Bearer {server.key}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{server.address}/slots") as reply:
        return any(slot["is_processing"] for slot in await reply.json())


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition lies in another process
            await asyncio.sleep(0.02)


async def test_an_answer(transport, member):
    answer = await transport.complete(member, ASKED, timeout=20)
    assert (answer.member, answer.model, answer.finish_reason) == ("tiny", "tiny", "length")
    assert set(answer.text) <= set("abcdefghijklmnopqrstuvwxyz ")
    assert answer.text == answer.text.lstrip()
    assert answer.usage.output_tokens == 20
    assert answer.cost == 0.0
    assert 0 < answer.latency_s < 20
    assert answer.logprobs is None


async def test_a_stream_holds_the_same_answer(transport, member):
    asked = Request(ASKED.messages, params={"logprobs": True, "cache_prompt": False})
    whole = await transport.complete(member, asked, timeout=20)
    pieces = [piece async for piece in transport.stream(member, asked, timeout=20)]
    assert len(pieces) > 5
    assert all(piece.text or piece.logprobs or piece.finish_reason or piece.usage for piece in pieces)
    streamed = assemble(member, pieces)
    assert (streamed.text, streamed.finish_reason, streamed.cost) == (whole.text, "length", 0.0)
    assert streamed.usage.output_tokens == 20
    assert whole.logprobs == pytest.approx(streamed.logprobs, abs=1e-4)
    assert len(whole.logprobs) == 20
    assert max(whole.logprobs) <= 0


async def test_a_price_of_ones_own(transport, gguf):
    member = Member(model=f"local/{gguf}", max_tokens=5, input_cost_per_token=1e-3, output_cost_per_token=1)
    answer = await transport.complete(member, ASKED, timeout=20)
    assert answer.cost == pytest.approx(answer.usage.input_tokens * 1e-3 + 5)
    assert transport.price(member, Usage(1, 1)) == pytest.approx(1.001)


async def test_structured_output(transport, member):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    asked = Request(ASKED.messages, response_format=wanted, params={"max_tokens": 400})
    answer = await transport.complete(member, asked, timeout=20)
    assert isinstance(json.loads(answer.text)["ok"], bool)


async def test_members_are_asked_at_once_and_share_one_process(transport, member):
    other = member.model_copy(update={"name": "other"})
    answers = await asyncio.gather(*(transport.complete(who, ASKED, timeout=20) for who in (member, other, member)))
    assert [answer.member for answer in answers] == ["tiny", "other", "tiny"]
    first, second = await asyncio.gather(transport._server(member), transport._server(other))
    assert first is second


async def test_cancelling_ends_the_generation(transport, member):
    await transport.prepare(member)
    endless = Request(ASKED.messages, params={"max_tokens": 900, "ignore_eos": True})
    task = asyncio.create_task(transport.complete(member, endless, timeout=60))
    await until(lambda: busy(transport, member))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: idle(transport, member), 2.0)


async def idle(transport, member):
    return not await busy(transport, member)


async def test_closing_a_stream_ends_the_generation(transport, member):
    endless = Request(ASKED.messages, params={"max_tokens": 900, "ignore_eos": True})
    stream = transport.stream(member, endless, timeout=60)
    async for _ in stream:
        break
    assert await busy(transport, member)
    await stream.aclose()
    await until(lambda: idle(transport, member), 2.0)


async def test_the_timeout_is_kept_and_ends_the_generation(transport, member):
    await transport.prepare(member)
    endless = Request(ASKED.messages, params={"max_tokens": 900, "ignore_eos": True})
    started = time.monotonic()
    with pytest.raises(MemberTimeoutError, match=r"tiny: no answer within 0\.02 s"):
        await transport.complete(member, endless, timeout=0.02)
    assert time.monotonic() - started < 2
    await until(lambda: idle(transport, member), 2.0)


async def test_a_stream_that_stands_still(transport, member):
    server = await transport._server(member)
    stream = transport.stream(member, Request(ASKED.messages, params={"max_tokens": 900}), timeout=0.4)
    await anext(stream)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(MemberTimeoutError):
            async for _ in stream:
                pass
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_model_that_dies_is_started_anew(transport, member):
    server = await transport._server(member)
    stream = transport.stream(member, Request(ASKED.messages, params={"max_tokens": 900}), timeout=20)
    await anext(stream)
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ConnectionFailedError, match="started anew") as caught:
        async for _ in stream:
            pass
    assert caught.value.retryable
    while server.alive:  # noqa: ASYNC110 - its threads end one by one
        await asyncio.sleep(0.01)
    assert (await transport.complete(member, ASKED, timeout=20)).ok
    assert (await transport._server(member)).pid != server.pid


async def test_a_conversation_that_does_not_fit(transport, member):
    with pytest.raises(ContextOverflowError, match="does not fit"):
        await transport.complete(member, Request(as_conversation("word " * 2000)), timeout=20)
    assert transport.context_window(member) == 1024


async def test_a_parameter_of_the_wrong_kind(transport, member):
    with pytest.raises(BadRequestError, match="temperature"):
        await transport.complete(member, Request(ASKED.messages, params={"temperature": "hot"}), timeout=20)


async def test_tools(transport, member):
    assert not any(transport.abilities(member).values())
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with pytest.raises(BadRequestError, match="no tool calls"):
        await transport.complete(member, Request(ASKED.messages, tools=(tool,)), timeout=20)


async def test_what_is_sure_to_fail_is_refused_at_once(transport, tmp_path, monkeypatch):
    with pytest.raises(ModelNotFoundError, match="known are smollm2"):
        transport.check(Member(model="local/gpt"))
    with pytest.raises(ModelNotFoundError, match="no file"):
        transport.check(Member(model=f"local/{tmp_path}/none.gguf"))
    transport.check(Member(model="local/smollm2"))
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"semcascade\[local\]"):
        transport.check(Member(model="local/smollm2"))


async def test_weights_that_do_not_run_are_the_members_failure(transport, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(MemberError, match="bad: the runtime could not load"):
        await transport.complete(Member(model=f"local/{tmp_path}/bad.gguf", name="bad"), ASKED, timeout=20)


async def test_the_loop_is_free_while_a_model_starts(transport, member):
    longest, last, done = 0.0, time.monotonic(), False

    async def tick():
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    await transport.prepare(member)
    took = time.monotonic() - started
    done = True
    await ticking
    assert longest < max(0.1, took / 2)


async def test_a_fixed_port_in_use(gguf):
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = LocalTransport(port=port)
    try:
        with pytest.raises(MemberError, match=f"port {port} on 127.0.0.1 is in use"):
            await transport.prepare(Member(model=f"local/{gguf}"))
    finally:
        listening.close()
        await listening.wait_closed()
        await transport.aclose()


def test_a_whole_cascade_of_local_models(gguf, tmp_path):
    other = write_tiny_gguf(tmp_path / "other.gguf", seed=2)
    ensemble = [{"model": f"local/{gguf}", "name": name, "stop": ["x"], "temperature": 0} for name in "ab"]
    target = {"model": f"local/{other}", "name": "target", "max_tokens": 5, "temperature": 0}
    with Cascade(ensemble=ensemble, target=target, threshold=1.0) as cascade:
        result = cascade.complete("hello")
    assert result.decision.tier == "ensemble"
    assert result.decision.cost == 0.0
    broken = [*ensemble[:1], {"model": f"local/{tmp_path}/none.gguf", "name": "b"}]
    with Cascade(ensemble=broken, target=target) as cascade:
        result = cascade.complete("hello")
    assert result.decision.tier == "target"
    failures = [candidate.failure for candidate in result.decision.tiers[0].candidates if candidate.failure]
    assert "no file" in str(failures[0])


async def test_members_that_share_weights_share_a_fetch_that_failed(cache, monkeypatch):
    asked = []

    def no_network(model, **_):
        asked.append(model.name)
        raise LocalModelError("no network")

    monkeypatch.setattr(fetch, "ensure", no_network)
    transport = LocalTransport()
    members = [Member(model="local/smollm2", name=name) for name in "abc"]
    failures = await asyncio.gather(*(transport.prepare(member) for member in members), return_exceptions=True)
    assert [str(failure) for failure in failures] == ["a: no network", "b: no network", "c: no network"]
    assert asked == ["smollm2"]
    monkeypatch.setattr(local_transport, "_FAILED_FOR_S", 0.0)
    with pytest.raises(MemberError):
        await transport.prepare(members[0])
    assert len(asked) == 2
