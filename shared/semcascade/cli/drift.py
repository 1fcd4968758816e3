"""`semcascade drift`: are queries still what the policy was fitted on, and does it keep what it promises?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semcascade.cli import terminal
from semcascade.cli.failures import DRIFTED, OK

if TYPE_CHECKING:
    from semcascade.deferral.drift import Drift

__all__ = ["drift"]

_EXAMPLES = """\b
Examples:
  semcascade drift decisions.jsonl --policy policy.json
  semcascade drift decisions.jsonl.1 decisions.jsonl --policy policy.json --max-loss 0.02 --json

Exit code 3 says that something has drifted, 0 that nothing has, or that there are too few rows to say. The interval
of the loss holds at all times together, so it may be looked at as often as one likes; the comparison of scores is a
new test at each look. The loss is what the policy's certificate bounds. Audits tell how unlike the target's answer the
accepted one was; where the policy was fitted to other scores, score the log the same way first: semcascade score LOG
--by judge:MODEL --out SCORED."""


@click.command(epilog=_EXAMPLES)
@click.argument("logs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="LOG...")
@click.option("--policy", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The fitted policy.")
@click.option("--max-loss", type=click.FloatRange(0, 1), metavar="0..1",
              help="Most that may be lost per query  [else: what the policy is certified for].")  # fmt: skip
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.01, show_default=True,
              metavar="P", help="Probability, per look, of a false alarm by scores or acceptance.")  # fmt: skip
@click.option("--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95,
              show_default=True, metavar="P", help="Of the interval of the loss.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def drift(
    context: click.Context,
    /,
    logs: tuple[Path, ...],
    policy: Path,
    max_loss: float | None,
    alpha: float,
    confidence: float,
    as_json: bool,
) -> None:
    """Hold the decisions in LOG against the POLICY that made them."""
    from semcascade.engine.policies import load_policy
    from semcascade.evaluation import drift_of_log

    found = drift_of_log(
        logs, load_policy(policy), max_loss=max_loss, alpha=alpha, confidence=confidence, skipped=terminal.note
    )
    if as_json:
        terminal.write_json(found.to_dict())
    else:
        click.echo("\n".join(_lines(found)))
    context.exit(DRIFTED if found.verdict == "drifted" else OK)


def _lines(found: Drift) -> Iterator[str]:
    yield {"drifted": "DRIFTED", "stable": "stable", "too few": "too few rows to say"}[found.verdict]
    yield from (f"  {reason}" for reason in found.reasons)
    for number, tier in enumerate(found.tiers, start=1):
        name = f"tier {number}: " if len(found.tiers) > 1 else ""
        rate = "–" if tier.acceptance_rate is None else f"{tier.acceptance_rate:.1%}"
        fitted = f"{tier.expected:.1%} when fitted, p = {tier.p_acceptance:.3f}"
        shift = f"stability index of the scores {tier.psi:.3f} (p = {tier.p_scores:.3f})"
        yield f"{name}{tier.rows} queries, {rate} accepted ({fitted}); {shift}"
    if found.starts is not None and found.starts.later is not None:
        yield f"{found.starts.queries} queries, {found.starts.reason} (p = {found.starts.p:.3f})"
    if not found.tiers:
        yield "the policy does not say how its rows were scored: nothing to compare scores with"
    yield from _loss_lines(found)


def _loss_lines(found: Drift) -> Iterator[str]:
    loss = found.loss
    if loss is None or loss.mean is None:
        how = 'log = {path = "...", shadow = 0.01} asks the target for 1 % of accepted queries all the same'
        yield f"no audits that tell of a loss; {how}"
        return
    interval = f"{loss.low:.4f} to {loss.high:.4f} at all times with {loss.confidence:.0%} confidence"
    yield f"loss of accepted answers {loss.mean:.4f}, {interval} ({loss.audits} audits)"
    if found.limit is not None:
        told = {"kept": "it keeps", "broken": "it breaks", "open": "too few audits to say whether it keeps"}
        yield f"{told[found.loss_verdict]} the limit of {found.limit:.4f} per accepted answer"
