"""Asking the target before it is known to be needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self

from semcascade.decision import TierRecord
from semcascade.engine.attempts import Tally
from semcascade.engine.departures import LEFT, cut_short, mean_usage
from semcascade.engine.query import Inquiry
from semcascade.engine.streams import ask_in_pieces
from semcascade.errors import NotAskedError
from semcascade.messages import Candidate
from semcascade.transport.base import Delta

__all__ = ["Speculation"]

NOT_NEEDED = "started on speculation, and not needed"


class Speculation:
    """The target's request, perhaps sent early; as a context it ends with what is not needed cancelled.

    Its pieces are kept back until the query is deferred: only text of an answer that is returned is ever shown.

    Args:
        inquiry: The query.
    """

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._when = inquiry.config.speculate if inquiry.only is None and inquiry.plan.scorers else "off"
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Candidate] | None = None
        self._items: asyncio.Queue[Delta | Candidate] = asyncio.Queue()
        self._started, self._settled = 0.0, False
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop(LEFT)
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def begin(self) -> None:
        """Start at once, or set the clock, as is configured; members are ready by now."""
        if self._when == "always":
            self.start()
        elif isinstance(self._when, float):
            self._timer = asyncio.get_running_loop().call_later(self._when, self.start)

    @property
    def waits_for_doubt(self) -> bool:
        """Whether the target is to be started as soon as deferral is likely."""
        return self._when == "likely" and self._task is None

    def start(self) -> None:
        """Ask the target, unless it is being asked."""
        if self._task is None and not self._settled and id(self._inquiry.target) not in self._inquiry.unready:
            self._started = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> Candidate:
        inquiry, member = self._inquiry, self._inquiry.target
        if not inquiry.in_pieces:
            return await inquiry.ask(member, inquiry.request, self.tally)
        pieces = ask_in_pieces(inquiry.transport(member), member, inquiry.request, inquiry.patience(member), self.tally)
        async with aclosing(pieces) as items:
            async for item in items:
                self._items.put_nowait(item)
                if isinstance(item, Candidate):
                    return item
        raise AssertionError("unreachable: a member's stream ends with its candidate")

    # --- how it ends

    def take(self) -> bool:
        """Say that the target is needed; return whether it is being asked already.

        What a cap or a breaker has held back is not: it is asked anew, now that nobody else can answer.
        """
        if self._settled or self._task is None:
            self._stop()
            return False
        self._stop()
        held_back = self._task.done() and isinstance(self._task.result().failure, NotAskedError)
        return not held_back

    async def answer(self) -> Candidate:
        """Wait for the target's answer."""
        assert self._task is not None  # noqa: S101 - whoever waits for it has taken it
        return await self._task

    async def pieces(self) -> AsyncGenerator[Delta | Candidate, None]:
        """Yield the target's pieces, those that are there at once, and at last its candidate."""
        while True:
            item = await self._items.get()
            yield item
            if isinstance(item, Candidate):
                return

    def drop(self, why: str = NOT_NEEDED) -> None:
        """Say that the target is not needed; what its request is taken to have cost stands in the records."""
        if self._settled:
            return
        self._stop()
        if self._task is not None:
            self._inquiry.records.append(self._record(self._task, why))
            self._task.cancel()

    def _stop(self) -> None:
        self._settled = True
        if self._timer is not None:
            self._timer.cancel()

    def _record(self, task: asyncio.Task[Candidate], why: str) -> TierRecord:
        inquiry, seconds = self._inquiry, time.monotonic() - self._started
        if task.done():
            candidate = task.result()
        else:
            usage = mean_usage(candidate for record in inquiry.records for candidate in record.candidates)
            transport = inquiry.transport(inquiry.target)
            candidate = cut_short(transport, inquiry.target, self.tally, why, usage, latency_s=seconds)
        name = inquiry.config.tiers[-1].name
        return TierRecord(
            name, (candidate,), accepted=False, reason=why, latency_s=seconds, final=True, speculated=True
        )
