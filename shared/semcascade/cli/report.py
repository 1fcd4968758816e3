"""`semcascade report`: a page that shows what a cascade does on recorded answers, and what that is worth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from semcascade.cli import terminal
from semcascade.cli.replaying import FORMS, RowFile, cascade_of, replay_options, tell_skipped

__all__ = ["report"]

_EXAMPLES = f"""\b
Examples:
  semcascade report run.jsonl --out report.html
  semcascade report rows.jsonl --ensemble small,medium,other --target large --out report.html

{FORMS}"""


@click.command(epilog=_EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path))
@replay_options
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="OUT", help="Write the page to this file."
)
@click.option("--title", metavar="TEXT", help="What the page is about.  [default: the file's name]")
def report(
    data: Path, member_cost: tuple[float, ...], target_cost: float, out: Path, title: str | None, **options: Any
) -> None:
    """Replay recorded answers in DATA, and write one page, which opens offline, about what the decisions are worth."""
    from semcascade.evaluation import report as page
    from semcascade.evaluation.studying import study

    terminal.spare(out, data, options["policy"])
    settings, skipped = cascade_of(data, **options), tell_skipped(data)
    page.prepare()
    settings |= {"member_cost": member_cost, "target_cost": target_cost, "title": title or data.stem}
    with terminal.waiting(f"replaying {data.name}"):
        page.save(asyncio.run(study(RowFile(data), skipped=skipped, **settings)), out)
    terminal.note(f"wrote {out}")
