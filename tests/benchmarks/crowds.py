"""What many queries take: `python -m tests.benchmarks.crowds [--queries N]`.

Goals: memory flat over 100,000 queries; 1000 queries at once without an error, in at most 200 MB above idle. They come
from one event loop, from 1000 threads, and from both, and each way is measured in a process of its own: on a scripted
transport, which answers nobody before all are asked, and by each transport over the loopback, whose service answers as
fast as it can.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from semcascade import Candidate, Cascade
from semcascade.cli.tables import plain_table
from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.messages import Request
from tests.benchmarks.scripted import FIVE, QUESTION, Instant, instant
from tests.benchmarks.transports import service

MANY, WHOLE = 1000, 100_000
WAYS = ("one event loop", "threads", "both")
SCRIPTED, TRANSPORTS = "scripted", ("openai", "litellm")
MB = 2**20


def resident() -> float:
    """Return the megabytes that this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MB


# --- one after the other


def memory(console: Console, queries: int) -> None:
    """Print how much memory many queries leave behind: accepted ones, deferred ones, streams."""
    accepted, deferred = instant(), instant(threshold=1.0)

    async def some(number: int) -> None:
        for index in range(number):
            if index % 10 == 0:
                await deferred.acomplete(QUESTION)
            elif index % 10 == 1:
                _ = [item async for item in deferred.astream(QUESTION)]
            else:
                await accepted.acomplete(QUESTION)

    columns = ("MB", "more")
    table = plain_table("memory", *columns, right=columns)
    first = queries // 10
    EngineLoop.shared().run(some(first))
    before = resident()
    table.add_row(f"after {first:,} queries", f"{before:.1f}", "")
    EngineLoop.shared().run(some(queries - first))
    after = resident()
    table.add_row(f"after {queries:,} queries", f"{after:.1f}", f"{after - before:+.1f} (goal: flat)")
    console.print(table)


# --- all at once


class Gathered(Instant):
    """Answers when so many have asked."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._missing, self._all = number, asyncio.Event()

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        if request.params.get("user") != "alone":
            self._missing -= 1
            if not self._missing:
                self._all.set()
            await self._all.wait()
        return await super().complete(member, request, timeout=timeout, sample=sample)


@contextmanager
def cascade_on(transport: str) -> Iterator[Cascade]:
    """Make the cascade that a crowd asks."""
    if transport == SCRIPTED:
        yield instant(Gathered(MANY * len(FIVE)), early_exit="off")
        return
    with service() as base:
        settings: dict[str, Any] = {"transport": transport, "api_base": base, "api_key": "none"}
        members = [{"model": f"openai/{name}", **settings} for name in ("a", "b", "c", "t")]
        with Cascade(ensemble=members[:3], target=members[3], max_retries=0, early_exit="off") as cascade:
            yield cascade


def ask(cascade: Cascade, way: str) -> list[object]:
    """Ask all queries at once; return what came of each: a result or an error."""
    found: list[object] = []
    begin = threading.Event()
    from_threads = {"one event loop": 0, "threads": MANY, "both": MANY // 2}[way]

    def one() -> None:
        begin.wait()
        try:
            found.append(cascade.complete(QUESTION))
        except Exception as error:  # noqa: BLE001 - errors are what is counted
            found.append(error)

    async def others() -> list[object]:
        asked = (cascade.acomplete(QUESTION) for _ in range(MANY - from_threads))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    threads = [threading.Thread(target=one) for _ in range(from_threads)]
    for thread in threads:
        thread.start()
    begin.set()
    rest = asyncio.run(others())
    for thread in threads:
        thread.join()
    return [*found, *rest]


@contextmanager
def watched() -> Iterator[list[float]]:
    """Yield the most memory that was held meanwhile."""
    most, over = [resident()], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], resident())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        over.set()
        watching.join()


def crowd(transport: str, way: str) -> None:
    """Measure one crowd; print what came of it as JSON."""
    with cascade_on(transport) as cascade:
        cascade.complete(QUESTION, user="alone")
        idle, start = resident(), time.perf_counter()
        with watched() as most:
            found = ask(cascade, way)
        seconds = time.perf_counter() - start
    errors = [repr(one) for one in found if isinstance(one, BaseException)]
    print(json.dumps({"seconds": seconds, "more": most[0] - idle, "answers": len(found), "errors": errors}))


def crowds(console: Console) -> None:
    """Print what a thousand queries at once take, however they come."""
    columns = ("answered", "errors", "s", "MB above idle (goal 200)")
    table = plain_table(f"{MANY:,} queries at once", *columns, right=columns)
    for transport in (SCRIPTED, *TRANSPORTS):
        for way in WAYS:
            command = [sys.executable, "-m", "tests.benchmarks.crowds", transport, way]
            printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found = json.loads(printed.splitlines()[-1])
            errors = len(found["errors"])
            table.add_row(
                f"{transport}, from {way}",
                f"{found['answers'] - errors}",
                f"{errors}",
                f"{found['seconds']:.1f}",
                f"{found['more']:+.1f}",
            )
            for error in sorted(set(found["errors"]))[:3]:
                console.print(f"{transport}, from {way}: {error[:200]}")
    console.print(table)


def main(arguments: Sequence[str]) -> None:
    """Print all of it, or measure one crowd."""
    if arguments and arguments[0] in (SCRIPTED, *TRANSPORTS):
        crowd(arguments[0], arguments[1])
        return
    console = Console(width=120)
    memory(console, int(arguments[1]) if arguments[:1] == ["--queries"] else WHOLE)
    crowds(console)


if __name__ == "__main__":
    main(sys.argv[1:])
