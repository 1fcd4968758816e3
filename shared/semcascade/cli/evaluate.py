"""`semcascade evaluate`: what a cascade's decisions are worth on recorded answers, without a call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semcascade.cli import terminal
from semcascade.cli.replaying import FORMS, cascade_of, replay_options, tell_skipped

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semcascade.evaluation import Evaluation

__all__ = ["evaluate"]

_EXAMPLES = f"""\b
Examples:
  semcascade evaluate rows.jsonl --ensemble small,medium,other --target large
  semcascade evaluate rows.jsonl --tier a,b,c --tier d,e --tier f --json result.json
  semcascade evaluate run.jsonl --signal semantic_entropy

{FORMS}"""


@click.command(epilog=_EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path), nargs=-1, required=True)
@replay_options
@click.option("--json", "out", type=click.Path(path_type=Path), metavar="OUT", help='Write JSON to a file; "-": print.')
def evaluate(
    data: tuple[Path, ...], member_cost: tuple[float, ...], target_cost: float, out: Path | None, **options: Any
) -> None:
    """Replay recorded answers in DATA through a cascade, and say what its decisions are worth."""
    from semcascade.evaluation import evaluate as evaluate_rows
    from semcascade.evaluation import read_rows

    terminal.spare(out, *data, options["policy"])
    found = {}
    for path, name in zip(data, _names(data), strict=True):
        settings, skipped = cascade_of(path, **options), tell_skipped(path)
        rows = read_rows(path, skipped=skipped)
        with terminal.waiting(f"replaying {path.name}"):
            settings |= {"member_cost": member_cost, "target_cost": target_cost}
            found[name] = asyncio.run(evaluate_rows(rows, skipped=skipped, **settings))
    if out is None:
        terminal.result_console().print(_table(found))
        for line in _notes(found):
            terminal.result_console().print(line)
        return
    plain = {name: evaluation.to_dict() for name, evaluation in found.items()}
    result = next(iter(plain.values())) if len(plain) == 1 else plain
    if str(out) == "-":
        terminal.write_json(result)
    else:
        terminal.save_json(out, result)


def _names(data: tuple[Path, ...]) -> list[str]:
    """Return what to call each file: by its name, where that tells it from the others.

    Raises:
        UsageError: If a file stands there twice.
    """
    twice = next((path for path, count in Counter(data).items() if count > 1), None)
    if twice is not None:
        raise click.UsageError(f"{twice} stands there twice")
    alike = Counter(path.name for path in data)
    return [path.name if alike[path.name] == 1 else str(path) for path in data]


def _table(found: dict[str, Evaluation]) -> RenderableType:
    from rich.text import Text

    from semcascade.cli.tables import plain_table
    from semcascade.decision import one_line

    numbers = ("rows", "best member", "ensemble", "target", "gain", "over chord", "of oracle", "cost at 99 %")
    table = plain_table("data", *numbers, right=numbers)
    table.columns[0].min_width = 12
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


def _notes(found: dict[str, Evaluation]) -> Iterator[RenderableType]:
    """Yield what the cascades do as they are set, and what to know before believing the numbers."""
    from rich.text import Text

    from semcascade.decision import one_line

    for name, it in found.items():
        for line in (_as_set(it), *_router(it), _in_numbers(it), *it.notes):
            yield Text(f"{one_line(name, 32)}: {one_line(line, 300)}", style="dim")


def _as_set(it: Evaluation) -> str:
    at, said = it.at_threshold, "recorded" if it.recorded_costs else "assumed"
    threshold = "its thresholds" if at["threshold"] is None else f"threshold {at['threshold']:.2f}"
    did = f"{at['deferral_rate']:.0%} deferred, {at['cost']:.0%} of the target's cost ({said})"
    return f"at {threshold}: {did}, quality {at['quality']:.3f}"


def _router(it: Evaluation) -> Iterator[str]:
    """Yield what the router does, where there is one."""
    if it.router is not None:
        first, worth = it.router["starts"][0], it.router
        saved = f"{worth['saves']:+.3f} of the target's cost saved a query (± {worth['error']:.3f})"
        same = f"{saved}, quality {worth['gains']:+.4f}"
        rate = f"{worth['saves_at_rate']:+.3f} saved, quality {worth['gains_at_rate']:+.4f}"
        yield f"router: {1 - first:.0%} start later; at the same thresholds {same}; with as many deferred {rate}"


def _in_numbers(it: Evaluation) -> str:
    areas = f"areas: curve {it.auc:.4f}, random {it.auc_random:.4f}, oracle {it.auc_oracle:.4f}"
    even = f"breaks even at {it.break_even['deferral_rate']:.0%} deferred"
    return f"{areas} · {even} · members err like {it.n_effective:.1f} independent ones"
