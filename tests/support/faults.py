"""What can go wrong at a provider, one small class each; `OpenAIServer.fail` puts them in place."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a request."""


@dataclass(frozen=True)
class Status(Fault):
    """An error status with OpenAI's error body (401, 403, 404, 408, 429, 500, 502, 503, 529, ...)."""

    code: int
    retry_after: float | None = None
    message: str = ""
    kind: str = ""
    """OpenAI's `error.code`, e.g. "context_length_exceeded", "content_filter"."""


@dataclass(frozen=True)
class Reset(Fault):
    """The connection breaks: before any byte, or after so many chunks (of a JSON body: after half of it)."""

    after: int = 0


@dataclass(frozen=True)
class Malformed(Fault):
    """Status 200 with a body that is no JSON; in a stream, a data line that is none."""

    body: str = '{"id": "x", "choices": [{"mess'


@dataclass(frozen=True)
class Truncated(Fault):
    """The stream ends early but tidily, without finish_reason and [DONE]; a JSON body is cut in half."""

    after: int = 2


@dataclass(frozen=True)
class EmptyChoices(Fault):
    """`choices` is an empty list."""


@dataclass(frozen=True)
class FewChoices(Fault):
    """`n` is taken for this number at most, as by providers that ignore it."""

    most: int = 1


@dataclass(frozen=True)
class NullContent(Fault):
    """The message has neither content nor tool calls."""


@dataclass(frozen=True)
class Filtered(Fault):
    """The provider's filter took the answer away: no content, and a finish_reason that says so."""


@dataclass(frozen=True)
class NoUsage(Fault):
    """The reply says nothing about tokens."""


@dataclass(frozen=True)
class Duplicates(Fault):
    """What opens and what ends a stream comes twice: roles, openings of calls, finish_reason, usage, [DONE]."""


@dataclass(frozen=True)
class Huge(Fault):
    """The reply has so many bytes more than it needs."""

    size: int


@dataclass(frozen=True)
class Redirect(Fault):
    """The service has moved."""

    to: str
    code: int = 307


@dataclass(frozen=True)
class Verbatim(Fault):
    """Status 200 with exactly these parts as its body, sent one by one."""

    parts: Sequence[bytes]
    content_type: str = "text/event-stream"


@dataclass(frozen=True)
class Delay(Fault):
    """The reply takes so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Stall(Fault):
    """Nothing more comes, from the start or after so many chunks, until `release()` is called, if ever.

    `reached` is set when a request has come to the point where it stalls.
    """

    after: int = 0
    reached: threading.Event = field(default_factory=threading.Event, compare=False)
    released: concurrent.futures.Future[None] = field(default_factory=concurrent.futures.Future, compare=False)

    def release(self) -> None:
        """Let the stalled requests, and all that follow, go on."""
        if not self.released.done():
            self.released.set_result(None)


def closed_address() -> str:
    """Return an api_base of the loopback where nobody listens: connections are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
