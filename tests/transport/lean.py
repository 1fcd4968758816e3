"""What the tests of the lean transport share."""

from __future__ import annotations

from typing import Any

from semcascade import Transport
from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.messages import Candidate, Request
from semcascade.transport.base import assemble
from tests.support.openai_server import OpenAIServer

REQUEST = Request(({"role": "user", "content": "What is the capital of Japan?"},))


def member(server: OpenAIServer, **settings: Any) -> Member:
    return Member.model_validate({**server.member("a"), "transport": "openai", **settings})


def whole(transport: Transport, asked: Member, request: Request = REQUEST, timeout: float = 10) -> Candidate:
    return EngineLoop.shared().run(transport.complete(asked, request, timeout=timeout))


def streamed(transport: Transport, asked: Member, request: Request = REQUEST, timeout: float = 10) -> Candidate:
    async def collect() -> Candidate:
        return assemble(asked, [delta async for delta in transport.stream(asked, request, timeout=timeout)])

    return EngineLoop.shared().run(collect())
