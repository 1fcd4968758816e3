"""Prompts to record answers to: JSONL, CSV or Parquet, plain prompts or chat messages with tools.

One row is one prompt. `messages` (OpenAI's shape) or else `input`, `prompt` or `question` (a text, behind
`instruction` where there is one) says what is asked; `id`, `task`, `reference`, `tools` and `response_format` may stand
beside it; other columns are passed over, so that runs and recorded rows serve as prompts, too. In CSV, `messages`,
`tools` and `response_format` are JSON texts.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semcascade.errors import InputError
from semcascade.evaluation.parquet import read_records
from semcascade.evaluation.rows import Row, conversation_of, mapping_of, references_of, tools_of
from semcascade.messages import Conversation
from semcascade.run_form import Object, read_objects, shortened, text_of

__all__ = ["Prompts", "content_key", "prompt_of", "prompt_to", "read_prompts"]

TEXT_COLUMNS = ("input", "prompt", "question")

_JSON_COLUMNS = ("messages", "tools", "response_format")


class Prompts:
    """Prompts that can be gone through again and again: a file, or a list of texts, conversations or mappings.

    Raises:
        InputError: While going through them: if one is wrong, or two have the same id; its `field` names the place.
    """

    def __init__(self, source: str | Path | Iterable[Any], *, limit: int | None = None) -> None:
        self._source = Path(source) if isinstance(source, str | Path) else list(source)
        self._limit = limit

    def __iter__(self) -> Iterator[Row]:
        source = self._source
        rows = read_prompts(source) if isinstance(source, Path) else _numbered(_given(source))
        for count, row in enumerate(rows):
            if self._limit is not None and count >= self._limit:
                return
            yield row


def read_prompts(path: str | Path) -> Iterator[Row]:
    """Read prompts from a file, one at a time; its ending says what it is, JSONL unless .csv, .tsv or .parquet.

    A prompt without an id is known by its content; where it stands twice, the second one has "#2" behind its id.

    Raises:
        InputError: If the file cannot be read, or a prompt is wrong; its `field` names file and line.
        MissingDependencyError: If the file is Parquet and pyarrow is not installed.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
    yield from _numbered(readers.get(path.suffix.lower(), _read_jsonl)(path))


def prompt_of(data: Mapping[str, Any], where: str) -> Row:
    """Return a mapping as a row without answers; its id is "" where none is given.

    Raises:
        InputError: If it does not say what is asked, or a field of it is wrong.
    """
    given = data.get("id")
    if given is not None and (not isinstance(given, str | int) or isinstance(given, bool)):
        raise InputError(f"'id' is neither a text nor a whole number: {given!r}", field=where)
    return Row(
        id="" if given is None else str(given),
        task=str(data.get("task") or ""),
        messages=_asked(data, where),
        tools=tools_of(data, where),
        answers={},
        scores={},
        response_format=mapping_of(data, "response_format", where) or None,
        references=references_of(data, where),
        where=where,
    )


def prompt_to(row: Row) -> Object:
    """Return what a row asks as plain data, without answers."""
    data: Object = {"id": row.id, "messages": [dict(message) for message in row.messages]}
    if row.tools:
        data["tools"] = [dict(tool) for tool in row.tools]
    if row.response_format:
        data["response_format"] = dict(row.response_format)
    if row.references:
        data["reference"] = row.references[0] if len(row.references) == 1 else list(row.references)
    return {**data, **({"task": row.task} if row.task else {})}


def content_key(data: Mapping[str, Any]) -> str:
    """Return a short digest of what is asked: messages, tools and response format.

    >>> content_key({"messages": [], "id": "1"}) == content_key({"messages": [], "id": "2"})
    True
    """
    asked = [data.get("messages"), data.get("tools") or None, data.get("response_format") or None]
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _numbered(rows: Iterable[Row]) -> Iterator[Row]:
    """Give each row without an id one of its own, and refuse an id that stands twice."""
    seen: set[str] = set()
    for row in rows:
        if row.id:
            if row.id in seen:
                raise InputError(f"the id {row.id!r} stands in an earlier prompt too", field=row.where)
        else:
            key, count = content_key(prompt_to(row)), 1
            name = key
            while name in seen:
                count += 1
                name = f"{key}#{count}"
            row = dataclasses.replace(row, id=name)  # noqa: PLW2901
        seen.add(row.id)
        yield row


def _given(items: Sequence[Any]) -> Iterator[Row]:
    for number, item in enumerate(items, start=1):
        where = f"prompts[{number - 1}]"
        if isinstance(item, Row):
            yield item
        elif isinstance(item, Mapping):
            yield prompt_of(item, where)
        else:
            yield prompt_of({"messages" if isinstance(item, list | tuple) else "input": item}, where)


def _asked(data: Mapping[str, Any], where: str) -> Conversation:
    if data.get("messages") is not None:
        return conversation_of(data["messages"], where)
    text = next((data[column] for column in TEXT_COLUMNS if data.get(column) is not None), None)
    if text is None:
        raise InputError(f"there is neither 'messages' nor any of {', '.join(map(repr, TEXT_COLUMNS))}", field=where)
    if not isinstance(text, str):
        raise InputError(f"the prompt is a {type(text).__name__}, not a text", field=where)
    if not text.strip():
        raise InputError("the prompt is empty", field=where)
    instruction = data.get("instruction")
    return conversation_of("\n\n".join([instruction, text] if isinstance(instruction, str) else [text]), where)


# --- files


def _read_jsonl(path: Path) -> Iterator[Row]:
    for where, data in read_objects(path):
        if "semcascade_run" not in data:
            yield prompt_of(data, where)


def _read_csv(path: Path) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    line = 1
    try:
        with path.open("rb") as file:
            reader = csv.reader(_decoded(file, path.name), delimiter=delimiter, strict=True)
            header = next(reader, None)
            if header is None or not {*TEXT_COLUMNS, "messages"} & set(header):
                columns = ", ".join(map(repr, (*TEXT_COLUMNS, "messages")))
                named = f"; it names {', '.join(map(shortened, header[:8]))}" if header else ""
                raise InputError(f"the first line names none of the columns {columns}{named}", field=f"{path.name}:1")
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                raise InputError(f"the first line names the column {twice!r} twice", field=f"{path.name}:1")
            line = reader.line_num + 1
            for cells in reader:
                where, line = f"{path.name}:{line}", reader.line_num + 1
                if cells:
                    yield prompt_of(_record(header, cells, where), where)
    except csv.Error as error:
        hint = "; use JSONL for prompts this long" if "field limit" in str(error) else ""
        raise InputError(f"is not CSV: {error}{hint}", field=f"{path.name}:{line}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", field="prompts") from error


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        yield text_of(line, f"{name}:{number}", first=number == 1)


def _record(header: Sequence[str], cells: Sequence[str], where: str) -> Object:
    if len(cells) != len(header):
        raise InputError(f"has {len(cells)} cells, the first line names {len(header)} columns", field=where)
    data: Object = {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
    for name in _JSON_COLUMNS:
        if name in data:
            try:
                data[name] = json.loads(data[name])
            except (ValueError, RecursionError) as error:
                raise InputError(f"the column {name!r} holds no JSON: {error}", field=where) from None
    return data


def _read_parquet(path: Path) -> Iterator[Row]:
    for where, data in read_records(path, field="prompts"):
        yield prompt_of(data, where)
