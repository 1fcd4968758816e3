"""Scoring the rows of a file, or rows at hand; `semcascade.evaluation.quality` has the ways to do it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from semcascade.decision import money, total_cost
from semcascade.engine.loop import EngineLoop
from semcascade.errors import InputError
from semcascade.evaluation.quality import Judgement, Marks, Quality, Scores, quality_by
from semcascade.evaluation.rows import Row, read_entries, read_rows
from semcascade.files import append_line, drop_broken_line, locked, replacing
from semcascade.run_form import Object, json_line, read_header, read_objects
from semcascade.similarity import answer_text

__all__ = ["Scoring", "score_file", "score_rows"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scoring:
    """What became of a file.

    Attributes:
        by: How it was scored.
        rows: How many rows there are.
        scored: How many of them have scores now.
        why_not: Why the first of the others has none.
        calls: Paid requests that it took, earlier ones that were taken over left out.
        cost: US dollars for them, or None where unknown.
    """

    by: str
    rows: int = 0
    scored: int = 0
    why_not: str = ""
    calls: int = 0
    cost: float | None = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        text = f"{self.scored} of {self.rows} rows scored by {self.by}"
        if self.calls:
            text += f", {self.calls} calls, {money(self.cost)}"
        return f"{text}; the first without: {self.why_not}" if self.why_not else text

    def after(self, row: Row, marks: Marks) -> Scoring:
        """Return what it is with one more row."""
        first = self.why_not or ("" if marks.scores else f"{row.where or row.id}: {marks.why}")
        return dataclasses.replace(
            self,
            rows=self.rows + 1,
            scored=self.scored + (marks.scores is not None),
            why_not=first,
            calls=self.calls + sum(call.calls for call in marks.paid),
            cost=total_cost([self.cost, *(call.cost for call in marks.paid)]),
        )


def score_rows(
    rows: Iterable[Row],
    by: str | Judgement | Quality,
    *,
    target: str | None = None,
    concurrency: int = 8,
    skipped: Callable[[str], None] = _log.warning,
) -> list[Row]:
    """Return the rows with scores made one way; earlier ones go.

    Args:
        rows: The rows.
        by: How; see `semcascade.evaluation.quality`.
        target: Name of the target, where the way needs one.
        concurrency: Rows under way at once.
        skipped: Is told how many rows have no scores, and why the first has none.

    Raises:
        ConfigError: If there is no such way.
        InputError: If no row can be scored, or a function returns no quality.
        MemberError: If the judge is sure to fail.

    >>> from semcascade import Candidate
    >>> asked = ({"role": "user", "content": "2+2?"},)
    >>> row = Row("1", "", asked, (), {"a": Candidate("a", "Four.")}, {}, references=("4",))
    >>> score_rows([row], by="exact")[0].scores
    {'a': 1.0}
    """
    quality = quality_by(by, target=target)
    scoring, found = Scoring(quality.name), []

    async def work() -> None:
        nonlocal scoring
        async for row, marks in _marked(iter(rows), quality, {}, concurrency):
            scoring = scoring.after(row, marks)
            found.append(_scored(row, marks))

    EngineLoop.shared().run(work())
    _state(scoring, skipped)
    return found


def score_file(
    path: str | Path,
    by: str | Judgement | Quality,
    out: str | Path,
    *,
    target: str | None = None,
    concurrency: int = 8,
    skipped: Callable[[str], None] = _log.warning,
    progress: Callable[[Scoring], None] | None = None,
) -> Scoring:
    """Score the rows of a file, one at a time, and write the file anew; it may take its own place.

    What a judge said is kept beside the new file while it is under way, so that a stopped or killed scoring goes on by
    the same call and pays for nothing twice.

    Args:
        path: A run, or recorded rows.
        by: How; see `semcascade.evaluation.quality`.
        out: The new file.
        target: Name of the target, where the way needs one; a run's own unless given.
        concurrency: Rows under way at once.
        skipped: Is told what was left out, and why.
        progress: Is told how far it is after each row, on another thread.

    Raises:
        ConfigError: If there is no such way.
        InputError: If a file cannot be read or written, no row can be scored, or a function returns no quality.
        MemberError: If the judge is sure to fail.
    """
    path, out = Path(path), Path(out)
    header = read_header(path)
    quality = quality_by(by, target=target or (header.target if header else None))
    quality.prepare()
    scoring = Scoring(quality.name)
    try:
        with _Kept(out, quality) as kept, replacing(out) as file:

            async def work() -> None:
                nonlocal scoring
                lines: deque[Object] = deque()
                rows = _rows(path, lines, skipped)
                async for row, marks in _marked(rows, quality, kept.known, concurrency, kept.keep):
                    scoring = scoring.after(row, marks)
                    _write(file, lines, marks, quality.name)
                    if progress is not None:
                        progress(scoring)
                _write_headers(file, lines, quality.name)

            EngineLoop.shared().run(work())
            _state(scoring, skipped)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}", field="out") from error
    return scoring


def _rows(path: Path, lines: deque[Object], skipped: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of a file, and put all its lines where they are written from."""
    for row, data in read_entries(path, skipped=skipped):
        lines.append(data)
        if row is not None:
            yield row


