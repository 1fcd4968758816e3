"""The transport that asks models on this machine."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.resources
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from semcascade.abilities import ABILITIES, Ability
from semcascade.config import Member
from semcascade.errors import (
    ConnectionFailedError,
    LocalModelError,
    MemberError,
    MemberTimeoutError,
    ModelNotFoundError,
)
from semcascade.messages import Candidate, Request, Usage
from semcascade.transport.base import Delta, Transport, configured_price
from semcascade.transport.local import fetch, wire
from semcascade.transport.local.catalogue import LocalModel, resolve
from semcascade.transport.local.runtime import Server, ServerSettings, require_runtime, shared_runtime
from semcascade.transport.threads import in_daemon_thread

if TYPE_CHECKING:
    import aiohttp

__all__ = ["LocalTransport"]

_THREAD = "semcascade-local"

_FAILED_FOR_S = 10.0
"""How long a failed fetch counts as failed before it is tried anew."""


class LocalTransport(Transport):
    """Asks GGUF models that run on this machine, on the CPU, without a key.

    Member ids are `local/smollm2`, `local/gemma3-270m`, `local//path/to/model.gguf`, or
    `local/hf://owner/repo/model.gguf#sha256=...`. Weights are fetched into the user's cache at first use; a model is
    started at first use and shared by all its members. The request parameter `chat_template_kwargs={"style": ...}`
    (`chat`, `qa`, `statement`, `list`) chooses how the two named models are shown a conversation.

    Args:
        context: Tokens that all conversations of one model share at any moment.
        slots: How many requests one model works on at once; further ones wait.
        threads: Threads that one model computes with.
        port: Port of the first model on the loopback, 0 for any that is free; further models always take a free one.
        progress: Told how far a download is.
        notice: Told, before a download starts, what it is and under what licence.
    """

    def __init__(
        self,
        *,
        context: int = 4096,
        slots: int = 4,
        threads: int = 1,
        port: int = 0,
        progress: fetch.ProgressCallback | None = None,
        notice: fetch.Notice | None = None,
    ) -> None:
        self._context, self._slots, self._threads, self._port = context, slots, threads, port
        self._port_owner: Path | None = None
        self._fetching = threading.Lock()
        self._failed: dict[str, tuple[float, LocalModelError]] = {}
        self._progress, self._notice = progress, notice

    async def prepare(self, member: Member) -> None:
        """Fetch the member's weights and start the model, if that was not done yet.

        Raises:
            ModelNotFoundError: If the id names no model.
            MemberError: If the weights cannot be had, or do not run.
            MissingDependencyError: If the runtime is not installed.
        """
        await self._server(member)

    def check(self, member: Member) -> None:
        """Refuse an id that names nothing, and a file that is not there.

        Raises:
            ModelNotFoundError: If so.
            MissingDependencyError: If the runtime is not installed.
        """
        weights = _resolve(member)
        if isinstance(weights, Path) and not weights.is_file():
            raise ModelNotFoundError(f"there is no file {weights}; check the path after local/", member=member.name)
        require_runtime()

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for one whole answer.

        Raises:
            MemberError: If there is none.
        """
        body = wire.encoded(member, wire.body(member, request, stop=_stop(member), sample=sample))
        server = await self._server(member)
        started = time.monotonic()
        async with _failures(member, timeout), asyncio.timeout(timeout), _asked(server, body) as reply:
            text = await reply.text()
            if reply.status != 200:
                raise wire.refusal(member, reply.status, text)
            answer = wire.candidate(member, text)
        cost = self.price(member, answer.usage or Usage())
        return replace(answer, cost=cost, latency_s=time.monotonic() - started)

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Ask for one answer in pieces; closing the iterator ends the generation.

        Raises:
            MemberError: If there is no answer, or it breaks off.
        """
        asked = wire.body(member, request, stop=_stop(member))
        body = wire.encoded(member, asked | {"stream": True, "stream_options": {"include_usage": True}})
        server = await self._server(member)
        leading = True
        async with _failures(member, timeout), _asked(server, body, patience=timeout) as reply:
            if reply.status != 200:
                raise wire.refusal(member, reply.status, await reply.text())
            async for line in reply.content:
                piece = wire.delta(member, line.decode(errors="replace"))
                if piece is None:
                    continue
                if leading:  # an answer to "Answer:" starts with the space behind the colon
                    piece = replace(piece, text=piece.text.lstrip())
                    leading = not piece.text
                if piece.usage is not None:
                    piece = replace(piece, cost=self.price(member, piece.usage))
                if piece != Delta(model=piece.model):
                    yield piece

    def price(self, member: Member, usage: Usage) -> float | None:
        """Return 0, or what the member's own settings say it costs."""
        configured = configured_price(member, usage)
        return 0.0 if configured is None else configured

    def context_window(self, member: Member) -> int | None:
        """Return the tokens that a conversation may take, in and out."""
        return member.context_window or self._context

    def abilities(self, member: Member) -> Mapping[Ability, bool]:
        """Return that these models know nothing but text."""
        return dict.fromkeys(ABILITIES, False)

    async def aclose(self) -> None:
        """Stop the models that no other transport uses."""
        await in_daemon_thread(lambda: shared_runtime().release(self), name=_THREAD)

    async def _server(self, member: Member) -> Server:
        """Return the member's running model, fetched and started if need be."""
        weights = _resolve(member)
        try:
            return await in_daemon_thread(lambda: self._start(weights), name=_THREAD)
        except LocalModelError as error:
            raise MemberError(str(error), member=member.name) from error

    def _fetched(self, weights: LocalModel) -> Path:
        """Return where the weights are; members that share them share a fetch that failed a moment ago, too."""
        with self._fetching:
            failed_at, error = self._failed.get(weights.name, (0.0, None))
            if error is not None and time.monotonic() - failed_at < _FAILED_FOR_S:
                raise error
            try:
                return fetch.ensure(weights, progress=self._progress, notice=self._notice)
            except LocalModelError as failure:
                self._failed[weights.name] = (time.monotonic(), failure)
                raise

    def _start(self, weights: LocalModel | Path) -> Server:
        require_runtime()
        importlib.import_module("aiohttp")  # here and not on the event loop, which would stand still meanwhile
        if isinstance(weights, LocalModel):
            path, alias = self._fetched(weights), weights.name
        else:
            path, alias = weights.resolve(), weights.stem
        style = weights.style if isinstance(weights, LocalModel) else None
        if self._port_owner is None:
            self._port_owner = path
        settings = ServerSettings(
            path,
            alias,
            template=_template() if style else "",
            template_kwargs=(("style", style),) if style else (),
            context=self._context,
            slots=self._slots,
            threads=self._threads,
            port=self._port if self._port_owner == path else 0,
        )
        return shared_runtime().acquire(settings, self)


