"""Rows: one question each, with what many systems answered to it and how good each answer was.

`read_rows` reads two kinds of files, JSONL or Parquet, one object a line or record, one row at a time:

- recorded rows: `{id, task, input, outputs: {system: text}, scores: {system: 0..1}}`; optional are `instruction`,
  `reference`, `tools`, `calls: {system: [{name, arguments}]}`, `tokens: {system: [in, out]}`,
  `latency_s: {system: seconds}`;
- runs, and logs of production decisions: see `semcascade.run_form`.

Higher scores are better. `scores` may be missing, in whole or for some systems: `semcascade.evaluation.quality` makes
them. In a log, only the systems that were asked have answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from semcascade.errors import InputError
from semcascade.evaluation.parquet import is_parquet, read_records
from semcascade.messages import Candidate, Conversation, ToolCall, Usage, as_conversation
from semcascade.run_form import Header, Object, amount_of, answers_from, read_objects, shortened, texts

__all__ = ["Row", "complete_rows", "read_rows"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One question with the recorded answers.

    Attributes:
        id: Unique within its file.
        task: What kind of question it is.
        messages: The question as a conversation.
        tools: The tools that could be called, in OpenAI's shape.
        answers: Each system's answer, the first where it gave several; costs, latency and tokens stand in them, and
            failures are answers whose `ok` is False.
        scores: Each system's quality, 0 to 1, of that answer; empty or with gaps where the row is not labelled.
        response_format: OpenAI's `response_format`, where structured output was asked for.
        references: Right answers, any of which will do; empty where none is known.
        samples: All answers of the systems that gave several.
        sample_scores: Quality of each of them, where they are labelled.
        decision: What a cascade decided, in a log of production decisions (`Decision.to_dict` without answers).
        where: File and line, for messages.
    """

    id: str
    task: str
    messages: Conversation
    tools: tuple[Mapping[str, Any], ...]
    answers: Mapping[str, Candidate]
    scores: Mapping[str, float]
    response_format: Mapping[str, Any] | None = None
    references: tuple[str, ...] = ()
    samples: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)
    sample_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    decision: Mapping[str, Any] | None = None
    where: str = ""

    @property
    def reference(self) -> str | None:
        """The first right answer, or None."""
        return self.references[0] if self.references else None

    def all_answers(self, system: str) -> tuple[Candidate, ...]:
        """Return every answer of a system, one or its samples; empty where it gave none."""
        if system in self.samples:
            return self.samples[system]
        return (self.answers[system],) if system in self.answers else ()

    def all_scores(self, system: str) -> tuple[float, ...]:
        """Return the quality of each of `all_answers`; empty where they are not labelled."""
        if system in self.sample_scores:
            return self.sample_scores[system]
        return (self.scores[system],) if system in self.scores and system not in self.samples else ()


def read_rows(path: str | Path, *, skipped: Callable[[str], None] = _log.warning) -> Iterator[Row]:
    """Read rows from a JSONL or Parquet file, one at a time: recorded rows, a run, or a log.

    Args:
        path: The file.
        skipped: Is told what was left out and why: the last line of a file that a killed process left broken off.

    Raises:
        InputError: If the file cannot be read or a row is not of either form; its `field` names file and line.
    """
    for row, _ in read_entries(path, skipped=skipped):
        if row is not None:
            yield row


def read_entries(
    path: str | Path, *, skipped: Callable[[str], None] = _log.warning
) -> Iterator[tuple[Row | None, Object]]:
    """Do the same as `read_rows`, and give each line as it stands, too; a header's row is None."""
    seen: set[str] = set()
    run = False
    for where, data in read_records(path) if is_parquet(path) else read_objects(path, skipped=skipped):
        if "semcascade_run" in data:
            Header.read(data, where)
            run = True
            yield None, data
            continue
        row = _run_row(data, where) if "outputs" not in data and (run or "messages" in data) else _row(data, where)
        if row.id in seen:
            raise InputError(f"the id {row.id!r} stands in an earlier row too", field=where)
        seen.add(row.id)
        yield row, data


def complete_rows(
    rows: Iterable[Row],
    systems: Sequence[str],
    *,
    scored: bool = False,
    skipped: Callable[[str], None] = _log.warning,
) -> Iterator[Row]:
    """Yield the rows that hold an answer of every system, e.g. of a recording that stopped half-way.

    Args:
        rows: The rows.
        systems: Who must have answered; a recorded failure counts as an answer.
        scored: Whether each of these answers must have a score, too.
        skipped: Is told, once at the end, how many rows were left out, and which system was missing first.

    Raises:
        InputError: If no row is left.
    """
    kept, left_out, first = 0, 0, ""
    for row in rows:
        lacks = next((_lacking(system, row) for system in systems if system not in row.answers), None)
        if lacks is None and scored:
            lacks = next((f"no score of {system!r}" for system in systems if system not in row.scores), None)
        if lacks is None:
            kept += 1
            yield row
        else:
            left_out += 1
            first = first or f"{row.where or row.id}: {lacks}"
    if not kept:
        raise InputError(f"no row is complete ({first})" if left_out else "there are no rows", field="data")
    if left_out:
        skipped(f"{left_out} of {kept + left_out} rows are not complete and left out; the first is {first}")


