"""What transports cost a call: `python -m tests.benchmarks.transports`.

Goals: the lean transport answers at least 5 times as many queries a second as LiteLLM, 32 at a time, and takes at most
1.5 times as long as its bare client. All ask one service on the loopback, in a process of its own, that does next to
nothing; they take turns, so that what else the machine does falls on all, and ratios are taken turn by turn.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from rich.console import Console

from semcascade._litellm import litellm
from semcascade.cli.tables import plain_table
from semcascade.config import Member
from semcascade.messages import Request
from semcascade.transport.litellm import LiteLLMTransport
from semcascade.transport.openai import OpenAITransport

AT_ONCE, TURNS, SECONDS = 32, 7, 0.4
REQUEST = Request(({"role": "user", "content": "What is the capital of Japan?"},))
BODY = {"model": "a", "messages": list(REQUEST.messages)}
WORDS = 100

Call = Callable[[], Awaitable[object]]


@dataclass
class Cost:
    """Seconds a call, by the clock and of this process, turn by turn."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


# --- the service


def serve() -> None:
    """Answer every request with the same bytes, as fast as Python can."""
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    head = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "a"}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Tokyo"}}
    whole = json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    chunks = [{"delta": {"content": "word "}, "finish_reason": None}] * WORDS + [{"delta": {}, "finish_reason": "stop"}]
    events = [{**head, "choices": [{"index": 0, **one}]} for one in chunks] + [{**head, "choices": [], "usage": usage}]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    replies = {
        kind: b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body
        for kind, body in ((b"application/json", whole), (b"text/event-stream", stream.encode()))
    }

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                sent = (await reader.readuntil(b"\r\n\r\n")).lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            body = await reader.readexactly(int(sent.split(b"content-length:")[1].split(b"\r\n")[0]))
            streamed = b'"stream":true' in body.replace(b" ", b"")
            writer.write(replies[b"text/event-stream" if streamed else b"application/json"])

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


# --- who asks


@asynccontextmanager
async def bare_aiohttp(base: str, *, stream: bool) -> AsyncIterator[Call]:
    """The least that a call can be: the body sent, the reply read and parsed."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer none"}) as session:

        async def call() -> object:
            async with session.post(f"{base}/chat/completions", json={**BODY, "stream": stream}) as response:
                if not stream:
                    return json.loads(await response.read())
                lines = [line async for line in response.content]
                return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]

        yield call


@asynccontextmanager
async def bare_httpx(base: str, *, stream: bool) -> AsyncIterator[Call]:
    """The same by httpx."""
    import httpx

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, headers={"Authorization": "Bearer none"}) as client:

        async def call() -> object:
            if not stream:
                return (await client.post(f"{base}/chat/completions", json=BODY)).json()
            async with client.stream("POST", f"{base}/chat/completions", json={**BODY, "stream": True}) as response:
                return [json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: {")]

        yield call


@asynccontextmanager
async def openai_client(base: str, *, stream: bool) -> AsyncIterator[Call]:
    """The same by the openai client."""
    import openai

    async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:

        async def call() -> object:
            found = await client.chat.completions.create(**BODY, stream=stream)
            return [chunk async for chunk in found] if stream else found

        yield call


@asynccontextmanager
async def ours(kind: type[OpenAITransport | LiteLLMTransport], base: str, *, stream: bool) -> AsyncIterator[Call]:
    """Ask through one of the library's transports."""
    transport, member = kind(), Member.model_validate({"model": "openai/a", "api_base": base, "api_key": "none"})
    await transport.prepare(member)

    async def call() -> object:
        if stream:
            return [delta async for delta in transport.stream(member, REQUEST, timeout=60)]
        return await transport.complete(member, REQUEST, timeout=60)

    yield call
    await transport.aclose()


@asynccontextmanager
async def lean(base: str, *, stream: bool) -> AsyncIterator[Call]:
    async with ours(OpenAITransport, base, stream=stream) as call:
        yield call


@asynccontextmanager
async def by_litellm(base: str, *, stream: bool) -> AsyncIterator[Call]:
    async with ours(LiteLLMTransport, base, stream=stream) as call:
        yield call


ASKERS = {
    "aiohttp, bare": bare_aiohttp,
    "openai (lean)": lean,
    "httpx, bare": bare_httpx,
    "openai client": openai_client,
    "litellm": by_litellm,
}


# --- the measurement


async def once(call: Call, seconds: float) -> tuple[float, float]:
    """Ask 32 at a time for so long; return the seconds a call, by the clock and of this process."""
    done, clock, cpu = 0, time.perf_counter(), time.process_time()

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() - clock < seconds:
            await call()
            done += 1

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return (time.perf_counter() - clock) / done, (time.process_time() - cpu) / done


async def measured(base: str, *, stream: bool) -> dict[str, Cost]:
    costs = {name: Cost() for name in ASKERS}
    async with AsyncExitStack() as stack:
        calls = {name: await stack.enter_async_context(asker(base, stream=stream)) for name, asker in ASKERS.items()}
        for call in calls.values():
            await once(call, 0.1)
        for _ in range(TURNS):
            for name, call in calls.items():
                clock, cpu = await once(call, SECONDS)
                costs[name].clock.append(clock)
                costs[name].cpu.append(cpu)
    return costs


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@contextmanager
def service() -> Iterator[str]:
    """Serve in a process of its own; yield its address."""
    command = [sys.executable, "-c", "from tests.benchmarks.transports import serve; serve()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def main() -> None:
    """Print the tables."""
    console = Console(width=120)
    litellm()
    with service() as base:
        for stream in (False, True):
            costs = asyncio.run(measured(base, stream=stream))
            title = f"streams of {WORDS} words" if stream else "whole answers"
            numbers = ("queries/s", "CPU a call", "of bare aiohttp", "of LiteLLM")
            table = plain_table(f"{title}, {AT_ONCE} at a time", *numbers, right=numbers)
            for name, cost in costs.items():
                table.add_row(
                    name,
                    f"{1 / statistics.median(cost.clock):.0f}",
                    f"{statistics.median(cost.cpu) * 1e3:.2f} ms",
                    f"{ratio(cost.clock, costs['aiohttp, bare'].clock):.2f} × the time",
                    f"{ratio(costs['litellm'].clock, cost.clock):.1f} × the queries",
                )
            console.print(table)
            console.print()


if __name__ == "__main__":
    main()
