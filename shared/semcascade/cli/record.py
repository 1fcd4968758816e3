"""`semcascade record`: ask every member every prompt once, and keep all answers for what comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semcascade.cli import terminal
from semcascade.cli.secrecy import Secrecy
from semcascade.cli.settings import cascade_options, need_config
from semcascade.cli.weights import getting_ready

if TYPE_CHECKING:
    from semcascade.evaluation import Recording

__all__ = ["record"]

_EXAMPLES = """\b
Examples:
  semcascade record prompts.jsonl -c team.toml --out run.jsonl --max-cost 2
  semcascade record questions.csv --preset local --out run.jsonl --limit 50
  semcascade record prompts.jsonl -c team.toml --out run.jsonl --retry-failed

Each line of PROMPTS is one prompt: {"input": text} or {"messages": [...]}, and, as you have them, "id", "reference",
"task", "tools", "response_format"; CSV and Parquet have columns of these names. What was stopped or killed goes on by
the same command, and pays for nothing twice."""


@click.command(epilog=_EXAMPLES)
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="RUN",
              help="File of all answers; what it holds is not asked for again.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(min=1), default=8, show_default=True, metavar="N",
              help="Prompts under way at once.")  # fmt: skip
@click.option("--max-cost", type=click.FloatRange(min=0), metavar="DOLLARS",
              help="Stop before the whole run costs more.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Only the first N prompts.")
@click.option("--retry-failed", is_flag=True, help="Ask again where the run holds a failure.")
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
@cascade_options
@click.pass_obj
def record(
    secrecy: Secrecy,
    /,
    prompts: Path,
    out: Path,
    concurrency: int,
    max_cost: float | None,
    limit: int | None,
    retry_failed: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask every member, and the target, each of the PROMPTS once, and keep the answers in RUN."""
    config = need_config(**options)
    secrecy.learn(config)
    with getting_ready(config) as transports:
        from semcascade.engine.cascade import Cascade
        from semcascade.evaluation.recording import record as record_prompts

        if transports:  # weights are fetched here, in sight
            Cascade(config, transports=transports).warmup()
    with _shown() as progress:
        found = record_prompts(
            prompts,
            config,
            out,
            concurrency=concurrency,
            max_cost=max_cost,
            limit=limit,
            retry_failed=retry_failed,
            transports=transports,
            progress=progress,
        )
    if as_json:
        terminal.write_json(found.to_dict())
    terminal.note(str(found))
    if found.out_of_money:
        terminal.note(f"stopped before it would cost more than ${max_cost:g}; a higher --max-cost goes on from here")
    if found.failures and not retry_failed:
        terminal.note("failures are kept as failures; --retry-failed asks for them again")


@contextmanager
def _shown() -> Iterator[Callable[[Recording], None] | None]:
    """Show on standard error how far it is and what it has cost, where somebody watches."""
    if not terminal.interactive():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from semcascade.decision import money

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[spent]}"), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console()) as bar:
        task = bar.add_task("recording", total=None, spent="")

        def show(state: Recording) -> None:
            failed = sum(state.failures.values())
            spent = money(state.cost) + (f", {failed} failures" if failed else "")
            bar.update(task, total=state.prompts, completed=state.done, spent=spent)

        yield show
