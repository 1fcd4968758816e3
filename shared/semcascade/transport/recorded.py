"""A transport that replays stored outputs: evaluation runs the same engine without a call."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from semcascade.config import Member
from semcascade.errors import InputError, MalformedReplyError, MemberError, ModelNotFoundError
from semcascade.messages import Candidate, Conversation, Message, Request
from semcascade.run_form import Header, answers_from, object_of, read_lines
from semcascade.transport.base import Delta, ToolCallDelta, Transport

__all__ = ["RecordedTransport", "conversation_key"]

_log = logging.getLogger(__name__)


class RecordedTransport(Transport):
    """Answers from recorded candidates.

    Recorded failures come back as they were, and are not asked for again.

    Args:
        answers: For each conversation, by `conversation_key` or by an id of the caller's own, the candidates of
            each member by name, one or one for each sample. A request names its own id in the parameter `recorded_id`.

    >>> answers = {conversation_key(({"role": "user", "content": "2+2?"},)): {"a": Candidate("a", "4")}}
    >>> transport = RecordedTransport(answers)
    """

    def __init__(self, answers: Mapping[str, Mapping[str, Candidate | Sequence[Candidate]]]) -> None:
        self._answers = answers

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """Replay a run file: each conversation is found by its content, or by the row's id as `recorded_id`.

        The file is read now, once, and looked into again for each answer; it must stay as it is meanwhile. Where two
        rows hold the same conversation, the first is found by content.

        Raises:
            InputError: If the file cannot be read, or is not of the run form.
        """
        return cls(_RunFile(Path(path)))

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Return what the member answered when it was recorded, failure or not."""
        asked_id = request.params.get("recorded_id")
        key = str(asked_id or conversation_key(_without(member.preamble, request.messages)))
        recorded = self._answers.get(key)
        if recorded is None:
            what = "under this id" if asked_id else "for this conversation"
            return _lacking(MalformedReplyError(f"nothing was recorded {what}", member=member.name))
        found = recorded.get(member.name)
        if found is None:
            known = ", ".join(sorted(recorded))
            message = f"nothing was recorded of this member; recorded are {known}"
            return _lacking(ModelNotFoundError(message, member=member.name))
        samples = (found,) if isinstance(found, Candidate) else found
        if sample >= len(samples):
            message = f"{len(samples)} answers were recorded, sample {sample + 1} was not"
            return _lacking(ModelNotFoundError(message, member=member.name))
        return samples[sample]

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Return the recorded answer in one piece.

        Raises:
            MemberError: If a failure was recorded.
        """
        recorded = await self.complete(member, request, timeout=timeout)
        if recorded.failure is not None:
            raise recorded.failure
        yield whole(recorded)


class _RunFile(Mapping[str, Mapping[str, tuple[Candidate, ...]]]):
    """The answers of a run, read when they are asked for: only where each row begins is kept in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, int] = {}
        by_content: dict[str, int] = {}
        for where, at, data in read_lines(path, skipped=_log.warning):
            if "semcascade_run" in data:
                Header.read(data, where)
            elif isinstance(data.get("id"), str) and isinstance(data.get("messages"), list):
                self._rows[data["id"]] = at
                by_content.setdefault(conversation_key(data["messages"]), at)
            else:
                raise InputError("'id' or 'messages' is missing: this is not a row of a run", field=where)
        self._rows = {**by_content, **self._rows}

    def __getitem__(self, key: str) -> Mapping[str, tuple[Candidate, ...]]:
        with self._path.open("rb") as file:
            file.seek(self._rows[key])
            data = object_of(file.readline(), self._path.name)
        where = f"{self._path.name}, id {data['id']!r}"
        return {member: answers_from(member, found, where) for member, found in data.get("answers", {}).items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _lacking(error: MemberError) -> Candidate:
    return Candidate(error.member, cost=0.0, failure=error)


def _without(preamble: Sequence[Message], messages: Conversation) -> Conversation:
    """Take a member's own messages out again: rows hold the conversation as it was asked."""
    size = len(preamble)
    for start in range(len(messages) - size + 1) if size else ():
        if list(messages[start : start + size]) == list(preamble):
            return messages[:start] + messages[start + size :]
    return messages


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
        tokens=candidate.tokens,
    )


def conversation_key(messages: Sequence[Message]) -> str:
    """Return a short digest of a conversation's content.

    >>> len(conversation_key(({"role": "user", "content": "2+2?"},)))
    32
    """
    plain: list[dict[str, Any]] = [dict(message) for message in messages]
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
