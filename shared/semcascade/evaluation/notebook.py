"""How evaluations and studies look in a notebook: a table, and pictures where what draws them is installed.

Nothing is fetched and no script is run, so that a notebook shows them offline, untrusted, and after it was saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from semcascade.errors import MissingDependencyError

if TYPE_CHECKING:
    from semcascade.evaluation.evaluating import Evaluation
    from semcascade.evaluation.studying import Study

__all__ = ["evaluation_html", "study_html"]


def evaluation_html(it: Evaluation) -> str:
    """Return an evaluation as HTML."""
    return f"<div>{_table(it)}{''.join(_evaluation_pictures(it))}</div>"


def study_html(study: Study) -> str:
    """Return a study as HTML."""
    title = f"<h3>{escape(study.title)}</h3>" if study.title else ""
    return f"<div>{title}{_table(study.evaluation)}{''.join(_study_pictures(study))}</div>"


def _table(it: Evaluation) -> str:
    name, quality = it.best_member
    low, high = it.chord_gain_ci
    at = it.at_threshold
    spent = f"{at['deferral_rate']:.0%} deferred, {at['cost']:.0%} of the target's cost"
    rows = {
        "questions": str(it.n),
        "signal": it.signal,
        "quality of the target": f"{it.target_quality:.3f}",
        f"quality of the best member, {name}": f"{quality:.3f}",
        "quality of the ensemble": f"{it.ensemble_quality:.3f}",
        "gain over deferring at random": f"{it.gain:+.4f}",
        f"gain over mixing {name} at random with the target": f"{it.chord_gain:+.4f} ({low:+.4f} to {high:+.4f})",
        "cost of 99 % of the target's quality": f"{it.cost_at_99:.0%} of always asking it",
        "as it is set": f"{spent}, quality {at['quality']:.3f}",
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(key)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for key, value in rows.items()
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in it.notes)
    return f"<table>{cells}</table>{notes}"


def _evaluation_pictures(it: Evaluation) -> Iterable[str]:
    from semcascade.evaluation import plots

    try:
        return [plots.to_svg(plots.cost_curve(it))]
    except MissingDependencyError:
        return []


def _study_pictures(study: Study) -> Iterable[str]:
    from semcascade.evaluation import plots

    try:
        return [plots.to_svg(chart) for chart in plots.charts(study).values()]
    except MissingDependencyError:
        return []
