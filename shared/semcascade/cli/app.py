"""The command line as a whole: its commands, and the one place where every error ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from click.shell_completion import shell_complete

from semcascade import __version__
from semcascade._litellm import quiet
from semcascade.cli import terminal
from semcascade.cli.ask import ask
from semcascade.cli.calibrate import calibrate, policy
from semcascade.cli.doctor import doctor
from semcascade.cli.drift import drift
from semcascade.cli.evaluate import evaluate
from semcascade.cli.failures import OK, debugging, exit_code, explain
from semcascade.cli.models import models
from semcascade.cli.record import record
from semcascade.cli.report import report
from semcascade.cli.score import score
from semcascade.cli.secrecy import Secrecy

__all__ = ["app", "run"]

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    the question could not be answered, or something needed is missing
  2    wrong usage or configuration
  3    what was watched has drifted (semcascade drift)
  130  interrupted
  141  the reader of the output went away

Set SEMCASCADE_DEBUG=1 for tracebacks, NO_COLOR=1 for no colours."""


_NAME = "semcascade"
_COMPLETION = "_SEMCASCADE_COMPLETE"


@click.group(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=_NAME, message="%(prog)s %(version)s")
def app() -> None:
    """Ask cheap models first, trust them when they agree in meaning, defer to a large one when they scatter."""


for command in (ask, calibrate, doctor, drift, evaluate, models, policy, record, report, score):
    app.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    terminal.prepare()
    secrecy = Secrecy()
    try:
        with _without_warnings(), quiet():
            code = _dispatch(list(arguments), secrecy)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the last stop: every error becomes a line and an exit code
        explain(error, secrecy)
        code = exit_code(error)
    _let_go_of_closed_pipes()
    return code


def _dispatch(arguments: list[str], secrecy: Secrecy) -> int:
    """Run the command, or tell a shell how to complete it; click's own `main` has its own way with errors."""
    instruction = os.environ.get(_COMPLETION)
    if instruction:
        return shell_complete(app, {}, _NAME, _COMPLETION, instruction)
    try:
        with app.make_context(_NAME, arguments, obj=secrecy) as context:
            app.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return OK


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep what libraries warn programmers of from people at a terminal, unless they ask for it."""
    with warnings.catch_warnings():
        if not sys.warnoptions and not debugging():
            warnings.simplefilter("ignore")
        yield


def _let_go_of_closed_pipes() -> None:
    """Point standard output elsewhere if its reader is gone, so that the interpreter's last flush cannot fail."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
