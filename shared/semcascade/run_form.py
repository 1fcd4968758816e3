"""The run form: how conversations and all that was answered to them stand in a file.

A run is a JSONL file in UTF-8. `semcascade record` writes it, `RecordedTransport.from_run` replays it, and production
decisions are logged in it. Its first line is the header, every other line is one conversation:

    {"semcascade_run": 1, "kind": "run", "members": {name: settings}, "tiers": [[name, ...], ...], "target": name,
     "created": "2026-11-22T00:00:00+00:00", "library": "0.1.0", "quality": ""}
    {"id": text, "messages": [...], "answers": {name: answer, or [answer, ...] of several samples}, ...}

A line may also hold `tools` and `response_format` (OpenAI's shape), `reference` (a text or several), `task`, `scores`
({name: quality from 0 to 1, or one for each sample}) and, in a log, `decision`. An answer is a mapping of what a
`Candidate` holds, defaults left out; a failure stays a failure, with the class and the text of its error. `members`
holds what may be shown of each member's settings: never a secret.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeAlias

from semcascade import __version__, errors
from semcascade.config import CascadeConfig, Member
from semcascade.errors import InputError, MemberError
from semcascade.messages import Candidate, ToolCall, Usage
from semcascade.redaction import redact, without_secrets

__all__ = [
    "FORMAT", "Header", "Object", "amount_of", "answer_from", "answer_to", "answers_from", "journal_of", "json_line",
    "object_of", "read_header", "read_lines", "read_objects", "shortened", "text_of", "texts",
]  # fmt: skip

FORMAT = 1
"""Version of the run form."""

_ASK_JSONL = "; is this JSONL, one object a line?"

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of one line; more is no row, and would fill the memory."""

LEAST_LOGPROB = -9999.0
"""Stands for the logarithm of 0, which JSON cannot write."""

Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Header:
    """Who answered in a run.

    Attributes:
        members: What may be shown of each member's settings, by its name.
        tiers: Names of each tier's members, in order.
        target: Name of the member that always answers.
        kind: "run", or "log" of production decisions: then not every member answered every row.
        created: When, in ISO 8601.
        library: Version of semcascade that wrote it.
        quality: Where the scores come from: `by` of `semcascade.evaluation.quality`; "" where that is not known.
    """

    members: Mapping[str, Mapping[str, Any]]
    tiers: tuple[tuple[str, ...], ...]
    target: str
    kind: str = "run"
    created: str = ""
    library: str = ""
    quality: str = ""

    @classmethod
    def of(cls, config: CascadeConfig, *, kind: str = "run") -> Self:
        """Return the header of what a cascade's members answer."""
        return cls(
            members={member.name: _shown(member) for member in config.members()},
            tiers=tuple(tuple(member.name for member in tier.members) for tier in config.tiers),
            target=config.tiers[-1].members[0].name,
            kind=kind,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            library=__version__,
        )

    @property
    def ensemble(self) -> tuple[str, ...]:
        """Names of the first tier's members."""
        return self.tiers[0]

    def to_dict(self) -> Object:
        """Return the header as its line says it."""
        return {"semcascade_run": FORMAT, **asdict(self)}

    @classmethod
    def read(cls, data: Mapping[str, Any], where: str) -> Self:
        """Read a header line.

        Raises:
            InputError: If it is not of this form, or of a later version.
        """
        version = data.get("semcascade_run")
        if version != FORMAT:
            raise InputError(f"is of version {version!r} of the run form; this semcascade reads {FORMAT}", field=where)
        members, tiers = data.get("members"), data.get("tiers")
        if not isinstance(members, dict) or not all(isinstance(settings, dict) for settings in members.values()):
            raise InputError("'members' is missing or not a mapping of settings", field=where)
        if not isinstance(tiers, list) or not tiers or not all(_are_names(tier) and tier for tier in tiers):
            raise InputError("'tiers' is missing or not a list of lists of names", field=where)
        target = data.get("target")
        if not isinstance(target, str):
            raise InputError("'target' is missing or not a name", field=where)
        about = {key: str(data.get(key, "")) for key in ("kind", "created", "library", "quality")}
        return cls(members=members, tiers=tuple(tuple(tier) for tier in tiers), target=target, **about)


