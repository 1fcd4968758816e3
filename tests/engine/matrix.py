"""The fault matrix: what can go wrong at a provider, what must come of it, and a service where it does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from semcascade import Cascade, CascadeError, Decision, Result
from semcascade.engine.loop import EngineLoop
from semcascade.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContentFilterError,
    ContextOverflowError,
    MalformedReplyError,
    MemberError,
    MemberTimeoutError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
)
from semcascade.transport.base import Delta
from semcascade.transport.openai import OpenAITransport
from tests.support.openai_server import (
    Duplicates,
    EmptyChoices,
    Fault,
    Filtered,
    Huge,
    Malformed,
    NoUsage,
    NullContent,
    OpenAIServer,
    Reset,
    Stall,
    Status,
    Truncated,
    Verbatim,
    closed_address,
)

SCRIPT = {
    "a": "Tokyo", "b": "Tokyo.", "c": "tokyo",
    "x": "Tokyo", "y": "Kyoto", "z": "Osaka",
    "p": "The river runs to the sea", "q": "A river runs to the sea", "r": "All rivers run into the sea",
    "t": "It is Tokyo, in Japan",
}  # fmt: skip
"""Members that agree, members that scatter, members that only embeddings can compare, and the target."""

TRANSPORTS = ("litellm", "openai")
PLACES = ("one member", "all members", "target", "embeddings")
STREAMS = ("stream", "astream")
WAYS = ("sync", "async", *STREAMS)
QUESTION = "What is the capital of Japan?"
DEADLINE_S = 30.0
SHORT_S = 0.25
LIMIT = 2**20


@dataclass(frozen=True)
class Case:
    """One thing that can go wrong.

    Attributes:
        name: What it is.
        fault: Makes it; None: nobody listens where the member is asked.
        error: What a whole reply becomes; none: an answer.
        streamed: What a stream becomes, where that is something else.
        embedded: What a reply to a request for vectors becomes, where that is something else.
        says_nothing: Whether the answer is one that says nothing.
    """

    name: str
    fault: Callable[[], Fault] | None
    error: tuple[type[MemberError], ...] = ()
    streamed: tuple[type[MemberError], ...] | None = None
    embedded: tuple[type[MemberError], ...] | None = None
    says_nothing: bool = False

    @property
    def stalls(self) -> bool:
        return self.name.startswith("stall")

    def expected(self, place: str, way: str, transport: str) -> tuple[type[MemberError], ...]:
        """Return the errors that may come of it, one of which must; none: it is an answer."""
        if self.name == "huge body" and transport == "openai":  # LiteLLM knows no limit
            return (MalformedReplyError,)
        if place == "embeddings" and self.embedded is not None:
            return self.embedded
        if place == "target" and way in STREAMS and self.streamed is not None:
            return self.streamed
        return self.error


BROKEN, GARBLED = (ConnectionFailedError,), (MalformedReplyError,)
CASES = (
    Case("401", lambda: Status(401), (AuthenticationError,)),
    Case("403", lambda: Status(403), (AuthenticationError,)),
    Case("404", lambda: Status(404), (ModelNotFoundError,)),
    Case("408", lambda: Status(408), (MemberTimeoutError,)),
    Case("429", lambda: Status(429), (RateLimitError,)),
    Case("429 with Retry-After", lambda: Status(429, retry_after=0.02), (RateLimitError,)),
    Case("500", lambda: Status(500), (ServerError,)),
    Case("502", lambda: Status(502), (ServerError,)),
    Case("503", lambda: Status(503), (ServerError,)),
    Case("529", lambda: Status(529), (ServerError,)),
    Case("refused connection", None, BROKEN),
    Case("reset at once", Reset, BROKEN),
    Case("reset mid-body", lambda: Reset(after=3), BROKEN),
    Case("stall before", Stall, (MemberTimeoutError,)),
    Case("stall inside", lambda: Stall(after=3), (MemberTimeoutError,)),
    Case("truncated", lambda: Truncated(after=3), GARBLED, streamed=BROKEN),
    Case("malformed", Malformed, GARBLED),
    Case("empty choices", EmptyChoices, GARBLED, streamed=BROKEN),
    Case("null content", NullContent, embedded=GARBLED, says_nothing=True),
    Case("wrong content type", lambda: Verbatim([b"<!doctype html>busy"], "text/html"), GARBLED, BROKEN + GARBLED),
    Case("huge body", lambda: Huge(LIMIT + 1)),
    Case("content filter", lambda: Status(400, message="Filtered", kind="content_filter"), (ContentFilterError,)),
    Case("answer filtered", Filtered, embedded=GARBLED, says_nothing=True),
    Case("context overflow", lambda: Status(400, message="Too long", kind="context_length_exceeded"),
         (ContextOverflowError,)),
    Case("duplicate chunks", Duplicates),
    Case("usage missing", NoUsage),
)  # fmt: skip


def cells() -> Iterator[tuple[Case, str, str, str]]:
    """Yield every case in every place over every transport by every way to ask.

    Where no stream goes wrong, as nothing but the target is streamed, the ways to stream take turns over the transports.
    """
    for number, (case, place) in enumerate(itertools.product(CASES, PLACES)):
        for turn, transport in enumerate(TRANSPORTS, start=number):
            streams = STREAMS if place == "target" else (STREAMS[turn % len(STREAMS)],)
            for way in ("sync", "async", *streams):
                yield case, place, transport, way


@dataclass
class Outcome:
    """What came of one query."""

    result: Result | None = None
    error: CascadeError | None = None
    pieces: list[str] = field(default_factory=list)

    def take(self, item: Delta | Result) -> None:
        """Take what a stream yields."""
        if isinstance(item, Result):
            self.result = item
        else:
            self.pieces.append(item.text)

    @property
    def decision(self) -> Decision:
        told = self.result.decision if self.result else self.error and self.error.decision
        assert isinstance(told, Decision)
        return told


class Matrix:
    """A service, and what asks it; shared by all cells, so that clients are warm."""

    def __init__(self, server: OpenAIServer) -> None:
        self.server, self.lean = server, OpenAITransport()

    def cascade(
        self, case: Case, place: str, transport: str, *, at: int | None = None, patient: bool = False, **settings: Any
    ) -> Cascade:
        """Build a cascade, and let it go wrong in one place.

        Args:
            case: What goes wrong.
            place: Where.
            transport: Over which transport.
            at: The only request for a member that goes wrong, counted from 1; all unless given.
            patient: Whether stalls are waited for.
            **settings: Further settings of the cascade.
        """
        self.server.heal()
        self.server.requests.clear()
        names = {"target": "xyz", "embeddings": "pqr"}.get(place, "abc")
        wrong = {"one member": "b", "all members": "abc", "target": "t", "embeddings": "e"}[place]
        if case.fault is not None:
            for name in wrong:
                self.server.fail(name, case.fault(), at=at)
        hasty = {} if patient and case.stalls else self._faulty(case)
        own = {name: hasty if name in wrong else {} for name in (*names, "t", "e")}
        members = [{**self.server.member(name, name=name), "transport": transport, **own[name]} for name in names]
        target = {**self.server.member("t", name="t"), "transport": transport, **own["t"]}
        if place == "embeddings":
            service = {"name": "embedding", "model": "openai/e", "transport": transport, "timeout": 20.0,
                       "max_retries": 1, "api_base": self.server.base_url, **own["e"]}  # fmt: skip
            settings = {"similarity": service, "threshold": 0.0, **settings}
        settings = {"deadline": DEADLINE_S, "timeout": 20.0, "max_retries": 1, "early_exit": "off", **settings}
        return Cascade(ensemble=members, target=target, transports={"openai": self.lean}, **settings)

    def _faulty(self, case: Case) -> Mapping[str, Any]:
        if case.fault is None:
            return {"api_base": closed_address()}
        return {"timeout": SHORT_S, "max_retries": 0} if case.stalls else {}

    def close(self) -> None:
        """Let go of the connections."""
        EngineLoop.shared().run(self.lean.aclose())


def asked(cascade: Cascade, way: str) -> Outcome:
    """Ask one question, one of the ways."""
    outcome = Outcome()
    try:
        if way == "sync":
            outcome.result = cascade.complete(QUESTION)
        elif way == "async":
            outcome.result = asyncio.run(cascade.acomplete(QUESTION))
        elif way == "stream":
            for item in cascade.stream(QUESTION):
                outcome.take(item)
        else:
            asyncio.run(_astreamed(cascade, outcome))
    except CascadeError as error:
        outcome.error = error
    return outcome


async def _astreamed(cascade: Cascade, outcome: Outcome) -> None:
    async for item in cascade.astream(QUESTION):
        outcome.take(item)


def tasks_left() -> list[str]:
    """Return the tasks of the library's event loop that belong to no client: none, once a query is over."""

    async def running() -> list[str]:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return [
            str(task) for task in tasks if task.get_name() != "semcascade-connections" and "Logging" not in str(task)
        ]

    for _ in range(100):  # each look gives the loop another turn, to end what was cancelled
        left = EngineLoop.shared().run(running())
        if not left:
            break
    return left
