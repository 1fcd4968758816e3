"""What the engine adds to a query, and what it saves: `python -m tests.benchmarks.engine [--queries N]`.

Goals: a decision on 5 answers of no latency in 0.5 ms, 0.2 ms without scoring; three members by LiteLLM over the
loopback in at most 1.10 times a bare `asyncio.gather` of three `litellm.acompletion`; and what
`tests.benchmarks.crowds` says of many queries, which is run at the end. Early exit and speculation are measured on the
latencies of a recorded set, `../shared/data/tool_bfcl.jsonl`: each answer comes through the real engine after its own
recorded time, on a clock that leaps to whatever comes next, so that only the members' time counts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console

from semcascade import Candidate, Cascade
from semcascade._litellm import litellm
from semcascade.cli.tables import plain_table
from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.engine.scoring import Scored, TierScorer
from semcascade.evaluation import Row, read_rows
from semcascade.messages import Request, Usage
from semcascade.transport.base import Delta, Transport
from tests.benchmarks import crowds
from tests.benchmarks.scripted import FIVE, QUESTION, instant
from tests.benchmarks.timing import by_turns
from tests.benchmarks.transports import service

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "tool_bfcl.jsonl"
CHEAP = ("gpt-3.5-turbo-0125", "claude-3-haiku-20240307", "open-mistral-nemo-2407")
MORE = (*CHEAP, "claude-instant-1.2", "command-r-plus")
TARGET = "claude-3-5-sonnet-20240620"
AT_ONCE, TIMES = 20, 25
OWN = "without scoring"

Columns: TypeAlias = dict[str, list[float]]


# --- what a decision takes


class TimedScorer:
    """Scores within queries, and notes what that takes a query, by the clock and of the processor, in milliseconds."""

    def __init__(self, scorer: TierScorer) -> None:
        self._score, self.clock, self.processor = scorer.score, list[float](), list[float]()
        scorer.score = self  # type: ignore[method-assign, assignment]

    def begin(self) -> None:
        """Begin a turn of so many queries."""
        self.clock.append(0.0)
        self.processor.append(0.0)

    async def __call__(self, *arguments: Any) -> Scored:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return await self._score(*arguments)
        finally:
            self.processor[-1] += (time.process_time() - cpu) / TIMES * 1e3
            self.clock[-1] += (time.perf_counter() - wall) / TIMES * 1e3


def overhead(console: Console) -> None:
    """Print what one query takes, by the clock and of the processor; what is not scoring is the engine's own."""
    cascade, watched, loop = instant(), instant(), EngineLoop.shared()
    timed = TimedScorer(watched._plan.scorers[0])

    async def queries(asked: Cascade = cascade, **options: Any) -> None:
        for _ in range(TIMES):
            await asked.acomplete(QUESTION, **options)

    async def at_once() -> None:
        for _ in range(TIMES):
            await asyncio.wait([asyncio.create_task(_in_time()) for _ in FIVE])

    def synchronous() -> None:
        for _ in range(TIMES):
            cascade.complete(QUESTION)

    def scored() -> None:
        timed.begin()
        loop.run(queries(watched))

    with asyncio.Runner() as other:
        works: dict[str, Callable[[], object]] = {
            "5 answers, ROUGE-L": lambda: loop.run(queries()),
            OWN: scored,
            "one member, asked by name": lambda: loop.run(queries(member="m0")),
            "5 answers, from another event loop": lambda: other.run(queries()),
            "5 answers, synchronously": synchronous,
            "5 tasks with a time limit each, by asyncio alone": lambda: loop.run(at_once()),
        }
        clock, processor = _by_turns(works)
    for column, scoring in ((clock, timed.clock), (processor, timed.processor)):
        column[OWN] = [whole - part for whole, part in zip(column[OWN], scoring, strict=True)]
    columns = ("median ms", "of the processor", "goal ms")
    table = plain_table("one query, answers of no latency", *columns, right=columns)
    for name, goal in zip(works, ("0.5", "0.2", *["–"] * len(works)), strict=False):
        table.add_row(name, f"{statistics.median(clock[name]):.3f}", f"{statistics.median(processor[name]):.3f}", goal)
    console.print(table)


async def _in_time() -> None:
    async with asyncio.timeout(60):
        await _nothing()


async def _nothing() -> None:
    pass


def _by_turns(works: Mapping[str, Callable[[], object]]) -> tuple[Columns, Columns]:
    """Return the milliseconds of each work, by the clock and of the processor, turn by turn.

    By turns, so that what else the machine does falls on all.
    """
    clock: Columns = {name: [] for name in works}
    processor: Columns = {name: [] for name in works}
    for _ in range(40):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            processor[name].append((time.process_time() - cpu) / TIMES * 1e3)
            clock[name].append((time.perf_counter() - wall) / TIMES * 1e3)
    return clock, processor


# --- three members over the loopback


