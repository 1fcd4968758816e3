"""A transport that replays stored outputs: evaluation runs the same engine without a call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from semcascade.config import Member
from semcascade.errors import MalformedReplyError, ModelNotFoundError
from semcascade.messages import Candidate, Conversation, Request
from semcascade.transport.base import Delta, ToolCallDelta, Transport

__all__ = ["RecordedTransport", "conversation_key"]


class RecordedTransport(Transport):
    """Answers from recorded candidates.

    Args:
        answers: For each conversation, by `conversation_key` or by an id of the caller's own, the candidates of
            each member by name. A request names its own id in the parameter `recorded_id`.

    >>> answers = {conversation_key(({"role": "user", "content": "2+2?"},)): {"a": Candidate("a", "4")}}
    >>> transport = RecordedTransport(answers)
    """

    def __init__(self, answers: Mapping[str, Mapping[str, Candidate]]) -> None:
        self._answers = answers

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Return what the member answered when it was recorded."""
        key = str(request.params.get("recorded_id") or conversation_key(request.messages))
        if key not in self._answers:
            raise MalformedReplyError("nothing was recorded for this conversation", member=member.name)
        recorded = self._answers[key].get(member.name)
        if recorded is None:
            known = ", ".join(sorted(self._answers[key]))
            raise ModelNotFoundError(f"nothing was recorded of this member; recorded are {known}", member=member.name)
        if recorded.failure is not None:
            raise recorded.failure
        return recorded

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Return the recorded answer in one piece."""
        recorded = await self.complete(member, request, timeout=timeout)
        yield whole(recorded)


def whole(candidate: Candidate) -> Delta:
    """Return a complete answer as one piece of a stream."""
    return Delta(
        text=candidate.text,
        reasoning=candidate.reasoning,
        tool_calls=tuple(
            ToolCallDelta(index, call.id, call.name, call.arguments) for index, call in enumerate(candidate.tool_calls)
        ),
        finish_reason=candidate.finish_reason,
        usage=candidate.usage,
        cost=candidate.cost,
        model=candidate.model,
        logprobs=candidate.logprobs or (),
    )


def conversation_key(messages: Conversation) -> str:
    """Return a short digest of a conversation's content.

    >>> len(conversation_key(({"role": "user", "content": "2+2?"},)))
    32
    """
    plain: list[dict[str, Any]] = [dict(message) for message in messages]
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