@functools.cache
def _template() -> str:
    return importlib.resources.files(__package__).joinpath("chat.jinja").read_text(encoding="utf-8")


def _resolve(member: Member) -> LocalModel | Path:
    try:
        return resolve(member.model)
    except LocalModelError as error:
        raise ModelNotFoundError(str(error), member=member.name) from error


def _stop(member: Member) -> tuple[str, ...]:
    weights = _resolve(member)
    return weights.stop if isinstance(weights, LocalModel) else ()


@asynccontextmanager
async def _asked(server: Server, body: bytes, patience: float | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request on a connection of its own; leaving the context ends the generation.

    A connection on the loopback costs far less than a token, and none that is kept can belong to the wrong event
    loop, or to the parent of a fork.
    """
    import aiohttp

    limits = aiohttp.ClientTimeout(total=None, sock_read=patience)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(timeout=limits, headers=headers) as session,
        session.post(f"{server.address}/v1/chat/completions", data=body) as reply,
    ):
        yield reply


@asynccontextmanager
async def _failures(member: Member, timeout: float) -> AsyncIterator[None]:
    """Turn what the client raises into the member's errors."""
    import aiohttp

    try:
        yield
    except TimeoutError:
        raise MemberTimeoutError(f"no answer within {timeout:g} s", member=member.name) from None
    except aiohttp.ClientError as error:
        raise ConnectionFailedError(
            f"the model's process broke off ({type(error).__name__}); it is started anew when asked again",
            member=member.name,
        ) from error
