"""`semcascade ask`: one question, one answer, and on demand how it came about."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import click

from semcascade.cli import terminal
from semcascade.cli.failures import message_of
from semcascade.cli.secrecy import Secrecy
from semcascade.cli.settings import cascade_options, need_config
from semcascade.cli.weights import getting_ready
from semcascade.decision import Decision, Result, one_line
from semcascade.errors import CascadeError, SemcascadeError

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig
    from semcascade.engine.cascade import Cascade
    from semcascade.messages import Message

__all__ = ["ask"]

_EXAMPLES = """\b
Examples:
  semcascade ask --preset local --explain "What is the capital of Japan?"
  semcascade ask -c team.toml - < question.txt | tee answer.txt
  semcascade ask --json "Is 97 prime?" | jq .decision.score

The answer alone goes to standard output: as the model wrote it into a pipe or a file; on a terminal without
control characters. The decision goes to standard error."""


@click.command(epilog=_EXAMPLES)
@click.argument("question", nargs=-1)
@cascade_options
@click.option("--system", metavar="TEXT", help="System message to put before the question.")
@click.option("-e", "--explain", is_flag=True, help="Show who said what, how far they agreed, and what it cost.")
@click.option("--json", "as_json", is_flag=True, help="Print answer and decision as JSON.")
@click.option("--stream", is_flag=True, help="Print the answer as it comes; an accepted one comes at once.")
@click.pass_obj
def ask(
    secrecy: Secrecy,
    /,
    question: tuple[str, ...],
    system: str | None,
    explain: bool,
    as_json: bool,
    stream: bool,
    **options: Any,
) -> None:
    """Ask a QUESTION and print the answer; "-" reads the question from standard input."""
    if as_json and stream:
        raise click.UsageError("--json and --stream exclude each other; give one")
    try:
        prompt = _prompt(question, system)
        config = need_config(**options)
        secrecy.learn(config)
        result = _answer(config, prompt, stream=stream)
    except SemcascadeError as error:
        if as_json:
            terminal.write_json(_failure(error, secrecy))
        if explain and isinstance(error, CascadeError) and isinstance(error.decision, Decision):
            _show(error.decision)
        raise
    if as_json:
        terminal.write_json(result.to_dict())
    elif not stream:
        terminal.write_answer(result.text)
    if explain:
        _show(result.decision)
    else:
        _tell_who_was_left_out(result.decision)


def _prompt(words: tuple[str, ...], system: str | None) -> list[Message]:
    """Return the conversation; words that the shell took apart are put together again."""
    if not words:
        raise click.UsageError('ask something: semcascade ask "What is ...?", or "-" to read standard input')
    question = sys.stdin.buffer.read().decode("utf-8-sig", "replace") if words == ("-",) else _clean(" ".join(words))
    if not question.strip():
        raise click.UsageError("the question is empty; ask something")
    preface: list[Message] = [{"role": "system", "content": _clean(system)}] if system else []
    return [*preface, {"role": "user", "content": question}]


def _clean(argument: str) -> str:
    """Return an argument without what stands for bytes that are no text, and could not be sent."""
    return argument.encode("utf-8", "replace").decode()


def _answer(config: CascadeConfig, prompt: list[Message], *, stream: bool) -> Result:
    with getting_ready(config) as transports:
        from semcascade.engine.cascade import Cascade

        cascade = Cascade(config, transports=transports)
        with suppress(SemcascadeError):  # asking will tell, member by member
            cascade.warmup()  # imports, downloads and start-up are no part of the answer's latency
    with cascade:
        if stream:
            return _stream(cascade, prompt)
        with terminal.waiting(f"waiting for {_who(config)}"):
            return cascade.complete(prompt)


def _stream(cascade: Cascade, prompt: list[Message]) -> Result:
    result: Result | None = None
    written = ""
    try:
        with closing(cascade.stream(prompt)) as items:
            for item in items:
                if isinstance(item, Result):
                    result = item
                elif item.text:
                    terminal.write_answer(item.text, end="")
                    written = item.text
    finally:
        if (written or result) and not written.endswith("\n"):
            terminal.write_answer("")
    assert result is not None  # noqa: S101 - a stream ends with its result or an error
    return result


def _who(config: CascadeConfig) -> str:
    first = config.tiers[0]
    return first.members[0].name if first.answers == 1 else f"{first.answers} answers"


def _show(decision: Decision) -> None:
    from semcascade.cli.tables import decision_table

    terminal.console().print(decision_table(decision))


def _tell_who_was_left_out(decision: Decision) -> None:
    """Say which members could not even be asked: that is a matter of the set-up, which the answer does not show."""
    for tier in decision.tiers:
        for candidate in tier.candidates:
            if candidate.failure is not None and candidate.attempts == 0:
                terminal.note(f"not asked: {one_line(str(candidate.failure), 200)}")


def _failure(error: SemcascadeError, secrecy: Secrecy) -> dict[str, Any]:
    decision = getattr(error, "decision", None)
    return {
        "answer": None,
        "error": {"type": type(error).__name__, "message": message_of(error, secrecy)},
        "decision": decision.to_dict() if isinstance(decision, Decision) else None,
    }
