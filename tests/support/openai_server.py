"""An OpenAI-compatible service on the loopback, in a thread of its own, for tests.

>>> with OpenAIServer({"cheap": "Paris", "big": lambda body: Reply("Paris, of course")}) as server:
...     server.base_url.startswith("http://127.0.0.1:")
True

Models without an entry in the script are answered by `tests.support.brain.brain`. Every request is recorded;
`fail` makes requests go wrong; `wait_until` waits for something to have happened, instead of sleeping.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from aiohttp import web

from tests.support.brain import Reply, brain
from tests.support.faults import (
    Delay,
    Duplicates,
    EmptyChoices,
    Fault,
    FewChoices,
    Filtered,
    Huge,
    Malformed,
    NoUsage,
    NullContent,
    Redirect,
    Reset,
    Stall,
    Status,
    Truncated,
    Verbatim,
    closed_address,
)
from tests.support.faulty_replies import BrokenOnPurposeError, break_off, error, hold, instead, spoil, whole
from tests.support.openai_wire import Answer, RefusedError, check, embeddings

__all__ = [
    "Delay", "Duplicates", "EmptyChoices", "Fault", "FewChoices", "Filtered", "Huge", "Malformed", "NoUsage", "NullContent",
    "OpenAIServer", "Recorded", "Redirect", "Reply", "Reset", "Stall", "Status", "Truncated", "Verbatim", "brain",
    "closed_address",
]  # fmt: skip

Script: TypeAlias = str | Reply | Callable[[Mapping[str, Any]], str | Reply]

_PATIENCE_S = 10.0
_DONE = b"data: [DONE]\n\n"


@dataclass
class Recorded:
    """One request, and what became of it."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    status: int = 0
    usage: dict[str, Any] | None = None
    """The usage of the answer, whether or not it was sent."""
    chunks: int = 0
    """Chunks of a stream that were sent."""
    finished: bool = False
    """Whether the whole reply was sent."""
    disconnected: bool = False
    """Whether the client went away before that."""

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def key(self) -> str:
        """The key that the client sent."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


@dataclass
class _Planned:
    model: str
    fault: Fault
    at: Collection[int] | None
    seen: int = 0


@dataclass
class OpenAIServer:
    """A service that starts when entered and is gone when left.

    Args:
        script: What each model answers: a text, a Reply, or a function of the request's body.
        default: What answers for all other models.
        api_key: The key that clients must send; any will do unless given.
    """

    script: dict[str, Script] = field(default_factory=dict)
    default: Script = brain
    api_key: str | None = None

    def __post_init__(self) -> None:
        self.requests: list[Recorded] = []
        self.port = 0
        self._faults: list[_Planned] = []
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openai-server", daemon=True)

    # --- for tests

    @property
    def base_url(self) -> str:
        """The api_base that clients are given."""
        return f"http://127.0.0.1:{self.port}/v1"

    def member(self, model: str, **settings: Any) -> dict[str, Any]:
        """Return the settings of a cascade's member that asks this service."""
        return {"model": f"openai/{model}", "api_base": self.base_url, "api_key": self.api_key or "none", **settings}

    def fail(self, model: str, fault: Fault, *, at: int | Collection[int] | None = None) -> None:
        """Let requests for a model ("*": any) go wrong: all, or those of these numbers, counted from 1 from now on."""
        with self._changed:
            self._faults.append(_Planned(model, fault, {at} if isinstance(at, int) else at))

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        with self._changed:
            self._faults.clear()

    def asked(self, model: str | None = None) -> list[Recorded]:
        """Return the chat requests, for one model or all, in order of arrival."""
        with self._changed:
            return [
                request for request in self.requests
                if request.path.endswith("/chat/completions") and model in (None, request.model)
            ]  # fmt: skip

    def tokens(self, model: str | None = None) -> tuple[int, int]:
        """Return the prompt and completion tokens of all finished answers, for one model or all."""
        counted = [request.usage for request in self.asked(model) if request.finished and request.usage]
        return sum(u["prompt_tokens"] for u in counted), sum(u["completion_tokens"] for u in counted)

    def wait_until(self, happened: Callable[[], bool], timeout: float = _PATIENCE_S) -> None:
        """Wait until something has happened at the server, e.g. a client's disconnect.

        Raises:
            TimeoutError: If it has not.
        """
        with self._changed:
            if not self._changed.wait_for(happened, timeout):
                raise TimeoutError("it did not happen at the server")

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_PATIENCE_S):
            raise TimeoutError("the server did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_PATIENCE_S)

    # --- the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._recording(self._chat))
        app.router.add_post("/v1/embeddings", self._recording(self._embeddings))
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._ended.wait()
        await runner.cleanup()

    def _recording(self, handle: Callable[[web.Request, Recorded], Any]) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.StreamResponse:
            record = Recorded(request.path, await request.json(), dict(request.headers))
            with self._changed:
                self.requests.append(record)
                self._changed.notify_all()
            try:
                response: web.StreamResponse = await handle(request, record)
                record.status, record.finished = response.status, True
            except asyncio.CancelledError:
                record.disconnected, record.finished = not self._ended.is_set(), False
                raise
            except BrokenOnPurposeError:
                return web.Response()  # nobody is there to get it
            except ConnectionResetError:
                record.disconnected, record.finished = True, False
                return web.Response()
            finally:
                with self._changed:
                    self._changed.notify_all()
            return response

        return handler

    # --- endpoints

    async def _models(self, request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self.script]
        return web.json_response({"object": "list", "data": data})

    async def _embeddings(self, request: web.Request, record: Recorded) -> web.StreamResponse:
        faults = self._due(record.model)
        replaced = await instead(request, faults)
        if replaced is not None:
            return replaced
        payload = embeddings(record.body)
        record.usage = payload["usage"]
        return await whole(request, payload, faults)

    async def _chat(self, request: web.Request, record: Recorded) -> web.StreamResponse:
        if self.api_key is not None and record.key != self.api_key:
            return error(Status(401, message="Incorrect API key provided.", kind="invalid_api_key"))
        faults = self._due(record.model)
        replaced = await instead(request, faults)
        if replaced is not None:
            return replaced
        try:
            check(record.body)
        except RefusedError as refused:
            return error(Status(400, message=str(refused)))
        fewest = [fault.most for fault in faults if isinstance(fault, FewChoices)]
        body = {**record.body, "n": min([record.body.get("n") or 1, *fewest])}
        answer = Answer(body, await self._reply(body))
        record.usage = answer.usage
        if record.body.get("stream"):
            return await self._stream(request, record, answer, faults)
        return await whole(request, answer.payload(), faults)

    async def _reply(self, body: Mapping[str, Any]) -> Reply:
        said = self.script.get(str(body["model"]), self.default)
        if callable(said):
            said = await asyncio.to_thread(said, body)
        return Reply(said) if isinstance(said, str) else said

    async def _stream(
        self, request: web.Request, record: Recorded, answer: Answer, faults: list[Fault]
    ) -> web.StreamResponse:
        for fault in faults:
            if isinstance(fault, Reset) and fault.after == 0:
                break_off(request)
            await hold(fault, sent=0)
        twice = any(isinstance(fault, Duplicates) for fault in faults)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for chunk in answer.chunks():
            spoiled = spoil(chunk, faults)
            if spoiled is None:
                continue
            event = f"data: {json.dumps(spoiled, ensure_ascii=False)}\n\n".encode()
            await response.write(event * 2 if twice and not _says_something(spoiled) else event)
            with self._changed:
                record.chunks += 1
                self._changed.notify_all()
            for fault in faults:
                if isinstance(fault, Reset) and fault.after == record.chunks:
                    break_off(request)
                if isinstance(fault, Truncated) and fault.after == record.chunks:
                    await response.write_eof()
                    return response
                if isinstance(fault, Malformed):
                    await response.write(f"data: {fault.body}\n\n".encode())
                await hold(fault, sent=record.chunks)
        record.status, record.finished = response.status, True  # before the client knows, who may look at once
        await response.write(_DONE * 2 if twice else _DONE)
        await response.write_eof()
        return response

    def _due(self, model: str) -> list[Fault]:
        """Return what goes wrong with the next request for a model, and count it."""
        due = []
        with self._changed:
            for planned in self._faults:
                if planned.model in ("*", model):
                    planned.seen += 1
                    if planned.at is None or planned.seen in planned.at:
                        due.append(planned.fault)
        return due


def _says_something(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk holds a piece of the answer itself, which twice would be another answer."""
    deltas = [choice["delta"] for choice in chunk["choices"]]
    pieces = [call["function"].get("arguments") for delta in deltas for call in delta.get("tool_calls") or ()]
    return any(delta.get("content") or delta.get("reasoning_content") for delta in deltas) or any(pieces)