def read_header(path: str | Path) -> Header | None:
    """Return the header of a run, or None where the file has none (recorded rows, prompts, anything in Parquet).

    Raises:
        InputError: If the file cannot be read, or its first line is a wrong header.
    """
    objects = () if Path(path).suffix.lower() == ".parquet" else read_objects(path)
    for where, data in objects:
        return Header.read(data, where) if "semcascade_run" in data else None
    return None


def _shown(member: Member) -> Object:
    """Return what may be shown of a member's settings, as JSON says it."""
    settings = json.dumps(without_secrets(member.to_dict()), default=str)
    shown: Object = json.loads(redact(settings, member.secrets()))
    return shown


# --- answers


def answer_to(candidate: Candidate) -> Object:
    """Return an answer or failure as plain data; `answer_from` takes it back.

    >>> answer_to(Candidate("a", "4", finish_reason="stop", cost=0.5))
    {'text': '4', 'finish_reason': 'stop', 'cost': 0.5}
    """
    data = {key: value for key in _PLAIN if (value := getattr(candidate, key)) != _PLAIN[key]}
    if candidate.tool_calls:
        data["tool_calls"] = [_call(call) for call in candidate.tool_calls]
    if candidate.usage is not None:
        data["usage"] = {key: value for key, value in asdict(candidate.usage).items() if value}
    if candidate.logprobs is not None:
        data["logprobs"] = [value if math.isfinite(value) else LEAST_LOGPROB for value in candidate.logprobs]
    failure = candidate.failure
    if failure is not None:
        told = {"status": failure.status, "retry_after": failure.retry_after}
        message = str(failure).removeprefix(f"{failure.member}: ")
        data["failure"] = {
            "error": type(failure).__name__,
            "message": message,
            **{key: value for key, value in told.items() if value is not None},
        }
    return data


def _call(call: ToolCall) -> Object:
    return {"name": call.name, "arguments": call.arguments, **({"id": call.id} if call.id else {})}


def answer_from(member: str, data: Any, where: str) -> Candidate:
    """Read one answer of a member.

    Raises:
        InputError: If it is not of this form.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"the answer of {member!r} is a {type(data).__name__}, not a mapping", field=where)
    wrong = next((key for key, kinds in _KINDS.items() if key in data and not _is(data[key], kinds)), None)
    if wrong is not None:
        raise InputError(f"{wrong!r} in the answer of {member!r} is wrong: {shortened(data[wrong])}", field=where)
    try:
        return Candidate(
            member=member,
            **{key: data.get(key, default) for key, default in _PLAIN.items()},
            tool_calls=tuple(_call_from(call) for call in data.get("tool_calls", ())),
            usage=_usage_from(data["usage"]) if data.get("usage") is not None else None,
            logprobs=tuple(map(float, data["logprobs"])) if data.get("logprobs") is not None else None,
            failure=_failure(member, data["failure"]) if data.get("failure") is not None else None,
        )
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"the answer of {member!r} is not of the run form: {error}", field=where) from None


def _call_from(data: Any) -> ToolCall:
    call = ToolCall(**data)
    if not all(isinstance(part, str) for part in (call.name, call.arguments, call.id)):
        raise TypeError("name, arguments and id of a tool call are texts, the arguments a JSON text")
    return call


def _usage_from(data: Mapping[str, Any]) -> Usage:
    usage = Usage(**data)
    for name, tokens in asdict(usage).items():
        if not isinstance(tokens, int):
            raise TypeError(f"{name} is not a whole number: {shortened(tokens)}")
        amount_of(tokens)
    return usage


def amount_of(value: object) -> float:
    """Return a number that is neither negative nor beyond all bounds, as a float.

    Raises:
        ValueError: If it is none.

    >>> amount_of(3)
    3.0
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= sys.float_info.max:  # type: ignore[operator]
        raise ValueError(f"not a number from 0 up: {shortened(value)}")
    return float(value)  # type: ignore[arg-type]


def answers_from(member: str, data: Any, where: str) -> tuple[Candidate, ...]:
    """Read a member's answer, or its several samples; null stands for one that was not asked for yet.

    Raises:
        InputError: If they are not of this form.
    """
    if isinstance(data, list):
        found = tuple(answer_from(member, answer, where) for answer in data if answer is not None)
        if not found:
            raise InputError(f"the list of answers of {member!r} is empty", field=where)
        return found
    return (answer_from(member, data, where),)