async def _marked(
    rows: Iterator[Row],
    quality: Quality,
    known: Mapping[str, Scores],
    concurrency: int,
    keep: Callable[[Row, Marks], None] = lambda row, marks: None,
) -> AsyncIterator[tuple[Row, Marks]]:
    """Yield every row with its marks, in order, some under way at once."""

    async def one(row: Row) -> Marks:
        found = known.get(_digest(row)) if known else None
        if found is not None:
            return Marks(found)
        marks = await quality.marks(row)
        keep(row, marks)
        return marks

    waiting: deque[tuple[Row, asyncio.Task[Marks]]] = deque()
    try:
        for row in rows:
            waiting.append((row, asyncio.create_task(one(row))))
            if len(waiting) >= concurrency:
                first, task = waiting.popleft()
                yield first, await task
        while waiting:
            first, task = waiting.popleft()
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


def _scored(row: Row, marks: Marks) -> Row:
    scores = marks.scores or {}
    return dataclasses.replace(
        row,
        scores={system: found[0] for system, found in scores.items()},
        sample_scores={system: found for system, found in scores.items() if len(found) > 1},
    )


def _write(file: BinaryIO, lines: deque[Object], marks: Marks, by: str) -> None:
    _write_headers(file, lines, by)
    data = lines.popleft()
    data.pop("scores", None)
    if marks.scores is not None:
        data["scores"] = {system: found[0] if len(found) == 1 else found for system, found in marks.scores.items()}
    file.write(json_line(data))


def _write_headers(file: BinaryIO, lines: deque[Object], by: str) -> None:
    while lines and "semcascade_run" in lines[0]:
        file.write(json_line({**lines.popleft(), "quality": by}))


def _state(scoring: Scoring, skipped: Callable[[str], None]) -> None:
    """Say which rows have no scores.

    Raises:
        InputError: If none has.
    """
    if not scoring.scored:
        why = f"no row can be scored by {scoring.by} ({scoring.why_not})" if scoring.rows else "there are no rows"
        raise InputError(why, field="data")
    if scoring.scored < scoring.rows:
        missing = scoring.rows - scoring.scored
        skipped(f"{missing} of {scoring.rows} rows have no scores; the first: {scoring.why_not}")


def _digest(row: Row) -> str:
    """Name a row by what a judge is shown of it."""
    shown = [row.id, list(row.messages), {name: list(map(answer_text, row.all_answers(name))) for name in row.answers}]
    return hashlib.blake2b(json.dumps(shown, default=str, sort_keys=True).encode(), digest_size=16).hexdigest()


class _Kept:
    """Scores that were paid for: those in the file that is to be written anew, and those beside it.

    Attributes:
        known: Scores by `_digest`.
    """

    def __init__(self, out: Path, quality: Quality) -> None:
        self._out, self._side, self._by = out, out.with_name(out.name + ".scores"), quality.name
        self._paid, self._held = quality.paid, ExitStack()
        self.known: dict[str, Scores] = {}

    def __enter__(self) -> Self:
        if not self._paid:
            return self
        try:
            self._file = self._held.enter_context(self._side.open("a+b", buffering=0))
            self._held.enter_context(locked(self._file, wait=False))
        except BlockingIOError:
            self._held.close()
            raise InputError("another scoring is writing this file", field=str(self._out)) from None
        drop_broken_line(self._file)
        header = read_header(self._out) if self._out.exists() else None
        if header is not None and header.quality == self._by:
            for row in read_rows(self._out):
                if row.scores:
                    self.known[_digest(row)] = {name: row.all_scores(name) for name in row.scores}
        for where, data in read_objects(self._side):
            if data.get("by") == self._by:
                self.known[data["digest"]] = {name: tuple(found) for name, found in data["scores"].items()}
            else:
                message = f"holds what {data.get('by')!r} said; finish that scoring first, or take the file away"
                raise InputError(message, field=where)
        return self

    def keep(self, row: Row, marks: Marks) -> None:
        """Write down what was paid for."""
        if self._paid and marks.scores is not None:
            entry = {"by": self._by, "digest": _digest(row), "scores": dict(marks.scores)}
            append_line(self._file, json_line(entry))

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._paid and kind is None:
            self._side.unlink(missing_ok=True)
        self._held.close()
