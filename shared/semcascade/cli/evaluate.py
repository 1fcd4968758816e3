"""`semcascade evaluate`: what a cascade's decisions are worth on recorded answers, without a call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semcascade.cli import terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semcascade.evaluation import Evaluation

__all__ = ["evaluate"]

_EXAMPLES = """\b
Examples:
  semcascade evaluate rows.jsonl --ensemble small,medium,other --target large
  semcascade evaluate rows.jsonl --ensemble a,b,c --target t --signal semantic_entropy --json result.json

Each line of DATA is one question: {"id", "input", "outputs": {system: text}, "scores": {system: 0..1}}."""


@click.command(epilog=_EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--ensemble", required=True, metavar="A,B,...", help="Systems of the ensemble; the first is the primary.")
@click.option("--target", required=True, metavar="T", help="System that answers what the ensemble cannot.")
@click.option("--similarity", default="auto", show_default=True, metavar="NAME", help="How answers are compared.")
@click.option("--signal", default="agreement", show_default=True, metavar="NAME", help="What is scored.")
@click.option("--selection", default="auto", show_default=True, metavar="WAY", help="Which answer would be returned.")
@click.option("--member-cost", type=click.FloatRange(min=0), default=0.05, show_default=True, help="Price of a member.")
@click.option("--target-cost", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
              help="Price of the target.")  # fmt: skip
@click.option("--json", "out", type=click.Path(path_type=Path), metavar="OUT", help='Write JSON to a file; "-": print.')
def evaluate(
    data: tuple[Path, ...],
    ensemble: str,
    target: str,
    member_cost: float,
    target_cost: float,
    out: Path | None,
    **settings: Any,
) -> None:
    """Replay recorded answers in DATA through a cascade, and say what its decisions are worth."""
    from semcascade.evaluation import evaluate as evaluate_rows
    from semcascade.evaluation import read_rows

    members = [name.strip() for name in ensemble.split(",") if name.strip()]
    found = {}
    for path in data:
        rows = list(read_rows(path))
        with terminal.waiting(f"replaying {len(rows)} rows of {path.name}"):
            found[path.name] = asyncio.run(
                evaluate_rows(rows, members, target, member_cost=member_cost, target_cost=target_cost, **settings)
            )
    if out is None:
        terminal.result_console().print(_table(found))
        return
    plain = {name: evaluation.to_dict() for name, evaluation in found.items()}
    result = next(iter(plain.values())) if len(plain) == 1 else plain
    if str(out) == "-":
        terminal.write_json(result)
    else:
        terminal.save_json(out, result)


def _table(found: dict[str, Evaluation]) -> RenderableType:
    from rich.text import Text

    from semcascade.cli.tables import plain_table
    from semcascade.decision import one_line

    numbers = ("rows", "best member", "ensemble", "target", "gain", "over chord", "of oracle", "cost at 99 %")
    table = plain_table("data", *numbers, right=numbers)
    for name, it in found.items():
        low, high = it.chord_gain_ci
        table.add_row(
            Text(one_line(name, 32)),
            str(it.n),
            f"{it.best_member[1]:.3f}",
            f"{it.ensemble_quality:.3f}",
            f"{it.target_quality:.3f}",
            f"{it.gain:+.4f}",
            f"{it.chord_gain:+.4f} ({low:+.3f} to {high:+.3f})",
            "–" if it.oracle_share is None else f"{it.oracle_share:.0%}",
            f"{it.cost_at_99:.0%}",
        )
    return table
