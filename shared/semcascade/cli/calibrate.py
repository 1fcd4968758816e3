"""`semcascade calibrate`: a policy whose thresholds mean something, from recorded answers, without a call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semcascade.cli import terminal
from semcascade.cli.replaying import FORMS, cascade_of, tell_skipped

if TYPE_CHECKING:
    from semcascade.evaluation import Row

__all__ = ["calibrate", "policy"]

_EXAMPLES = f"""\b
Examples:
  semcascade calibrate run.jsonl --max-loss 0.02 --out policy.json
  semcascade calibrate rows.jsonl --ensemble a,b,c --target t --max-cost 0.4 --out policy.json
  semcascade calibrate run.jsonl --claim selective --max-loss 0.1 --confidence 0.9 --out policy.json
  semcascade ask -c team.toml --policy policy.json "..."

\b
Claims that --max-loss bounds:
  graded     mean quality lost against the target, per query
  joint      share of queries that are accepted with a bad answer
  selective  share of accepted answers that are bad
  regret     share of accepted answers that are clearly worse than the target's

{FORMS}
Rows without scores are scored by likeness to the target's own answer."""


@click.command(epilog=_EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where the policy goes.")  # fmt: skip
@click.option("--max-loss", type=float, metavar="0..1", help="Guarantee: the most that --claim may come to.  [0.02]")
@click.option("--max-cost", type=float, metavar="SHARE", help="Instead: mean cost, as a share of the target's.")
@click.option("--escalation-rate", type=float, metavar="0..1", help="Instead: share of queries to defer.")
@click.option("--min-quality", type=float, metavar="0..1", help="Instead: mean quality, for the least cost.")
@click.option("--claim", type=click.Choice(["graded", "joint", "selective", "regret"]), default="graded",
              show_default=True, help="What --max-loss bounds.")  # fmt: skip
@click.option("--confidence", type=float, default=0.95, show_default=True, metavar="0.5..1",
              help="How sure the guarantee must be; 0: it holds in expectation.")  # fmt: skip
@click.option("--good", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Least quality of a good answer.")  # fmt: skip
@click.option("--ensemble", metavar="A,B,...", help="Systems of the ensemble; the first is the primary.")
@click.option("--target", metavar="T", help="System that answers what the ensemble cannot.")
@click.option("--tier", "tiers", multiple=True, metavar="A,B,...",
              help="Instead of these: the systems of each tier, once a tier; the last is the target.")  # fmt: skip
@click.option("--similarity", metavar="NAME", help="How answers are compared.  [default: auto]")
@click.option("--member-cost", type=click.FloatRange(min=0), multiple=True, default=(0.05,), show_default="0.05",
              help="Price of a member where none was recorded; once, or once for each tier.")  # fmt: skip
@click.option("--target-cost", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
              help="Price of the target where none was recorded.")  # fmt: skip
@click.option(
    "--router/--no-router",
    default=True,
    show_default=True,
    help="Let queries start later that are likely to be deferred; off in any case where that saves nothing.",
)
@click.option(
    "--router-embedding",
    "embedding",
    default="hashed",
    show_default=True,
    metavar="MODEL",
    help="How the router tells queries apart: by hashed n-grams, or by a sentence-transformers model.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every draw.")
def calibrate(
    data: Path,
    out: Path,
    max_loss: float | None,
    max_cost: float | None,
    escalation_rate: float | None,
    min_quality: float | None,
    claim: Any,
    confidence: float,
    good: float,
    member_cost: tuple[float, ...],
    target_cost: float,
    router: bool,
    embedding: str,
    seed: int,
    **options: Any,
) -> None:
    """Fit a policy to the recorded answers in DATA, and write it to FILE."""
    from semcascade.cli.policy_view import fit_view
    from semcascade.engine.policies import save_policy
    from semcascade.evaluation.fitting import fit_policy
    from semcascade.evaluation.goals import Goal

    goal = Goal(
        max_loss=max_loss,
        max_cost=max_cost,
        escalation_rate=escalation_rate,
        min_quality=min_quality,
        confidence=confidence or None,
        claim=claim,
        good=good,
    )
    settings = cascade_of(data, policy=None, **options)
    with terminal.waiting(f"fitting to {data.name}"):
        rows, quality = _scored(data, settings)
        fit = asyncio.run(
            fit_policy(
                rows,
                goal=goal,
                member_cost=member_cost,
                target_cost=target_cost,
                quality=quality,
                seed=seed,
                router=router,
                embedding=embedding,
                skipped=tell_skipped(data),
                **settings,
            )
        )
    save_policy(fit.policy, out)
    terminal.result_console().print(fit_view(fit))
    terminal.note(f"written to {out}; use it by policy = {str(out)!r}, or --policy {out}")


def _scored(data: Path, settings: dict[str, Any]) -> tuple[Iterable[Row], str]:
    """Return the rows, and where their scores come from: the file, else likeness to the target's own answers."""
    from semcascade.config import CascadeConfig
    from semcascade.evaluation import read_rows, score_rows
    from semcascade.run_form import read_header

    header = read_header(data)
    rows = read_rows(data, skipped=tell_skipped(data))
    if _any_scored(data):
        return rows, (header.quality if header else "") or "scores"
    name = CascadeConfig.build(**settings).tiers[-1].members[0].name
    terminal.note(f"{data.name} has no scores: answers are good as far as they are like the target's own")
    return score_rows(rows, "target", target=name, skipped=tell_skipped(data)), "target"


def _any_scored(data: Path) -> bool:
    """Say whether a file has scores, or no rows at all; labels may begin far down, and are never passed over."""
    from semcascade.evaluation import read_rows

    row = None
    for row in read_rows(data, skipped=lambda _: None):
        if row.scores or row.sample_scores:
            return True
    return row is None


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def policy(file: Path) -> None:
    """Show what a policy FILE decides by, and what it promises."""
    from semcascade.cli.policy_view import policy_view
    from semcascade.engine.policies import load_policy

    terminal.result_console().print(policy_view(load_policy(file)))
