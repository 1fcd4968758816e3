"""Watching each request to a member from its start to its end, as tracers do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeAlias

from semcascade.abilities import Ability
from semcascade.config import Member
from semcascade.engine.transports import Transports
from semcascade.messages import Candidate, Embeddings, Request, Usage
from semcascade.transport.base import Delta, Transport, assemble

__all__ = ["Ended", "Watcher", "watched"]

Ended: TypeAlias = Callable[[Sequence[Candidate] | BaseException], None]
"""Hears what a request came to: its answers, or why there are none."""

Watcher: TypeAlias = Callable[[Member, Request], Ended]
"""Hears that a member is asked, on the engine's event loop; it must not block, nor raise."""


def watched(transports: Transports, watcher: Watcher) -> Transports:
    """Return the transports for one query that is watched."""
    return _WatchedTransports(transports, watcher)


class _WatchedTransports(Transports):
    def __init__(self, transports: Transports, watcher: Watcher) -> None:
        super().__init__(transports.default, transports.named)
        self._transports, self._watcher = transports, watcher

    def of(self, member: Member) -> Transport:
        return _Watched(self._transports.of(member), self._watcher)


class _Watched(Transport):
    """Tells of each request, and leaves all else to the transport that makes it."""

    def __init__(self, transport: Transport, watcher: Watcher) -> None:
        self._transport, self._watcher = transport, watcher

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        ended = self._watcher(member, request)
        try:
            answer = await self._transport.complete(member, request, timeout=timeout, sample=sample)
        except BaseException as error:
            ended(error)
            raise
        ended([answer])
        return answer

    async def complete_many(self, member: Member, request: Request, *, timeout: float, n: int) -> list[Candidate]:
        ended = self._watcher(member, request)
        try:
            answers = await self._transport.complete_many(member, request, timeout=timeout, n=n)
        except BaseException as error:
            ended(error)
            raise
        ended(answers)
        return answers

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        ended, pieces = self._watcher(member, request), list[Delta]()
        stream = aiter(self._transport.stream(member, request, timeout=timeout))
        try:
            async for delta in stream:
                pieces.append(delta)
                yield delta
        except BaseException as error:
            ended(error)
            raise
        else:
            ended([assemble(member, pieces)])
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    async def embed(self, member: Member, texts: Sequence[str], *, timeout: float) -> Embeddings:
        return await self._transport.embed(member, texts, timeout=timeout)

    def most_samples(self, member: Member) -> int:
        return self._transport.most_samples(member)

    async def prepare(self, member: Member) -> None:
        await self._transport.prepare(member)

    def check(self, member: Member) -> None:
        self._transport.check(member)

    def price(self, member: Member, usage: Usage) -> float | None:
        return self._transport.price(member, usage)

    def knows_price(self, member: Member) -> bool:
        return self._transport.knows_price(member)

    def context_window(self, member: Member) -> int | None:
        return self._transport.context_window(member)

    def abilities(self, member: Member) -> Mapping[Ability, bool]:
        return self._transport.abilities(member)

    async def aclose(self) -> None:
        await self._transport.aclose()