def loopback(console: Console) -> None:
    """Print how long a query of three members takes, as a share of three bare calls at once."""
    with service() as base:
        settings: dict[str, Any] = {"api_base": base, "api_key": "none"}
        members = [{"model": "openai/a", "name": name, **settings} for name in "xyz"]
        cascade = Cascade(
            ensemble=members, target={"model": "openai/t", **settings}, similarity="exact", early_exit="off"
        )
        body = {"model": "openai/a", "messages": [{"role": "user", "content": QUESTION}], "timeout": 60.0}
        body |= {**settings, "max_retries": 0}

        async def bare() -> object:
            client = litellm()
            return await asyncio.gather(*(client.acompletion(**body) for _ in range(3)))

        def ours() -> object:
            return cascade.complete(QUESTION)

        def theirs() -> object:
            return EngineLoop.shared().run(bare())

        for work in (ours, theirs):
            for _ in range(10):
                work()
        mine, bare_calls = by_turns(ours, theirs, 150)
        cascade.close()
    columns = ("median ms", "of the bare calls")
    table = plain_table("three members by LiteLLM, over the loopback", *columns, right=columns)
    table.add_row("three bare calls at once", f"{bare_calls.median:.1f}", "")
    ratio = mine.median / bare_calls.median
    table.add_row("a query, compared and decided", f"{mine.median:.1f}", f"{ratio:.3f} (goal 1.10)")
    console.print(table)


# --- early exit and speculation, on recorded latencies


class Timed(Transport):
    """Gives each recorded answer after the time it took."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {row.id: row for row in rows}

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        answer = self._rows[request.params["recorded_id"]].answers[member.name]
        await asyncio.sleep(answer.latency_s)
        return dataclasses.replace(answer, cost=1.0 if member.name == TARGET else 0.05)

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        raise NotImplementedError
        yield

    def price(self, member: Member, usage: Usage) -> float:
        return 1.0 if member.name == TARGET else 0.05


@contextmanager
def leaping_clock() -> Iterator[None]:
    """Let the engine's loop leap to the next thing that is due instead of waiting; threads are run inline."""
    loop = EngineLoop.shared()._loop
    now, select, time_of, to_thread = [loop.time()], loop._selector.select, loop.time, asyncio.to_thread  # type: ignore[attr-defined]

    def leap(timeout: float | None) -> object:
        if timeout:
            now[0] += timeout
        return select(0 if timeout is not None else None)

    async def inline(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    loop._selector.select, loop.time, asyncio.to_thread = leap, lambda: now[0], inline  # type: ignore
    try:
        yield
    finally:
        loop._selector.select, loop.time, asyncio.to_thread = select, time_of, to_thread  # type: ignore


@dataclasses.dataclass
class Outcome:
    """What came of all rows."""

    seconds: list[float]
    accepted: list[bool]
    answers: list[str]
    costs: list[float]


def run(rows: Sequence[Row], ensemble: Sequence[str], **given: Any) -> Outcome:
    """Ask every row's question, a few at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(cascade: Cascade, row: Row) -> tuple[float, bool, str, float]:
        clock = asyncio.get_running_loop().time
        async with gate:
            start = clock()
            result = await cascade.acomplete(list(row.messages), tools=row.tools, recorded_id=row.id)
        decision, took = result.decision, clock() - start
        return took, decision.accepted, decision.member, decision.cost or 0.0

    async def all_rows() -> list[tuple[float, bool, str, float]]:
        async with Cascade(
            ensemble=list(ensemble), target=TARGET, transport=Timed(rows), max_retries=0, **given
        ) as cascade:
            return await asyncio.gather(*(one(cascade, row) for row in rows))

    seconds, accepted, answers, costs = zip(*EngineLoop.shared().run(all_rows()), strict=True)
    return Outcome(list(seconds), list(accepted), list(answers), list(costs))


def haste(console: Console) -> None:
    """Print how long queries take when the rest is not waited for, or the target is asked early."""
    if not DATA.is_file():
        console.print(f"{DATA} is not there: early exit and speculation are not measured")
        return
    rows = list(read_rows(DATA))
    with leaping_clock():
        _haste(console, rows)


def _haste(console: Console, rows: Sequence[Row]) -> None:
    alone = [row.answers[TARGET].latency_s for row in rows]
    for ensemble, settings in ((CHEAP, {}), (CHEAP, {"similarity": "exact"}), (MORE, {})):
        columns = ("mean s", "p95 s", "deferred", "cost", "as waiting for all")
        shown = ", ".join(f"{key} {value}" for key, value in settings.items())
        table = plain_table(
            f"tool calls, {len(ensemble)} members{', ' if shown else ''}{shown}", *columns, right=columns
        )
        table.add_row("always the target", f"{statistics.mean(alone):.2f}", f"{_p95(alone):.2f}", "100%", "1.00", "")
        waited: Outcome | None = None
        for name, given in (
            ("wait for all", {"early_exit": "off"}),
            ("early exit", {}),
            ("early exit, verdict alone", {"early_exit": "verdict"}),
            ("early exit, target likely", {"speculate": "likely"}),
            ("early exit, target after 1 s", {"speculate": 1.0}),
            ("early exit, target always", {"speculate": "always"}),
        ):
            found = run(rows, ensemble, **settings, **given)
            waited = waited or found
            same = sum(map(_same, zip(found.accepted, waited.accepted, strict=True)))
            answers = sum(map(_same, zip(found.answers, waited.answers, strict=True)))
            deferred = 1 - statistics.mean(found.accepted)
            table.add_row(
                name,
                f"{statistics.mean(found.seconds):.2f}",
                f"{_p95(found.seconds):.2f}",
                f"{deferred:.0%}",
                f"{statistics.mean(found.costs):.2f}",
                f"{same / len(rows):.1%} verdicts, {answers / len(rows):.1%} answers",
            )
        console.print(table)


def _same(pair: tuple[object, object]) -> bool:
    return pair[0] == pair[1]


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]


def main(arguments: Sequence[str]) -> None:
    """Print all of it."""
    console = Console(width=120)
    overhead(console)
    loopback(console)
    haste(console)
    crowds.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
