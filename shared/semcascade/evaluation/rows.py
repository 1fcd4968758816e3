"""Recorded rows: what many systems answered to one question, and how good each answer was.

One JSON object a line: `{id, task, input, outputs: {system: text}, scores: {system: 0..1}}`; optional are
`instruction`, `tools`, `calls: {system: [{name, arguments}]}`, `tokens: {system: [in, out]}`,
`latency_s: {system: seconds}`. Higher scores are better.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcascade.errors import InputError
from semcascade.messages import Candidate, Conversation, ToolCall, Usage

__all__ = ["Row", "read_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One question with the recorded answers.

    Attributes:
        id: Unique within its file.
        task: What kind of question it is.
        messages: The question as a conversation.
        tools: The tools that could be called, in OpenAI's shape.
        answers: Each system's answer.
        scores: Each system's quality, 0 to 1.
    """

    id: str
    task: str
    messages: Conversation
    tools: tuple[Mapping[str, Any], ...]
    answers: Mapping[str, Candidate]
    scores: Mapping[str, float]


def read_rows(path: str | Path) -> Iterator[Row]:
    """Read rows from a JSONL file, one at a time.

    Raises:
        InputError: If the file cannot be read or a row is not of this form; its `field` names file and line.
    """
    path = Path(path)
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                row = _row(line, f"{path.name}:{number}")
                if row.id in seen:
                    raise InputError(f"the id {row.id!r} stands in an earlier row too", field=f"{path.name}:{number}")
                seen.add(row.id)
                yield row
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", field="data") from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error.reason} at byte {error.start}", field=path.name) from None


def _row(line: str, where: str) -> Row:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", field=where) from None
    if not isinstance(data, dict):
        raise InputError(f"expected an object, got a {type(data).__name__}", field=where)
    for key, kind in (("id", str), ("input", str), ("outputs", dict), ("scores", dict)):
        if not isinstance(data.get(key), kind):
            raise InputError(f"{key!r} is missing or not a {kind.__name__}", field=where)
    parts = [data["instruction"]] if data.get("instruction") else []
    return Row(
        id=data["id"],
        task=str(data.get("task", "")),
        messages=({"role": "user", "content": "\n\n".join([*parts, data["input"]])},),
        tools=tuple({"type": "function", "function": tool} for tool in data.get("tools") or ()),
        answers={system: _answer(system, text, data) for system, text in data["outputs"].items()},
        scores={system: _quality(system, score, where) for system, score in data["scores"].items()},
    )


def _answer(system: str, text: object, data: Mapping[str, Any]) -> Candidate:
    calls = (data.get("calls") or {}).get(system) or ()
    tokens = (data.get("tokens") or {}).get(system)
    return Candidate(
        member=system,
        text="" if calls else str(text or ""),
        tool_calls=tuple(ToolCall(call["name"], json.dumps(call["arguments"])) for call in calls),
        finish_reason="tool_calls" if calls else "stop",
        usage=Usage(*tokens) if tokens else None,
        latency_s=float((data.get("latency_s") or {}).get(system) or 0.0),
    )


def _quality(system: str, score: object, where: str) -> float:
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise InputError(f"the score of {system!r} is not a number: {score!r}", field=where)
    if not 0 <= score <= 1:
        raise InputError(f"the score of {system!r} is {score}, outside 0 to 1", field=where)
    return float(score)
