"""What the benchmarks of the core share: clocks, answers to compare, one style of table."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from semcascade.messages import Candidate, ToolCall

# Frequent words of English, the frequent ones first.
_FREQUENT = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one
you were all her she there would their we him been has when who will no more if out so up said what its about than into
them can only other time new some could these two may first then do any like my now over such our man even most made
after also well back through years where much way down should because long each just state those people mister how too
little good world make very year still see own work men day get here between both life being under three never know same
last another while us off might great go come since against came right take used himself house during without again
place around however home small found mrs thought went say part once general high upon school every river mountain
water answer question number example government different country development international information
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of many runs."""

    least: float
    median: float


def timing(work: Callable[[], object], runs: int = 100) -> Timing:
    """Run something many times, after one run that does not count."""
    work()
    times = [_once(work) for _ in range(runs)]
    return Timing(min(times), statistics.median(times))


def by_turns(first: Callable[[], object], second: Callable[[], object], runs: int) -> tuple[Timing, Timing]:
    """Run two things by turns, so that what else the machine does falls on both."""
    times = [(_once(first), _once(second)) for _ in range(runs + 1)][1:]
    ours, theirs = zip(*times, strict=True)
    return Timing(min(ours), statistics.median(ours)), Timing(min(theirs), statistics.median(theirs))


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def answers(n: int, words: int, seed: int = 0) -> list[Candidate]:
    """Make answers of English words in their usual proportions, with sentences."""
    rng = random.Random(seed)
    known = _FREQUENT.split()
    weights = [1 / (rank + 3) for rank in range(len(known))]
    made = []
    for index in range(n):
        drawn = rng.choices(known, weights, k=words)
        text = " ".join(word + "." if rng.random() < 0.07 else word for word in drawn)
        made.append(Candidate(f"m{index}", text=f"{text.capitalize()}."))
    return made


def kinds(size: int, n: int, seed: int = 0) -> dict[str, list[Candidate]]:
    """Make n answers of each kind, each of about so many characters."""
    rng = random.Random(seed)
    texts = [one.text[:size] for one in answers(n, size // 4, seed)]
    values = [
        {f"key {i}": {"id": rng.randrange(10**6), "name": texts[0][i : i + 30]} for i in range(size // 60)}
        for _ in range(n)
    ]
    python = (
        "def f{0}(a, b={1}):\n    total = b\n    for i in range(a):\n        total += i * {1}\n    return total\n\n"
    )
    javascript = "function f{0}(a, b) {{ const c = a * {1}; if (c > b) {{ return c; }} return b; }}\n"
    written: dict[str, list[str]] = {
        "text": texts,
        "Chinese": ["".join(chr(rng.randrange(0x4E00, 0x5E00)) for _ in range(size)) for _ in range(n)],
        "solution": [f"{text}\nThe answer is {index}." for index, text in enumerate(texts)],
        "Python": ["".join(python.format(i, rng.randrange(99)) for i in range(size // 110)) for _ in range(n)],
        "other code": [
            "\n".join(["```js", *(javascript.format(i, rng.randrange(99)) for i in range(size // 90)), "```"])
            for _ in range(n)
        ],
        "JSON": [json.dumps(value) for value in values],
    }
    made = {kind: [Candidate(f"m{i}", text=text) for i, text in enumerate(said)] for kind, said in written.items()}
    calls = [ToolCall("save", json.dumps(value)) for value in values]
    made["tool calls"] = [Candidate(f"m{i}", tool_calls=(call,)) for i, call in enumerate(calls)]
    return made


async def least_lag(runs: Iterable[Callable[[], Awaitable[object]]]) -> tuple[float, float]:
    """Return how long runs took, and the longest that the event loop was late meanwhile, in milliseconds.

    Both of the best run: what else the machine does delays some of them, what they do themselves all.
    """
    took, late = zip(*[await lag_during(work) for work in runs], strict=True)
    return min(took), min(late)


async def lag_during(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return how long something took, and the longest that the event loop was late meanwhile, in milliseconds."""
    late: list[float] = []
    running = True

    async def tick() -> None:
        while running:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - start) * 1e3 - 1)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    late.clear()
    start = time.perf_counter()
    await work()
    took = (time.perf_counter() - start) * 1e3
    await asyncio.sleep(0.003)
    running = False
    await ticking
    return took, max(late)
