"""Writing to the terminal: untrusted text made harmless, any encoding survived.

The answer and JSON go to standard output, everything else (tables, notes, progress, errors) to standard error,
so that a pipe carries the answer alone and both stand below each other on a terminal.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "console",
    "harmless",
    "interactive",
    "note",
    "prepare",
    "result_console",
    "save_json",
    "spare",
    "waiting",
    "write_answer",
    "write_json",
]

_WIDTH_ELSEWHERE = 100
"""Columns of a table that goes to a file or a pipe."""

_DANGEROUS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline (they move the cursor, colour, retitle, beep), and bidirectional
overrides (they make text read differently from what it is)."""

_PLAIN = {"≥": ">=", "≤": "<=", "…": "...", "–": "-", "—": "-", "·": "|", "●": "*", "✓": "+", "✗": "x", "’": "'"}
_HANDLER = "semcascade"


def prepare() -> None:
    """Let the standard streams write any text: what their encoding lacks is spelt out instead of raising.

    A stream that was closed before the start is replaced by one that goes nowhere.
    """
    codecs.register_error(_HANDLER, _spell_out)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    spelt = (_PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in missing)
    return "".join(spelt), error.end


def console() -> Console:
    """Return a console on standard error, for what stands beside a result."""
    return _console(sys.stderr)


def result_console() -> Console:
    """Return a console on standard output, for a table that is itself the result."""
    return _console(sys.stdout)


def _console(stream: TextIO) -> Console:
    """Return a console; `NO_COLOR` and `COLUMNS` are respected."""
    from rich.console import Console

    width = None if stream.isatty() or os.environ.get("COLUMNS") else _WIDTH_ELSEWHERE
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def interactive() -> bool:
    """Say whether somebody watches standard error."""
    return sys.stderr.isatty()


def waiting(what: str) -> AbstractContextManager[object]:
    """Show that something goes on, on standard error, where somebody watches."""
    return console().status(f"{what} …") if interactive() else nullcontext()


def note(text: str) -> None:
    """Tell something beside the answer, on standard error."""
    click.echo(text, file=sys.stderr)


def harmless(text: str) -> str:
    r"""Return untrusted text without the characters that steer a terminal; tab and newline stay.

    >>> harmless("Paris\x1b[2J\r\n\tis\x00 it")
    'Paris[2J\n\tis it'
    """
    return _DANGEROUS.sub("", text)


def write_answer(text: str, *, end: str = "\n") -> None:
    """Write an answer to standard output: harmless on a terminal, untouched into a pipe or a file."""
    shown = harmless(text) if sys.stdout.isatty() else text
    # Without color=True click would take out escape sequences, but nothing else, on the way into a pipe; without
    # the file it would write UTF-8 where ASCII was asked for.
    click.echo(shown + end, nl=False, color=True, file=sys.stdout)


def write_json(data: Any) -> None:
    """Write data to standard output as JSON in plain ASCII; numbers that JSON lacks become null."""
    click.echo(_as_json(data), file=sys.stdout)


def spare(out: Path | None, *needed: Path | None) -> None:
    """Refuse to write over what is read.

    Raises:
        UsageError: If the output is one of the files that are needed.
    """
    if out is not None and out.exists() and any(path and path.exists() and path.samefile(out) for path in needed):
        raise click.UsageError(f"{out} is what is read; write to another file")


def save_json(path: Path, data: Any) -> None:
    """Write data to a file, as `write_json` does.

    Raises:
        UsageError: If the file cannot be written.
    """
    try:
        path.write_text(_as_json(data) + "\n", encoding="ascii")
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _as_json(data: Any) -> str:
    return json.dumps(_finite(data), indent=2, ensure_ascii=True, allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data
