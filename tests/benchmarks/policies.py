"""What fitted policies are worth on recorded answers of real models: `python -m tests.benchmarks.policies [SPLITS]`.

Each set is halved at random; a policy is fitted on one half and measured on the other, 20 times unless told. The
numbers are areas above the strict chord of the measured half: its best single member mixed at random with the target.
Beside it stand what needs no labels, deferring the longest questions first or at random, and always the member that
was best on the first half. Intervals are those of the mean over the splits and rows, by bootstrap over rows.

The last columns put a guarantee to the test: a mean loss of at most 0.05 with 90 % confidence, certified on one half of
the other half and measured on what is left. A promise counts as broken where the loss that was measured is above it
beyond the noise of that measurement, by a one-sided test at 5 %: at most 15 of 100 may be.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console

from semcascade.cli.tables import plain_table
from semcascade.config import CascadeConfig
from semcascade.evaluation.curve import chord_gain
from semcascade.evaluation.goals import Goal
from semcascade.evaluation.recipes import Recipe, accepted, choose_recipe, outcome_of, recipes_for
from semcascade.evaluation.rows import Row
from semcascade.evaluation.sights import Ranking, Sights, Watcher
from semcascade.evaluation.thresholds import TierRows, certify
from semcascade.messages import question_text
from tests.benchmarks.quality import SETS, read

WAYS = ("fitted", "learned", "label-free", "length", "random", "best member")
SPLITS = 20

PROMISE = Goal(max_loss=0.05, confidence=0.9)


async def look(rows: Sequence[Row], ensemble: Sequence[str], target: str) -> tuple[Sights, np.ndarray]:
    """Return what a tier's answers look like, and the target's qualities."""
    watcher = Watcher(CascadeConfig.build(ensemble=list(ensemble), target=target))
    for row in rows:
        await watcher.watch(row)
    return watcher.sights()[0], np.array([row.scores[target] for row in rows])


def halves(n: int, splits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield random halves of n rows."""
    rng = np.random.default_rng(0)
    for _ in range(splits):
        order = rng.permutation(n)
        yield np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def measured(ranking: Ranking, sights: Sights, target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the gain over the chord, and 40 bootstrap draws of it."""
    outcome = outcome_of(ranking, sights.quality[rows], target[rows])
    rng = np.random.default_rng(1)
    draws = [chord_gain(outcome.take(rng.integers(0, len(rows), len(rows)))) for _ in range(40)]
    return np.array([chord_gain(outcome), *draws])


def split_gains(sights: Sights, target: np.ndarray, lengths: np.ndarray, fit: np.ndarray, rest: np.ndarray) -> dict:
    """Return each way's gain over the chord on the rest, with bootstrap draws, and the recipe that was taken."""
    recipes = recipes_for(sights, target, fit)
    chosen = choose_recipe(recipes, sights, target, fit)[0].recipe
    free = sights.rankings["agreement", "auto"].take(rest)
    nothing = np.zeros(len(rest))
    rankings = {
        "fitted": chosen.rank(sights, rest),
        "learned": recipes[-1].rank(sights, rest),
        "label-free": free,
        "length": Ranking(-lengths[rest], free.chosen),
        "random": Ranking(nothing, free.chosen),
        "best member": recipes[0].rank(sights, rest),
    }
    return {name: measured(ranking, sights, target, rest) for name, ranking in rankings.items()} | {
        "taken": chosen.name,
        "kept": kept(chosen, sights, target, fit, rest),
    }


def kept(recipe: Recipe, sights: Sights, target: np.ndarray, fit: np.ndarray, rest: np.ndarray) -> bool | None:
    """Say whether a promise that one half of the rest certifies is kept on its other half; None: not certifiable."""
    halved = np.array_split(np.random.default_rng(2).permutation(rest), 2)
    parts = [(recipe.ranking, fit), *((recipe.rank(sights, rows), rows) for rows in halved)]
    known, held_out, fresh = (
        TierRows(ranking.scores, accepted(ranking, sights.quality[rows]), target[rows]) for ranking, rows in parts
    )
    threshold = certify(PROMISE, [held_out], [known])[0].threshold
    if threshold is None:
        return None
    losses = fresh.losses(PROMISE) * (fresh.scores >= threshold - 1e-9)
    noise = losses.std(ddof=1) / np.sqrt(len(losses))
    return bool(losses.mean() <= PROMISE.max_loss + 1.645 * noise)


def broken(told: Sequence[bool | None]) -> tuple[str, str]:
    """Say how many promises were made, and how many of them were broken."""
    return f"{len(told) - told.count(None)} of {len(told)}", str(told.count(False))


async def measure(splits: int, console: Console) -> None:
    """Print the table."""
    table = plain_table(
        "gain over the strict chord", *WAYS, "fitted, 95 %", "learned", "certified", "broken", right=WAYS
    )
    means: dict[str, list[float]] = {name: [] for name in WAYS}
    promises: list[bool | None] = []
    started = time.process_time()
    for name, (ensemble, target_name) in SETS.items():
        rows = read(name)
        if rows is None:
            console.print(f"skipped {name}: not in the folder of recorded sets")
            continue
        sights, target = await look(rows, ensemble, target_name)
        lengths = np.array([float(len(question_text(row.messages))) for row in rows])
        found = [split_gains(sights, target, lengths, *both) for both in halves(len(rows), splits)]
        gains = {way: np.mean([one[way] for one in found], axis=0) for way in WAYS}
        for way in WAYS:
            means[way].append(float(gains[way][0]))
        spread = 1.96 * gains["fitted"][1:].std()
        learned = sum(one["taken"] == "learned quality" for one in found)
        low, high = gains["fitted"][0] - spread, gains["fitted"][0] + spread
        values = [f"{gains[way][0]:+.4f}" for way in WAYS]
        told = [one["kept"] for one in found]
        promises += told
        table.add_row(name, *values, f"{low:+.3f} to {high:+.3f}", f"{learned} of {splits}", *broken(told))
        console.print(f"{name}: fitted {gains['fitted'][0]:+.4f}", style="dim")
    if means["fitted"]:
        table.add_row("mean", *(f"{np.mean(means[way]):+.4f}" for way in WAYS), "", "", *broken(promises))
        console.print(table)
        console.print(f"{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else SPLITS, Console(width=160)))