_PLAIN: dict[str, Any] = {
    "text": "", "reasoning": "", "finish_reason": None, "cost": None, "latency_s": 0.0, "model": None, "attempts": 1,
    "shares_prompt": False, "estimated_cost": 0.0,
}  # fmt: skip
"""What of a candidate is written as it is, with its defaults, which are left out."""

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,), "reasoning": (str,), "finish_reason": (str, type(None)), "model": (str, type(None)),
    "cost": (int, float, type(None)), "latency_s": (int, float), "attempts": (int,), "shares_prompt": (bool,),
    "estimated_cost": (int, float),
    "tool_calls": (list,), "usage": (dict, type(None)), "logprobs": (list, type(None)), "failure": (dict, type(None)),
}  # fmt: skip

_FAILURES = {
    name: kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, MemberError)
}


def _failure(member: str, data: Mapping[str, Any]) -> MemberError:
    kind = _FAILURES.get(str(data.get("error")), MemberError)
    told = {key: data[key] for key in ("status", "retry_after") if isinstance(data.get(key), int | float)}
    return kind(str(data.get("message", "")), member=member, **told)


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) and not (isinstance(value, int | float) and not 0 <= value <= sys.float_info.max)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def shortened(value: object) -> str:
    """Return how a value is written, cut where it is long.

    >>> shortened("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    """
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


# --- lines


def json_line(data: Mapping[str, Any]) -> bytes:
    """Return data as one line of a run, in UTF-8; what UTF-8 cannot say is escaped.

    Raises:
        ValueError: If it holds what JSON has no words for.
    """
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(data, allow_nan=False).encode() + b"\n"


def read_objects(path: str | Path, *, skipped: Callable[[str], None] | None = None) -> Iterator[tuple[str, Object]]:
    """Yield the objects of a JSONL file one at a time, each with its file and line; empty lines are passed over.

    Args:
        path: The file.
        skipped: Is told of a last line that breaks off, as a killed process leaves it; without it, that is an error.

    Raises:
        InputError: If the file cannot be read or a line is no JSON object in UTF-8; its `field` names file and line.
    """
    for where, _, data in read_lines(path, skipped=skipped):
        yield where, data


def read_lines(path: str | Path, *, skipped: Callable[[str], None] | None = None) -> Iterator[tuple[str, int, Object]]:
    """Do the same as `read_objects`, and tell the byte that each line begins at, too."""
    path, at, end = Path(path), 0, 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
                where, at, end = f"{path.name}:{number}", end, end + len(line)
                if not line.strip():
                    continue
                try:
                    yield where, at, object_of(line, where, first=number == 1)
                except InputError:
                    if skipped is None or number == 1 or line.endswith(b"\n") or len(line) > LONGEST_LINE:
                        raise
                    skipped(f"{where}: the last line breaks off and is left out")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}{_hint(path)}", field="data") from error


def object_of(line: bytes, where: str, *, first: bool = False) -> Object:
    """Read one line.

    Raises:
        InputError: If it is no JSON object in UTF-8.
    """
    if len(line) > LONGEST_LINE:
        raise InputError(f"is longer than {LONGEST_LINE // 2**20} MB{_ASK_JSONL}", field=where)
    text = text_of(line, where, first=first)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}{_ASK_JSONL if first else ''}", field=where) from None
    if not isinstance(data, dict):
        wrong = f"expected an object, got a {type(data).__name__}{_ASK_JSONL if first else ''}"
        raise InputError(wrong, field=where)
    return data


def text_of(line: bytes, where: str, *, first: bool = False) -> str:
    """Decode one line of a file; the first one may begin with a byte order mark.

    Raises:
        InputError: If it is not UTF-8.
    """
    if first and line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("is UTF-16, not UTF-8; save the file as UTF-8", field=where)
    try:
        return line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error.reason} at byte {error.start} of the line", field=where) from None


def journal_of(path: Path) -> Path:
    """Return the file beside a run that holds the answers of a recording under way."""
    return path.with_name(path.name + ".journal")


def _hint(path: Path) -> str:
    if journal_of(path).exists():
        return f"; {journal_of(path).name} holds a recording that was interrupted: finish it with `semcascade record`"
    return ""


def texts(value: object) -> Iterable[str] | None:
    """Return one text or several as several; None where it is neither."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None
