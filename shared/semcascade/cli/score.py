"""`semcascade score`: say how good recorded answers are, so that what follows can count on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semcascade.cli import terminal
from semcascade.cli.secrecy import Secrecy

if TYPE_CHECKING:
    from semcascade.evaluation import Scoring
    from semcascade.evaluation.quality import Quality

__all__ = ["score"]

_WAYS = """\b
Ways:
  exact, token_f1, rouge_l, chrf, ...               likeness to the reference, by any similarity
  tool_calls                                        the calls are the reference's, or may be (as in BFCL)
  numeric                                           the final number is the reference's
  target, target:SIMILARITY                         likeness to the target's own answer; needs no labels
  judge:MODEL                                       better than the target's answer 1, as good 0.5, worse 0
  module:function                                   what your function makes of (answer, row), 0 to 1

\b
Examples:
  semcascade score run.jsonl --by rouge_l --out run.jsonl
  semcascade score rows.jsonl --by target:chrf --target gpt-4o --out scored.jsonl
  semcascade score run.jsonl --by judge:openai/gpt-5 --out judged.jsonl"""


@click.command(epilog=_WAYS)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--by", required=True, metavar="WAY", help="How; see below.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The file with scores; may be DATA itself.")  # fmt: skip
@click.option("--target", metavar="T", help="System that is the target; a run says so itself.")
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), metavar="FILE",
              help="Where judge:NAME is the name of one of its members.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(min=1), default=8, show_default=True, metavar="N",
              help="Rows under way at once.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
@click.pass_obj
def score(
    secrecy: Secrecy,
    /,
    data: Path,
    by: str,
    out: Path,
    target: str | None,
    file: Path | None,
    concurrency: int,
    as_json: bool,
) -> None:
    """Score all answers in DATA one WAY; scores that it had before go."""
    from semcascade.evaluation import score_file

    with _shown() as progress:
        found = score_file(
            data,
            _way(by, file, data, target, secrecy),
            out,
            target=target,
            concurrency=concurrency,
            skipped=terminal.note,
            progress=progress,
        )
    if as_json:
        terminal.write_json(found.to_dict())
    terminal.note(str(found))


def _way(by: str, file: Path | None, data: Path, target: str | None, secrecy: Secrecy) -> str | Quality:
    """Return the way, with the judge as the configuration has it where it is one of its members.

    A function of one's own may stand in the folder where the command is run.
    """
    if ":" in by:
        sys.path.insert(0, str(Path.cwd()))
    if file is None or not by.startswith("judge:"):
        return by
    from semcascade.config import load_config
    from semcascade.evaluation.preference import Preference
    from semcascade.run_form import read_header

    config = load_config(file)
    secrecy.learn(config)
    name = by.removeprefix("judge:")
    member = next((member for member in config.members() if name in (member.name, member.model)), None)
    header = read_header(data)
    held_against = target or (header.target if header else None)
    return by if member is None or held_against is None else Preference(member, held_against)


@contextmanager
def _shown() -> Iterator[Callable[[Scoring], None] | None]:
    if not terminal.interactive():
        yield None
        return
    with terminal.console().status("scoring …") as status:

        def show(scoring: Scoring) -> None:
            status.update(f"scoring: {scoring}")

        yield show
