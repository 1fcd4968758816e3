"""How the shell ends: exit codes, and errors in a line or two instead of a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

import click

from semcascade.cli import terminal
from semcascade.cli.secrecy import Secrecy
from semcascade.errors import CascadeError, ConfigError, InputError, MissingDependencyError, SemcascadeError

__all__ = [
    "DRIFTED",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "PIPE_CLOSED",
    "USAGE",
    "debugging",
    "exit_code",
    "explain",
    "message_of",
]

OK, FAILED, USAGE, DRIFTED, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141

_LONGEST_LINE = 400

_READER_LEFT = (BrokenPipeError, SystemExit)
"""What a write raises when nobody reads any more; rich makes a SystemExit of it, and nothing else here does."""


def debugging() -> bool:
    """Say whether the user asked for what helps to find a fault."""
    return os.environ.get("SEMCASCADE_DEBUG", "") not in {"", "0"}


def exit_code(error: BaseException) -> int:
    """Return the code that the process ends with after an error."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    if isinstance(error, _READER_LEFT):
        return PIPE_CLOSED
    if isinstance(error, click.ClickException):
        return error.exit_code
    return USAGE if isinstance(error, ConfigError | InputError | MissingDependencyError) else FAILED


def explain(error: BaseException, secrecy: Secrecy) -> None:
    """Tell on standard error what went wrong and what to do; with SEMCASCADE_DEBUG=1, the traceback first."""
    if isinstance(error, _READER_LEFT):
        return
    with suppress(OSError):  # nobody reads standard error any more
        for line in _lines(error, secrecy):
            terminal.note(line)


def _lines(error: BaseException, secrecy: Secrecy) -> Iterator[str]:
    if isinstance(error, KeyboardInterrupt | click.Abort):
        yield "interrupted"
        return
    if debugging():
        yield secrecy.scrub("".join(traceback.format_exception(error)))
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    head = click.style("error:", fg="red", bold=True) if coloured else "error:"
    yield f"{head} {message_of(error, secrecy)}"


def message_of(error: BaseException, secrecy: Secrecy) -> str:
    """Return what went wrong: free of secrets and of anything that steers a terminal."""
    return "\n".join(_trim(line) for line in secrecy.scrub(_text(error)).splitlines() if line.strip())


def _text(error: BaseException) -> str:
    if isinstance(error, CascadeError) and error.failures:
        summary = str(error.args[0]).split(f"; {error.failures[0]}", 1)[0]
        failures = dict.fromkeys(_flat(str(failure)) for failure in error.failures)
        return "\n".join([summary, *(f"  {failure}" for failure in failures)])
    if isinstance(error, click.UsageError):
        where = f"{error.ctx.command_path} --help" if error.ctx else "semcascade --help"
        return f"{error.format_message()}\n  see: {where}"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, SemcascadeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    said = _flat(str(error))
    return (
        f"unexpected {type(error).__name__}{': ' if said else ''}{said}\n"
        "  this is a bug in semcascade: please report it with the traceback that SEMCASCADE_DEBUG=1 shows"
    )


def _flat(text: str) -> str:
    return " ".join(text.split())


def _trim(line: str) -> str:
    line = terminal.harmless(line)
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
