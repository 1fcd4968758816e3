"""Logging decisions, and auditing some of them, behind the back of whoever waits for an answer.

Rows are made and written by a thread of their own, so that neither the event loop nor a caller ever waits for a disk.
Each row is appended as a whole under the file's lock, by whichever process; the file is opened for each, so that it
may be rotated. A row that cannot be written, and one that its redactor fails on, is left out and told of in the
program's log: answers matter more than their record, and what was not redacted must not be written.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from semcascade.config import CascadeConfig
from semcascade.decision import Decision
from semcascade.decision_log import DecisionLog
from semcascade.deferral.losses import Yardstick
from semcascade.deferral.policy import Policy
from semcascade.engine.ledger import Ledger
from semcascade.engine.query import Inquiry, Plan
from semcascade.errors import ConfigError, SemcascadeError
from semcascade.files import append_line, drop_broken_line, locked
from semcascade.locks import ForkLock
from semcascade.messages import Candidate, Request
from semcascade.run_form import Header, Object, answer_to, json_line
from semcascade.similarity import Query, acompare, get_similarity

__all__ = ["Chronicle"]

_log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
"""Rows that wait to be written; more are left out, for they would fill the memory."""

Making: TypeAlias = Callable[[], Object]

_CLOSING_S = 5.0
"""Seconds that closing waits for audits under way."""


class Chronicle:
    """Writes down the decisions of a cascade, and asks the target all the same for some.

    Args:
        settings: Where and how.
        plan: What all queries of the cascade share.
        ledger: Is charged for audits.
        policy: The policy that decides, if any.

    Raises:
        ConfigError: If the file cannot be there.
    """

    def __init__(self, settings: DecisionLog, plan: Plan, ledger: Ledger, policy: Policy | None = None) -> None:
        self._settings, self._plan, self._ledger = settings, plan, ledger
        self._policy, self._yardstick = policy.digest if policy else "", Yardstick.of(policy)
        self._names = [tier.name for tier in plan.config.tiers]
        self._writer = _Writer(settings, plan.config)
        self._audits: set[asyncio.Task[None]] = set()

    def take(self, request: Request, decision: Decision) -> None:
        """Take note of a decision, on the engine's loop; what is to be done about it is done later."""
        row_id = uuid.uuid4().hex
        if decision.accepted and decision.member and self._chosen(row_id):
            task = asyncio.get_running_loop().create_task(self._audit(row_id, request, decision))
            self._audits.add(task)
            task.add_done_callback(self._audits.discard)
        else:
            self._write(row_id, request, decision)

    async def drain(self) -> None:
        """Wait for audits under way, for a while, and until all rows are written."""
        if self._audits:
            await asyncio.wait(self._audits, timeout=_CLOSING_S)
        for task in set(self._audits):
            task.cancel()
        await asyncio.gather(*self._audits, return_exceptions=True)
        await asyncio.to_thread(self._writer.flush)

    def _chosen(self, row_id: str) -> bool:
        """Choose queries by their ids, so that the log itself shows which were to be audited."""
        digest = hashlib.blake2b(f"{self._settings.seed}:{row_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self._settings.shadow * 2**64

    async def _audit(self, row_id: str, request: Request, decision: Decision) -> None:
        """Ask the target what it would have said, and how unlike it is to what was returned."""
        audit: dict[str, Any] = {"share": self._settings.shadow}
        answers: Sequence[Candidate] = ()
        try:
            inquiry = Inquiry(self._plan, request)
            own = await inquiry.ask(inquiry.target, request)
            answers = [own]
            if own.ok:
                audit |= await self._loss(request, decision, own)
            self._ledger.add_shadow(own, self._yardstick.of_unlikeness(audit["loss"]) if "loss" in audit else None)
        except SemcascadeError as error:
            _log.warning("an audit failed: %s", error)
        finally:
            self._write(row_id, request, decision, answers, audit)

    async def _loss(self, request: Request, decision: Decision, own: Candidate) -> dict[str, Any]:
        tier = next(tier for tier in decision.tiers if tier.accepted and tier.chosen is not None)
        assert tier.chosen is not None  # noqa: S101 - chosen so above
        similarity = self._plan.scorers[self._names.index(tier.name)].similarity
        if similarity.remote:  # it would cost more than the audit itself
            similarity = get_similarity("auto")
        compared = await acompare(similarity, Query.of(request), [tier.candidates[tier.chosen], own])
        return {"loss": 1.0 - float(compared.matrix[0, 1]), "by": f"target:{similarity.name}"}

    def _write(
        self,
        row_id: str,
        request: Request,
        decision: Decision,
        answers: Sequence[Candidate] = (),
        audit: Mapping[str, Any] | None = None,
    ) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = {"id": row_id, "time": now}
        told = {key: value for key, value in (("policy", self._policy), ("audit", audit)) if value}
        self._writer.submit(
            lambda: {**about, **_row(request, decision, answers), "decision": {**_told(decision, self._names), **told}}
        )


def _row(request: Request, decision: Decision, more: Sequence[Candidate]) -> Object:
    answers: dict[str, list[Object]] = {}
    for candidate in (*(candidate for tier in decision.tiers for candidate in tier.candidates), *more):
        answers.setdefault(candidate.member, []).append(answer_to(candidate))
    row: Object = {"messages": [dict(message) for message in request.messages]}
    if request.tools:
        row["tools"] = [dict(tool) for tool in request.tools]
    if request.response_format:
        row["response_format"] = dict(request.response_format)
    return {**row, "answers": {name: found if len(found) > 1 else found[0] for name, found in answers.items()}}


def _told(decision: Decision, names: Sequence[str]) -> Object:
    """Return the decision without its answers, each tier with its place in the cascade: a query may begin at any."""
    told = {key: value for key, value in decision.to_dict().items() if key != "candidates"}
    places = {name: place for place, name in enumerate(names)}
    if decision.route is not None:
        told["route"]["indices"] = [places[name] for name in decision.route.skipped if name in places]
    return {**told, "tiers": [{**tier, "index": places.get(tier["tier"])} for tier in told["tiers"]]}


class _Writer:
    """Appends rows in a thread of its own.

    Raises:
        ConfigError: If the file cannot be there.
    """

    def __init__(self, settings: DecisionLog, config: CascadeConfig) -> None:
        self._path, self._redact = Path(settings.path), settings.redact
        self._header = json_line(Header.of(config, kind="log").to_dict())
        self._lock, self._pid = ForkLock(), 0
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None
        self._waiting = 0
        folder = self._path.parent
        if not folder.is_dir() or not os.access(self._path if self._path.exists() else folder, os.W_OK):
            raise ConfigError(f"{self._path} cannot be written; is there a folder {folder}?", field="log.path")

    def submit(self, make: Making) -> None:
        """Have a row made, redacted and written; never waits."""
        with self._lock:
            if self._thread is None or self._pid != os.getpid():
                self._thread, self._pid, self._waiting = ThreadPoolExecutor(1, "semcascade-log"), os.getpid(), 0
            if self._waiting >= _MOST_WAITING:
                _log.warning("a decision was not logged: %d wait to be written", self._waiting)
                return
            self._waiting += 1
            with suppress(RuntimeError):  # the interpreter ends
                self._last = self._thread.submit(self._work, make)
                return
        self._work(make)

    def flush(self) -> None:
        """Wait until all rows so far are written."""
        with self._lock:
            last = self._last if self._pid == os.getpid() else None
        if last is not None:
            last.result()

    def _work(self, make: Making) -> None:
        try:
            row: Object | None = make()
            if self._redact is not None and row is not None:
                row = self._redact(row)
            if row is not None:
                self._append(json_line(row))
        except OSError as error:
            _log.warning("a decision was not logged: cannot write %s: %s", self._path, error.strerror or error)
        except Exception as error:  # noqa: BLE001 - a redactor may raise anything, and the thread must live on
            _log.warning("a decision was not logged: %s", type(error).__name__)
        finally:
            with self._lock:
                self._waiting -= 1

    def _append(self, line: bytes) -> None:
        private = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)  # it holds what users ask
        with os.fdopen(private, "a+b", buffering=0) as file, locked(file):
            drop_broken_line(file)
            if file.tell() == 0:
                append_line(file, self._header)
            append_line(file, line)
