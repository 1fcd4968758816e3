"""What routers are worth on recorded answers of real models: `python -m tests.benchmarks.router [SPLITS]`.

Each set is halved at random; policy and router are fitted on one half, with the router switched off where it saves
nothing beyond noise there, and measured on the other, 5 times unless told. Thresholds defer 30, 50, 70 and 90 % of the
first half's rows; a member costs 0.05, 0.10 or 0.15 of the target, the ensemble three times that.

- saved: cost of a query, as a share of the target's, that the router saves at the same thresholds; "constant" of which
  a router saves that knows nothing of the query (all queries to the target, where the ensemble costs more than it
  spares); "quality" what it changes in mean quality;
- equal quality: the least cost at which some threshold, or always the target, reaches a quality, without less with the
  router; mean over qualities;
- complexity: the cold metric, which nothing is fitted to: area under its ROC curve for deferral by agreement (half of the
  rows) and for the target's answer being better than the first member's; 0.5 knows nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console

from semcascade.cli.tables import plain_table
from semcascade.config import CascadeConfig
from semcascade.evaluation.entering import Asked, Entering, deferrals, fit_entry, past_queries, walked
from semcascade.evaluation.recipes import accepted, choose_recipe, recipes_for
from semcascade.evaluation.sights import Ranking, Sights
from semcascade.evaluation.thresholds import TierRows
from semcascade.messages import question_text
from tests.benchmarks.policies import halves, look
from tests.benchmarks.quality import SETS, read

PRICES, RATES, SPLITS = (0.05, 0.10, 0.15), (0.3, 0.5, 0.7, 0.9), 5
NUMBERS = ("saved", "constant", "quality", "equal quality")


def tier_rows(ranking: Ranking, sights: Sights, target: np.ndarray, rows: np.ndarray) -> TierRows:
    """Return what the ensemble says of some rows."""
    return TierRows(ranking.scores, accepted(ranking, sights.quality[rows]), target[rows])


def split_points(
    asked: Asked, config: CascadeConfig, sights: Sights, target: np.ndarray, fit: np.ndarray, rest: np.ndarray
) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Yield for each price and threshold: cost and quality without, with a constant and with the fitted router."""
    recipe = choose_recipe(recipes_for(sights, target, fit), sights, target, fit)[0].recipe
    known, shown = (
        tier_rows(recipe.ranking, sights, target, fit),
        tier_rows(recipe.rank(sights, rest), sights, target, rest),
    )
    for price in PRICES:
        cost = np.stack([np.full(len(target), 3 * price), np.ones(len(target))])
        for rate in RATES:
            bar = float(np.nanquantile(known.scores, rate))
            past = past_queries(asked, config, [sights], [known], deferrals([known], [bar]), cost, fit)
            found = fit_entry(past, [known], cost[:, fit])
            deferred = deferrals([shown], [bar])
            constant = np.full(len(rest), int(3 * price + past.deferred.mean() > 1))
            ways = (np.zeros(len(rest), dtype=int), constant, starts(found, asked, rest))
            walks = [walked(way, deferred, [shown], cost[:, rest]) for way in ways]
            yield price, [np.array([spent.mean(), quality.mean()]) for spent, quality in walks]


def starts(found: Entering, asked: Asked, rows: np.ndarray) -> np.ndarray:
    """Return where rows start."""
    return np.zeros(len(rows), dtype=int) if found.router is None else asked.starts(found.router, rows)


def cheaper(without: list[np.ndarray], routed: list[np.ndarray], target: float) -> float:
    """Return by how much qualities are reached at less cost."""
    low, high = (pick([point[1] for point in without] + [target]) for pick in (min, max))
    levels = np.linspace(low, high, 21)[4:-2]

    def least(points: list[np.ndarray]) -> np.ndarray:
        options = [*points, np.array([1.0, target])]
        return np.array([min([p[0] for p in options if p[1] >= level], default=1.0) for level in levels])

    return float((least(without) - least(routed)).mean())


def split_worth(points: list[tuple[float, list[np.ndarray]]], target: float) -> dict[float, np.ndarray]:
    """Return for each price what a split came to, (len(NUMBERS),)."""
    worth = {}
    for price in PRICES:
        without, constant, routed = (
            list(way) for way in zip(*(three for at, three in points if at == price), strict=True)
        )
        saved = np.mean(without, axis=0) - np.mean(routed, axis=0)
        idle = np.mean(without, axis=0) - np.mean(constant, axis=0)
        worth[price] = np.array([saved[0], idle[0], -saved[1], cheaper(without, routed, target)])
    return worth


def area(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve, ties at half."""
    above = score[positive][:, None] - score[~positive][None]
    return float((np.sign(above) / 2 + 0.5).mean()) if above.size else float("nan")


async def measure(splits: int, console: Console) -> None:
    """Print the tables."""
    table = plain_table("member at", *(f"{price:.2f} {name}" for price in PRICES for name in NUMBERS))
    cold = plain_table("complexity", "median", "deferral", "target is better")
    means, areas, started = [], [], time.process_time()
    for name, (ensemble, target_name) in SETS.items():
        rows = read(name)
        if rows is None:
            console.print(f"skipped {name}: not in the folder of recorded sets")
            continue
        sights, target = await look(rows, ensemble, target_name)
        config = CascadeConfig.build(ensemble=list(ensemble), target=target_name)
        asked = await Asked.by((question_text(row.messages), len(row.tools)) for row in rows)
        found = [
            split_worth(list(split_points(asked, config, sights, target, fit, rest)), float(target[rest].mean()))
            for fit, rest in halves(len(rows), splits)
        ]
        worth = np.stack([np.mean([one[price] for one in found], axis=0) for price in PRICES])
        means.append(worth)
        table.add_row(name, *(f"{value:+.4f}" for value in worth.ravel()))
        complexity = np.array([one.value for one in asked.seen])
        agreement = np.nan_to_num(sights.rankings["agreement", "auto"].scores)
        better = target - sights.quality[:, 0] > 1e-9
        areas.append([area(complexity, agreement < np.median(agreement)), area(complexity, better)])
        cold.add_row(name, f"{np.median(complexity):.2f}", *(f"{value:.3f}" for value in areas[-1]))
        console.print(f"{name}: {worth[0, 0]:+.4f} {worth[1, 0]:+.4f} {worth[2, 0]:+.4f}", style="dim")
    if means:
        table.add_row("mean", *(f"{value:+.4f}" for value in np.mean(means, axis=0).ravel()))
        cold.add_row("mean", "", *(f"{value:.3f}" for value in np.nanmean(areas, axis=0)))
        console.print(table, cold)
        console.print(f"{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else SPLITS, Console(width=240)))
