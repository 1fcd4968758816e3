"""What a recording keeps while it is under way, so that nothing that was paid for is lost or paid for twice.

Beside the run stands its journal, to which each answer is appended the moment it comes; at the end, however it ends,
both become the new run, which replaces the old one as a whole. A killed process leaves the journal behind, and the
next recording goes on from it.

An answer is with the operating system when the next one is asked for: a killed process loses none. It is flushed to
the disk (fsync) once a second and at the end: a power cut loses what came within the last second.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from semcascade.errors import InputError
from semcascade.evaluation.prompts import content_key
from semcascade.files import append_line, drop_broken_line, locked, replacing
from semcascade.messages import Candidate
from semcascade.run_form import Header, Object, answer_from, answer_to, journal_of, json_line, object_of, read_lines

__all__ = ["Journal"]

_FLUSH_S = 1.0

_DEPENDS_ON = ("model", "transport", "api_base", "preamble", "params")
"""The settings of a member that its answers depend on."""


class Journal:
    """All that is known of a run: what its file holds, and what its journal adds.

    Args:
        path: The run.
        header: Who is asked now.

    Raises:
        InputError: If the run cannot be read or written, another recording is writing it, or a member of it was asked
            with other settings than now.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path, self._side = path, journal_of(path)
        self._in_run: dict[str, int] = {}
        self._in_journal: dict[str, list[int]] = {}
        self._guard, self._held = threading.Lock(), ExitStack()
        self._flushed = time.monotonic()
        self.header = header
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._held.enter_context(self._side.open("a+b", buffering=0))
            self._held.enter_context(locked(self._file, wait=False))
            self._refuse_orphan()
            drop_broken_line(self._file)
            self._index()
        except BlockingIOError:
            self._held.close()
            raise InputError("another recording is writing this run", field=str(path)) from None
        except OSError as error:
            self._held.close()
            raise InputError(f"cannot write {self._side}: {error.strerror or error}", field="out") from error
        except BaseException:
            if os.fstat(self._file.fileno()).st_size == 0:  # it was made just now, and holds nothing
                self._side.unlink()
            self._held.close()
            raise

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._in_run, *self._in_journal]))

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._in_run or row_id in self._in_journal

    def row(self, row_id: str) -> Object:
        """Return a row as far as it is known, as plain data; empty where it is not known at all."""
        data: Object = {}
        if row_id in self._in_run:
            with self._path.open("rb") as file:
                file.seek(self._in_run[row_id])
                data = object_of(file.readline(), self._path.name)
        for entry in self._entries(row_id):
            if "prompt" in entry:
                data = {**data, **entry["prompt"]}
            else:
                _put(data, entry["member"], entry["sample"], entry["answer"])
        return data

    def known(self, row_id: str) -> dict[tuple[str, int], Candidate]:
        """Return the answers to a prompt, by member and sample; failures are answers."""
        answers = self.row(row_id).get("answers", {})
        where = f"{self._path.name}, id {row_id!r}"
        return {
            (member, sample): answer_from(member, answer, where)
            for member, found in answers.items()
            for sample, answer in enumerate(_listed(found))
            if answer is not None
        }

    def begin(self, prompt: Mapping[str, Any]) -> None:
        """Note what is asked, before it is.

        Raises:
            InputError: If the journal cannot be written.
        """
        row_id = prompt["id"]
        if row_id not in self._in_journal:
            self._append(row_id, {"prompt": prompt})

    def check(self, prompt: Mapping[str, Any], where: str) -> None:
        """Refuse a prompt whose id stands for another one in the run.

        Raises:
            InputError: If it does.
        """
        if prompt["id"] in self and content_key(self.row(prompt["id"])) != content_key(prompt):
            message = (
                f"{self._path.name} holds another prompt under the id {prompt['id']!r}; use another file for the run"
            )
            raise InputError(message, field=where)

    def keep(self, row_id: str, sample: int, answer: Candidate) -> None:
        """Append an answer.

        Raises:
            InputError: If the journal cannot be written.
        """
        self._append(row_id, {"id": row_id, "member": answer.member, "sample": sample, "answer": answer_to(answer)})

    def finish(self, order: Iterable[str]) -> None:
        """Make the run of all that is known, rows in this order and others behind them, and let the journal go."""
        with self._guard:
            os.fsync(self._file.fileno())
            ids = dict.fromkeys(row_id for row_id in order if row_id in self)
            ids |= dict.fromkeys(self)
            with replacing(self._path) as file:
                file.write(json_line(self.header.to_dict()))
                for row_id in ids:
                    row = self.row(row_id)
                    if row.get("answers"):
                        file.write(json_line(row))
            self._side.unlink()
            self._held.close()

    def close(self) -> None:
        """Let go of the file; the journal stays for the next recording, if there is anything in it."""
        if not self._file.closed and not self._in_journal:
            self._side.unlink(missing_ok=True)
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _append(self, row_id: str, entry: Mapping[str, Any]) -> None:
        with self._guard:
            try:
                at = append_line(self._file, json_line(entry))
            except OSError as error:
                raise InputError(f"cannot write {self._side}: {error.strerror or error}", field="out") from error
            self._in_journal.setdefault(row_id, []).append(at)
            if time.monotonic() - self._flushed > _FLUSH_S:
                os.fsync(self._file.fileno())
                self._flushed = time.monotonic()

    def _refuse_orphan(self) -> None:
        """Refuse a journal that another recording finished, and took away, while we opened it."""
        if not self._side.exists() or not os.path.samestat(os.fstat(self._file.fileno()), self._side.stat()):
            raise BlockingIOError

    def _entries(self, row_id: str) -> Iterator[Object]:
        if row_id in self._in_journal:
            with self._side.open("rb") as file:
                for at in self._in_journal[row_id]:
                    file.seek(at)
                    yield object_of(file.readline(), self._side.name)

    def _index(self) -> None:
        if self._path.exists():
            for where, at, data in read_lines(self._path):
                if "semcascade_run" in data:
                    self._take(Header.read(data, where), where)
                elif isinstance(data.get("id"), str) and isinstance(data.get("answers"), dict):
                    self._in_run[data["id"]] = at
                else:
                    raise InputError("this is not a row of a run; use another file", field=where)
        for where, at, data in read_lines(self._side):
            if "semcascade_run" in data:
                self._take(Header.read(data, where), where)
                continue
            row_id = data["prompt"].get("id") if isinstance(data.get("prompt"), dict) else data.get("id")
            if not isinstance(row_id, str):
                raise InputError("this is not a line of a journal", field=where)
            self._in_journal.setdefault(row_id, []).append(at)
        append_line(self._file, json_line(self.header.to_dict()))

    def _take(self, earlier: Header, where: str) -> None:
        """Add who was asked before; a member that was asked with other settings is another member."""
        for name, settings in earlier.members.items():
            now = self.header.members.get(name)
            differ = [key for key in _DEPENDS_ON if now is not None and settings.get(key) != now.get(key)]
            if differ:
                message = (
                    f"{name!r} was recorded with other settings ({', '.join(differ)}); give it another name, or the "
                    "run another file"
                )
                raise InputError(message, field=where)
        self.header = dataclasses.replace(
            self.header,
            members={**earlier.members, **self.header.members},
            created=earlier.created or self.header.created,
            quality=earlier.quality,
        )


def _put(data: Object, member: str, sample: int, answer: Object) -> None:
    """Put an answer into a row, null in the place of samples that are missing; scores were of other answers then."""
    answers = data.setdefault("answers", {})
    found = _listed(answers.get(member))
    found += [None] * (sample + 1 - len(found))
    found[sample] = answer
    answers[member] = found if len(found) > 1 else answer
    data.get("scores", {}).pop(member, None)


def _listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list) else [] if found is None else [found]
