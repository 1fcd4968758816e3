"""Recording: every member is asked every prompt once, and all that came of it stands in a run."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from semcascade.config import CascadeConfig, Member
from semcascade.decision import money, total_cost
from semcascade.engine.attempts import Deadline, Patience
from semcascade.engine.guard import Guards
from semcascade.engine.loop import EngineLoop
from semcascade.engine.samples import Slot, ask_samples
from semcascade.engine.transports import Transports
from semcascade.errors import ConfigError
from semcascade.evaluation.journal import Journal
from semcascade.evaluation.prompts import Prompts, prompt_to
from semcascade.evaluation.rows import Row
from semcascade.evaluation.spending import Spending
from semcascade.messages import Candidate, Request
from semcascade.run_form import Header
from semcascade.transport.base import Transport

__all__ = ["Recording", "arecord", "record"]

Known: TypeAlias = Mapping[tuple[str, int], Candidate]

Missing: TypeAlias = Sequence[tuple[Member, Sequence[int]]]

_ENDING_S = 5.0


@dataclass(frozen=True, slots=True)
class Recording:
    """How far a recording is, or how it ended.

    Attributes:
        path: The run.
        prompts: How many prompts there are.
        done: Prompts that every member has been asked.
        asked: Answers and failures that came in this time.
        reused: Answers and failures that were there before.
        failures: How many failures the run holds, by member.
        cost: US dollars that the whole run is known to have cost, earlier recordings included.
        unpriced: Answers whose cost is not known.
        out_of_money: Whether prompts were left out for `max_cost`.
    """

    path: Path
    prompts: int = 0
    done: int = 0
    asked: int = 0
    reused: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0
    unpriced: int = 0
    out_of_money: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {**dataclasses.asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        spent = money(self.cost) + (f" and {self.unpriced} answers of unknown cost" if self.unpriced else "")
        text = f"{self.done} of {self.prompts} prompts, {self.asked} answers asked for, {self.reused} reused, {spent}"
        failed = ", ".join(f"{name} {count}" for name, count in self.failures.items())
        return f"{text}; failures: {failed}" if failed else text


def record(
    prompts: str | Path | Iterable[Any],
    config: CascadeConfig | Mapping[str, Any],
    out: str | Path,
    *,
    concurrency: int = 8,
    max_cost: float | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    transport: Transport | None = None,
    transports: Mapping[str, Transport] | None = None,
    progress: Callable[[Recording], None] | None = None,
) -> Recording:
    """Ask every member of a cascade every prompt once, and keep all answers in a run.

    A recording that was stopped or killed is gone on with by the same call: what is in the run, or in the journal
    beside it, is not asked for again. A member that was added since is asked what the others were asked. Failures are
    kept as failures.

    Args:
        prompts: A JSONL, CSV or Parquet file (see `semcascade.evaluation.prompts`), or texts, conversations, mappings.
        config: The cascade whose members are asked.
        out: The run; see `semcascade.run_form`.
        concurrency: Prompts under way at once; each asks all its members at once.
        max_cost: US dollars for the whole run; no prompt is begun that may pass it. See `Spending`.
        limit: Only the first so many prompts.
        retry_failed: Whether to ask again where the run holds a failure; what that had cost stays counted.
        transport: Serves every member that names no transport.
        transports: Further transports, by the names that members call them.
        progress: Is told how far it is after each answer, on another thread.

    Raises:
        ConfigError: If a setting is wrong, or a price is unknown and `max_cost` given.
        InputError: If a prompt is wrong, or the run cannot be written, or holds other prompts or members by the same
            names. All prompts are looked at before the first is paid for.
        MemberError: If a member is sure to fail (no key, unknown model), before anything is spent.

    >>> import tempfile
    >>> from semcascade import ScriptedTransport
    >>> script = ScriptedTransport({"a": "4", "b": "4", "big": "four"})
    >>> team = {"ensemble": ["a", "b"], "target": "big"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = record(["2 + 2?", "1 + 3?"], team, f"{folder}/run.jsonl", transport=script)
    >>> found.done, found.asked
    (2, 6)
    """
    options = _Options(concurrency, max_cost, limit, retry_failed, progress)
    loop = EngineLoop.shared()
    with _opened(prompts, config, out, options, Transports(transport, transports)) as work:
        try:
            loop.run(work.ask())
        finally:
            work.keep()
            loop.run(work.transports.aclose())
        return work.state()


async def arecord(
    prompts: str | Path | Iterable[Any],
    config: CascadeConfig | Mapping[str, Any],
    out: str | Path,
    *,
    transport: Transport | None = None,
    transports: Mapping[str, Transport] | None = None,
    **options: Any,
) -> Recording:
    """Record, asynchronously; see `record`."""
    loop = EngineLoop.shared()
    with _opened(prompts, config, out, _Options(**options), Transports(transport, transports)) as work:
        try:
            await loop.arun(work.ask())
        finally:
            await asyncio.to_thread(work.keep)
            await loop.arun(work.transports.aclose())
        return work.state()


@dataclass(frozen=True, slots=True)
class _Options:
    concurrency: int = 8
    max_cost: float | None = None
    limit: int | None = None
    retry_failed: bool = False
    progress: Callable[[Recording], None] | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError("must be 1 or more", field="concurrency")
        if self.max_cost is not None and not self.max_cost >= 0:
            raise ConfigError("must be 0 or more", field="max_cost")
        if self.limit is not None and self.limit < 0:
            raise ConfigError("must be 0 or more", field="limit")


@contextmanager
def _opened(
    prompts: str | Path | Iterable[Any],
    config: CascadeConfig | Mapping[str, Any],
    out: str | Path,
    options: _Options,
    transports: Transports,
) -> Iterator[_Work]:
    config = CascadeConfig.build(config).without_fallback()
    members = _distinct(config)
    with Journal(Path(out), Header.of(config)) as journal:
        work = _Work(Path(out), config, members, journal, transports, options)
        work.look_through(Prompts(prompts, limit=options.limit))
        yield work


class _Work:
    """One recording.

    Attributes:
        transports: Who serves which member.
    """

    def __init__(
        self,
        path: Path,
        config: CascadeConfig,
        members: Sequence[Member],
        journal: Journal,
        transports: Transports,
        options: _Options,
    ) -> None:
        self.transports = transports
        self._path, self._config, self._members, self._journal = path, config, members, journal
        self._options, self._spending = options, Spending(transports, options.max_cost)
        self._prompts, self._order = Prompts(()), list[str]()
        self._failures: Counter[str] = Counter()
        self._done = self._asked = self._reused = 0
        self._out_of_money = False
        self._ended = threading.Event()

    def look_through(self, prompts: Prompts) -> None:
        """Check all prompts, and add up what the run holds already."""
        self._spending.check(self._members)
        self._prompts = prompts
        for row in prompts:
            self._journal.check(prompt_to(row), row.where)
            self._order.append(row.id)
        for row_id in self._journal:
            for answer in self._journal.known(row_id).values():
                self._spending.add(answer)
                self._reused += 1
                self._failures[answer.member] += not answer.ok

    async def ask(self) -> None:
        """Ask all that is missing, on the engine's loop."""
        try:
            for member in self._members:
                await self.transports.of(member).prepare(member)
                self.transports.of(member).check(member)
            async with asyncio.TaskGroup() as group:
                await self._ask_rows(group)
        except BaseExceptionGroup as failed:
            raise _first(failed) from None
        finally:
            self._ended.set()

    def keep(self) -> None:
        """Make the run of all that came, once nothing more comes."""
        self._ended.wait(_ENDING_S)
        self._journal.finish(self._order)

    def state(self) -> Recording:
        """Return how far it is."""
        return Recording(
            path=self._path,
            prompts=len(self._order),
            done=self._done,
            asked=self._asked,
            reused=self._reused,
            failures=dict(+self._failures),
            cost=self._spending.spent,
            unpriced=self._spending.unpriced,
            out_of_money=self._out_of_money,
        )

    async def _ask_rows(self, group: asyncio.TaskGroup) -> None:
        running: set[asyncio.Task[None]] = set()
        for row in self._prompts:
            known = self._journal.known(row.id)
            missing = self._missing(known)
            if not missing:
                self._done += 1
                continue
            while len(running) >= self._options.concurrency:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            request = Request(row.messages, row.tools, response_format=row.response_format)
            estimates = {member.name: self._spending.estimate(member, request) for member, _ in missing}
            amount = sum(estimates[member.name] * len(samples) for member, samples in missing)
            if not await self._affordable(amount, running):
                self._out_of_money = True
                return
            self._spending.reserve(amount)
            task = group.create_task(self._ask_row(row, request, missing, known, estimates))
            running.add(task)
            task.add_done_callback(running.discard)
            if self._options.max_cost is not None and not all(self._spending.bounded(member) for member, _ in missing):
                await asyncio.wait(running)  # alone: it shows how long this member's answers are

    def _missing(self, known: Known) -> Missing:
        found = []
        for member in self._members:
            samples = [
                sample
                for sample in range(member.samples)
                if (answer := known.get((member.name, sample))) is None
                or (self._options.retry_failed and not answer.ok)
            ]
            if samples:
                found.append((member, samples))
        return found

    async def _affordable(self, amount: float, running: set[asyncio.Task[None]]) -> bool:
        """Wait until an amount can be spent, or say that it cannot: what is under way may cost less than reserved."""
        while not self._spending.allows(amount):
            if not running:
                return False
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        return True

    async def _ask_row(
        self, row: Row, request: Request, missing: Missing, known: Known, estimates: Mapping[str, float]
    ) -> None:
        self._journal.begin(prompt_to(row))
        deadline, guard = Deadline.after(self._config.deadline), Guards().query()  # the run has a budget of its own
        async with asyncio.TaskGroup() as group:
            for member, samples in missing:
                transport = self.transports.of(member)
                patience = Patience.of(member, self._config, deadline, guard)
                slots = [Slot(member, sample) for sample in samples]
                tasks = ask_samples(group.create_task, transport, slots, request, patience)
                for sample, task in zip(samples, tasks, strict=True):
                    earlier = known.get((member.name, sample))
                    group.create_task(self._keep_answer(row.id, sample, task, earlier, estimates[member.name]))
        self._done += 1
        self._tell()

    async def _keep_answer(
        self, row_id: str, sample: int, task: asyncio.Task[Candidate], earlier: Candidate | None, estimate: float
    ) -> None:
        """Write an answer down the moment it comes."""
        answer = await task
        self._spending.reserve(-estimate)
        self._spending.add(answer, estimate)
        self._journal.keep(row_id, sample, _after(earlier, answer))
        self._asked += 1
        self._reused -= earlier is not None
        self._failures[answer.member] += (not answer.ok) - (earlier is not None)
        self._tell()

    def _tell(self) -> None:
        if self._options.progress is not None:
            self._options.progress(self.state())


def _after(earlier: Candidate | None, answer: Candidate) -> Candidate:
    """Count what an earlier failure cost with the answer that took its place."""
    if earlier is None:
        return answer
    cost, attempts = total_cost([earlier.cost, answer.cost]), earlier.attempts + answer.attempts
    return dataclasses.replace(answer, cost=cost, attempts=attempts)


def _distinct(config: CascadeConfig) -> Sequence[Member]:
    """Return each member once; one that stands in several tiers is the same in all of them.

    Raises:
        ConfigError: If it is not: answers are kept by name.
    """
    found: dict[str, Member] = {}
    for member in config.members():
        if found.setdefault(member.name, member) != member:
            raise ConfigError(f"{member.name!r} stands for two different members; give one another name", field="tiers")
    return tuple(found.values())


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