def _lacking(system: str, row: Row) -> str:
    close = get_close_matches(system, row.answers, n=1, cutoff=0.4)
    return f"no answer of {system!r}" + (f" (is it {close[0]!r}?)" if close else "")


# --- the run form


def _run_row(data: Object, where: str) -> Row:
    for key, kind in (("id", str), ("messages", list), ("answers", dict)):
        if not isinstance(data.get(key), kind):
            raise InputError(f"{key!r} is missing or not a {kind.__name__}", field=where)
    scores = {system: _qualities(system, score, where) for system, score in mapping_of(data, "scores", where).items()}
    answers = {system: answers_from(system, answer, where) for system, answer in data["answers"].items()}
    for system, qualities in scores.items():
        if len(qualities) not in (1, len(answers.get(system, qualities))):
            raise InputError(f"{len(answers[system])} answers of {system!r} have {len(qualities)} scores", field=where)
    decision = data.get("decision")
    return Row(
        id=data["id"],
        task=str(data.get("task") or ""),
        messages=conversation_of(data["messages"], where),
        tools=tools_of(data, where),
        answers={system: found[0] for system, found in answers.items()},
        scores={system: found[0] for system, found in scores.items()},
        response_format=mapping_of(data, "response_format", where) or None,
        references=references_of(data, where),
        samples={system: found for system, found in answers.items() if len(found) > 1},
        sample_scores={system: found for system, found in scores.items() if len(found) > 1},
        decision=decision if isinstance(decision, dict) else None,
        where=where,
    )


def conversation_of(messages: Any, where: str) -> Conversation:
    """Return messages, or a text, as a conversation.

    Raises:
        InputError: If they are none; its `field` names the place.
    """
    try:
        return as_conversation(messages)
    except InputError as error:
        raise InputError(str(error).replace("prompt", "messages", 1), field=where) from None


def _qualities(system: str, score: object, where: str) -> tuple[float, ...]:
    if not isinstance(score, list):
        return (_quality(system, score, where),)
    if not score:
        raise InputError(f"the list of scores of {system!r} is empty", field=where)
    return tuple(_quality(system, each, where) for each in score)


# --- recorded rows


def _row(data: Object, where: str) -> Row:
    for key, kind in (("id", str), ("input", str), ("outputs", dict)):
        if not isinstance(data.get(key), kind):
            raise InputError(f"{key!r} is missing or not a {kind.__name__}", field=where)
    instruction = data.get("instruction")
    if not isinstance(instruction, str | None):
        raise InputError("'instruction' is not a text", field=where)
    parts = [instruction] if instruction else []
    return Row(
        id=data["id"],
        task=str(data.get("task") or ""),
        messages=({"role": "user", "content": "\n\n".join([*parts, data["input"]])},),
        tools=tools_of(data, where),
        answers={system: _answer(system, text, data, where) for system, text in data["outputs"].items()},
        scores={system: _quality(system, score, where) for system, score in mapping_of(data, "scores", where).items()},
        references=references_of(data, where),
        where=where,
    )


def _answer(system: str, text: object, data: Mapping[str, Any], where: str) -> Candidate:
    if not isinstance(text, str | None):
        raise InputError(f"the output of {system!r} is a {type(text).__name__}, not a text", field=where)
    try:
        calls = (data.get("calls") or {}).get(system) or ()
        tokens = (data.get("tokens") or {}).get(system)
        return Candidate(
            member=system,
            text="" if calls else text or "",
            tool_calls=tuple(ToolCall(call["name"], json.dumps(call["arguments"])) for call in calls),
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(*(int(amount_of(count)) for count in tokens)) if tokens else None,
            latency_s=amount_of((data.get("latency_s") or {}).get(system) or 0.0),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        wrong = f"calls, tokens or latency_s of {system!r} are not of the form of recorded rows: {error!r}"
        raise InputError(wrong, field=where) from None


def _quality(system: str, score: object, where: str) -> float:
    if not isinstance(score, int | float) or isinstance(score, bool) or score != score:
        raise InputError(f"the score of {system!r} is not a number: {shortened(score)}", field=where)
    if not 0 <= score <= 1:
        raise InputError(f"the score of {system!r} is {shortened(score)}, outside 0 to 1", field=where)
    return float(score)


# --- what both have


def references_of(data: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the right answers that a row or prompt names; a number stands for how it is written.

    Raises:
        InputError: If `reference` is neither a text or number nor a list of these.
    """
    given = data.get("reference")
    found = texts([_written(one) for one in given] if isinstance(given, list) else _written(given))
    if found is None:
        raise InputError("'reference' is neither a text or number nor a list of these", field=where)
    return tuple(found)


def _written(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(value) if number else value


def tools_of(data: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...]:
    """Return the tools of a row or prompt in OpenAI's shape.

    Raises:
        InputError: If they are no list of mappings.
    """
    tools = data.get("tools") or ()
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, dict) for tool in tools):
        raise InputError("'tools' is not a list of tools", field=where)
    return tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in tools)


def mapping_of(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """Return a field that is a mapping, empty where it is missing.

    Raises:
        InputError: If it is something else.
    """
    value = data.get(key)
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{key!r} is not a mapping", field=where)
    return value or {}
