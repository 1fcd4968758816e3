"""A transport that answers from a script: users test their applications with it, offline and for free."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from semcascade.config import Member
from semcascade.errors import ConfigError, MemberError, ModelNotFoundError
from semcascade.messages import Candidate, Request, ToolCall, Usage, content_text
from semcascade.transport.base import Delta, ToolCallDelta, Transport, configured_price

__all__ = ["Reply", "ScriptedTransport"]

Reply: TypeAlias = str | Candidate | ToolCall | Exception | Callable[[Request], object]
"""A text, tool call or whole candidate to answer with, an error to raise, or a function that returns one."""


class ScriptedTransport(Transport):
    """Answers each member from a script.

    Args:
        script: For each member (by name or model id) one reply, used every time, or a list of replies, used in
            order, the last one again and again. The key "*" serves members that have no entry of their own.
        latency_s: Seconds that each answer takes.

    Attributes:
        requests: What was asked, as (member name, request), in order.

    >>> from semcascade import Cascade
    >>> script = ScriptedTransport({"a": "Paris", "b": "Paris.", "big": "The capital is Paris."})
    >>> with Cascade(ensemble=["a", "b"], target="big", transport=script) as cascade:
    ...     cascade.complete("Capital of France?").text
    'Paris'
    """

    def __init__(self, script: Mapping[str, Reply | Iterable[Reply]], *, latency_s: float = 0.0) -> None:
        self._script = {name: _listed(replies) for name, replies in script.items()}
        self._used: dict[str, int] = {}
        self._latency_s = latency_s
        self.requests: list[tuple[str, Request]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "requests": []}

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Answer with the member's next reply."""
        reply = self._next(member, request)
        await asyncio.sleep(self._latency_s)
        return self._candidate(member, request, reply)

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Answer with the member's next reply, word by word."""
        candidate = await self.complete(member, request, timeout=timeout)
        for piece in _pieces(candidate.text):
            yield Delta(text=piece)
        calls = tuple(
            ToolCallDelta(index, call.id, call.name, call.arguments) for index, call in enumerate(candidate.tool_calls)
        )
        yield Delta(
            reasoning=candidate.reasoning,
            tool_calls=calls,
            finish_reason=candidate.finish_reason,
            usage=candidate.usage,
            cost=candidate.cost,
            model=candidate.model,
            logprobs=candidate.logprobs or (),
            tokens=candidate.tokens,
        )

    def _next(self, member: Member, request: Request) -> object:
        self.requests.append((member.name, request))
        for key in (member.name, member.model, "*"):
            if key in self._script:
                used = self._used.get(key, 0)
                self._used[key] = used + 1
                reply: object = self._script[key][min(used, len(self._script[key]) - 1)]
                return reply(request) if callable(reply) else reply
        raise ModelNotFoundError("the script has no entry for this member", member=member.name)

    def _candidate(self, member: Member, request: Request, reply: object) -> Candidate:
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Candidate):
            candidate = reply
        elif isinstance(reply, ToolCall):
            candidate = Candidate(member.name, tool_calls=(reply,), finish_reason="tool_calls")
        elif isinstance(reply, str):
            candidate = Candidate(member.name, text=reply, finish_reason="stop")
        else:
            raise MemberError(f"the script replied with a {type(reply).__name__}", member=member.name)
        usage = candidate.usage or _estimate(request, candidate)
        cost = candidate.cost if candidate.cost is not None else configured_price(member, usage)
        model = candidate.model or member.model
        return dataclasses.replace(candidate, member=member.name, usage=usage, cost=cost, model=model)


def _listed(replies: Reply | Iterable[Reply]) -> list[Reply]:
    if isinstance(replies, str | Candidate | ToolCall | Exception) or callable(replies):
        return [replies]
    listed = list(replies)
    if not listed:
        raise ConfigError("a member's list of replies is empty", field="script")
    return listed


def _estimate(request: Request, candidate: Candidate) -> Usage:
    """Count tokens roughly, four characters each, so that budgets and ledgers have something to add."""
    asked = sum(len(content_text(message.get("content"))) for message in request.messages)
    said = len(candidate.text) + sum(len(call.arguments) for call in candidate.tool_calls)
    return Usage(1 + asked // 4, 1 + said // 4)


def _pieces(text: str) -> Iterator[str]:
    """Cut behind each space, so that the pieces add up to the text."""
    start = 0
    for index, char in enumerate(text):
        if char == " ":
            yield text[start : index + 1]
            start = index + 1
    if start < len(text):
        yield text[start:]
