"""Pictures of a study: Vega-Altair charts, for the report, for notebooks, and as PNG or SVG for papers.

    charts = plots.charts(study)
    plots.save(charts["frontier"], "frontier.svg")

Needs `pip install 'semcascade[report]'`. Colours are those of Okabe and Ito (2008), which colour-blind people can tell
apart; no picture tells by colour alone. Quality axes need not start at 0, cost and count axes do.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from semcascade.errors import InputError, MissingDependencyError
from semcascade.evaluation.evaluating import Evaluation
from semcascade.evaluation.studying import GRID, Study, System

if TYPE_CHECKING:
    import altair as alt

    Chart: TypeAlias = alt.LayerChart

__all__ = ["NAMES", "charts", "cost_curve", "prepare", "save", "specification", "theme", "to_svg"]

NAMES = ("deferral", "frontier", "histogram", "reliability")
"""The pictures of a study."""

_CASCADE, _ALONE, _SET = "the cascade, by threshold", "one system alone", "at this threshold"
_NEAR = 0.02
_COST = "cost, as a share of always asking the target"
_WIDTH, _HEIGHT = 460, 300
_LIGHT = ("#0072B2", "#767676", "#B34A00", "#00795A", "#A8487E")
_DARK = ("#56B4E9", "#9A9A9A", "#E69F00", "#2FC79B", "#E39CC5")
_DASHES = [[1, 0], [1, 0], [2, 3], [8, 4], [6, 2, 1, 2]]
_KINDS = ("this signal", "other signals", "deferred at random", "best member, mixed at random", "oracle")


def prepare() -> None:
    """Load what draws, and what makes files of it.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    _altair()
    _vl_convert()


def charts(study: Study, *, width: int | str = _WIDTH) -> dict[str, Chart]:
    """Return every picture of a study by its name; see `NAMES`.

    Args:
        study: What to draw.
        width: Pixels, or "container".

    Raises:
        MissingDependencyError: If Vega-Altair is not installed.
    """
    draw = {"deferral": _deferral, "frontier": _frontier, "histogram": _histogram, "reliability": _reliability}
    return {name: draw[name](study).properties(width=width, height=_HEIGHT) for name in NAMES}


def save(chart: Chart, path: str | Path, *, dark: bool = False) -> None:
    """Write a picture to a file: `.svg`, `.png`, `.pdf`, or `.json` for its Vega-Lite specification.

    Raises:
        InputError: If the file's ending says none of these.
        MissingDependencyError: If Vega-Altair or vl-convert is not installed.
    """
    path, vl_convert = Path(path), _vl_convert()
    spec = specification(chart) | {"config": {**theme(dark=dark), "background": "#16181c" if dark else "white"}}
    match path.suffix.lower():
        case ".svg":
            path.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
        case ".png":
            path.write_bytes(vl_convert.vegalite_to_png(spec, ppi=200))
        case ".pdf":
            path.write_bytes(vl_convert.vegalite_to_pdf(spec))
        case ".json":
            path.write_text(json.dumps(spec, allow_nan=False), encoding="utf-8")
        case other:
            raise InputError(
                f"cannot draw {other or 'a file without an ending'}: .svg, .png, .pdf or .json", field="path"
            )


def to_svg(chart: Chart) -> str:
    """Return a picture as SVG whose text takes the colour of the text around it, be that light or dark.

    Raises:
        MissingDependencyError: If Vega-Altair or vl-convert is not installed.
    """
    return str(_vl_convert().vegalite_to_svg(specification(chart) | {"config": theme(ink="currentColor")}))


def specification(chart: Chart) -> dict[str, Any]:
    """Return a picture as Vega-Lite, without asking the schema once more: that takes longer than drawing."""
    found: dict[str, Any] = chart.to_dict(validate=False)
    return found


def theme(*, dark: bool = False, ink: str | None = None) -> dict[str, Any]:
    """Return Vega-Lite's `config` for light or dark surroundings.

    Args:
        dark: Whether the background is dark.
        ink: Colour of text and axes, unless what suits the background.
    """
    text, faint, palette = ("#e8e8e8", "#44484f", _DARK) if dark else ("#1d1f23", "#d9dbe0", _LIGHT)
    text = ink or text
    return {
        "background": None,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": text, "titleColor": text, "gridColor": faint, "domainColor": text, "tickColor": text,
            "labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal", "gridOpacity": 0.6,
        },
        "legend": {
            "labelColor": text, "titleColor": text, "labelFontSize": 12, "orient": "bottom", "columns": 2,
            "symbolStrokeWidth": 3, "labelLimit": 260, "title": None,
        },
        "text": {"color": text, "fontSize": 12},
        "area": {"color": palette[0]},
        "line": {"color": palette[0]},
        "point": {"color": palette[2]},
        "rule": {"color": text},
        "range": {"category": list(palette)},
    }  # fmt: skip


def _altair() -> Any:
    try:
        import altair
    except ImportError as error:
        raise _missing() from error
    return altair


def _vl_convert() -> Any:
    try:
        import vl_convert
    except ImportError as error:
        raise _missing() from error
    return vl_convert


def _missing() -> MissingDependencyError:
    return MissingDependencyError("altair", extra="report", purpose="drawing")


def _data(rows: Iterable[Mapping[str, Any]], name: str | None = None) -> Any:
    alt = _altair()
    return alt.Data(values=list(rows), **({"name": name} if name else {}))


def _quality(alt: Any, values: Iterable[float | None]) -> Any:
    """Return a quality axis that shows where the values lie, with a tenth of their span to spare."""
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    spare = max((high - low) * 0.1, 0.01)
    return alt.Scale(domain=[max(0.0, low - spare), min(1.0, high + spare)], nice=True, zero=False)


def _deferral(study: Study) -> Chart:
    """Quality against the share of rows deferred: one signal with its interval, the others, chance and oracle."""
    alt = _altair()
    curves, lines = list(_curves(study)), list(_references(study))
    x = alt.X("rate:Q", axis=alt.Axis(format="%", title="answered by the target"), scale=_unit(alt))
    known = [row[key] for row in curves for key in ("low", "high")] + [row["quality"] for row in lines]
    y = alt.Y("quality:Q", title="mean quality", scale=_quality(alt, known))
    legend = alt.Legend(title=None, symbolType="stroke")
    kinds = alt.Scale(domain=list(_KINDS), range="category")
    colour = alt.Color("kind:N", scale=kinds, legend=legend)
    dash = alt.StrokeDash("kind:N", scale=alt.Scale(domain=list(_KINDS), range=_DASHES), legend=legend)
    told = [alt.Tooltip("signal:N"), alt.Tooltip("rate:Q", format=".0%"), alt.Tooltip("quality:Q", format=".3f")]
    base = alt.Chart(_data(curves))
    mine = base.transform_filter("datum.signal === chosen").transform_calculate(kind=f"'{_KINDS[0]}'")
    others = base.transform_filter("datum.signal !== chosen").transform_calculate(kind=f"'{_KINDS[1]}'")
    now = alt.Chart(_data(_now(study), "now")).mark_point(size=150, filled=True, opacity=1, shape="diamond")
    band = mine.mark_area(opacity=0.22).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
    return alt.layer(
        band,
        others.mark_line(strokeWidth=1).encode(
            x=x, y=y, color=colour, strokeDash=dash, detail="signal:N", tooltip=told
        ),
        alt.Chart(_data(lines)).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash),
        mine.mark_line(strokeWidth=3).encode(x=x, y=y, color=colour, strokeDash=dash, tooltip=told),
        now.encode(x=x, y=y, tooltip=[alt.Tooltip("threshold:Q", format=".2f")]),
    ).add_params(alt.param(name="chosen", value=study.signals[0].name))


def _curves(study: Study) -> Iterator[dict[str, Any]]:
    for one in study.signals:
        for rate, quality, low, high in zip(GRID, one.quality, one.low, one.high, strict=True):
            yield {"signal": one.name, "rate": round(float(rate), 4), "quality": float(quality), "low": float(low),
                   "high": float(high)}  # fmt: skip


def _references(study: Study) -> Iterator[dict[str, Any]]:
    it = study.evaluation
    for kind, start in ((_KINDS[2], it.ensemble_quality), (_KINDS[3], it.best_member[1])):
        yield {"kind": kind, "rate": 0.0, "quality": start}
        yield {"kind": kind, "rate": 1.0, "quality": it.target_quality}
    for rate, quality in zip(GRID, study.oracle, strict=True):
        yield {"kind": _KINDS[4], "rate": round(float(rate), 4), "quality": float(quality)}


def _now(study: Study) -> list[dict[str, Any]]:
    """Return where the cascade stands as it is set; the report's slider moves it."""
    at = study.evaluation.at_threshold
    return [{"threshold": at["threshold"], "rate": at["deferral_rate"], "cost": at["cost"], "quality": at["quality"]}]


def _frontier(study: Study) -> Chart:
    """Quality against cost: the cascade at every threshold, every system alone, and the best member mixed at random."""
    alt = _altair()
    best, target = _named(study, study.evaluation.best_member[0]), study.systems[-1]
    alone = [{"name": one.name, "cost": one.cost, "quality": one.quality, "kind": _ALONE} for one in study.systems]
    chord = [{"cost": one.cost, "quality": one.quality, "kind": _KINDS[3]} for one in (best, target)]
    points = list(_points(study))
    x = alt.X("cost:Q", axis=alt.Axis(format="%", title=_COST), scale=alt.Scale(zero=True, nice=True))
    y = alt.Y("quality:Q", title="mean quality", scale=_quality(alt, [row["quality"] for row in (*points, *alone)]))
    kinds = alt.Scale(domain=[_CASCADE, _ALONE, _SET, _KINDS[3]], range="category")
    colour = alt.Color("kind:N", scale=kinds, legend=alt.Legend(title=None))
    told = [alt.Tooltip("cost:Q", format=".0%"), alt.Tooltip("quality:Q", format=".3f")]
    by_threshold = [*told, alt.Tooltip("threshold:Q", format=".2f")]
    systems, now = alt.Chart(_data(alone)), alt.Chart(_data(_now(study), "now"))
    labels = alt.Chart(_data(_labels(alone)))
    left = labels.transform_filter(f"datum.cost >= {target.cost / 2!r}").mark_text(align="right", dx=-10, dy=-10)
    right = labels.transform_filter(f"datum.cost < {target.cost / 2!r}").mark_text(align="left", dx=10, dy=4)
    return alt.layer(
        alt.Chart(_data(chord)).mark_line(strokeDash=[8, 4], strokeWidth=2).encode(x=x, y=y, color=colour),
        alt.Chart(_data(points))
        .mark_line(strokeWidth=3)
        .encode(x=x, y=y, color=colour, order="order:Q", tooltip=by_threshold),
        systems.mark_point(size=80, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, tooltip=[alt.Tooltip("name:N"), *told]
        ),
        left.encode(x=x, y=y, text="name:N"),
        right.encode(x=x, y=y, text="name:N"),
        now.transform_calculate(kind=f"'{_SET}'")
        .mark_point(size=160, filled=True, opacity=1, shape="diamond")
        .encode(x=x, y=y, color=colour, tooltip=by_threshold),
    )


def _labels(alone: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one label for each system, or for those that lie so near to each other that two would overlap."""
    qualities = [row["quality"] for row in alone]
    near, found = (max(qualities) - min(qualities)) * 0.05, list[dict[str, Any]]()
    for row in sorted(alone, key=lambda one: (one["cost"], -one["quality"])):
        last = found[-1] if found else None
        if last and abs(last["cost"] - row["cost"]) < _NEAR and last["quality"] - row["quality"] <= near:
            last["name"] += f", {row['name']}"
        else:
            found.append(dict(row))
    return found


def _points(study: Study) -> Iterator[dict[str, Any]]:
    curve = study.evaluation.curve
    columns = zip(curve["cost"], curve["quality"], curve["threshold"], strict=True)
    for order, (cost, quality, threshold) in enumerate(columns):
        yield {"cost": cost, "quality": quality, "threshold": threshold, "kind": _CASCADE, "order": order}


def cost_curve(it: Evaluation, *, width: int = _WIDTH) -> Chart:
    """Return quality against cost of an evaluation alone: the cascade at every threshold, and as it is set.

    Raises:
        MissingDependencyError: If Vega-Altair is not installed.
    """
    alt = _altair()
    curve, at = it.curve, it.at_threshold
    points = [{"cost": c, "quality": q} for c, q in zip(curve["cost"], curve["quality"], strict=True)]
    x = alt.X("cost:Q", axis=alt.Axis(format="%", title=_COST), scale=alt.Scale(zero=True, nice=True))
    y = alt.Y("quality:Q", title="mean quality", scale=_quality(alt, [point["quality"] for point in points]))
    now = alt.Chart(_data([{"cost": at["cost"], "quality": at["quality"]}]))
    return alt.layer(
        alt.Chart(_data(points)).mark_line(strokeWidth=3).encode(x=x, y=y),
        now.mark_point(size=160, filled=True, opacity=1, shape="diamond").encode(x=x, y=y),
    ).properties(width=width, height=_HEIGHT)


def _named(study: Study, name: str) -> System:
    return next(one for one in study.systems if one.name == name)


def _histogram(study: Study) -> Chart:
    """How many good and bad answers have which score, the good ones below."""
    alt = _altair()
    rows = [
        {"start": one.start, "end": one.end, "answer": kind, "rows": to - since, "since": since, "to": to}
        for one in study.bins
        for kind, since, to in (("good", 0, one.good), ("bad", one.good, one.good + one.bad))
        if to > since
    ]
    kinds = ["good", "", "bad"]
    legend = alt.Legend(title=None, values=["good", "bad"], symbolType="square")
    colour = alt.Color("answer:N", scale=alt.Scale(domain=kinds, range="category"), legend=legend)
    x = alt.X("start:Q", axis=_scores(alt, study), scale=_unit(alt))
    told = [
        alt.Tooltip(f"{name}:{kind}") for name, kind in (("answer", "N"), ("rows", "Q"), ("start", "Q"), ("end", "Q"))
    ]
    most = max((one.good + one.bad for one in study.bins), default=1)
    y = alt.Y("since:Q", title="answers", scale=alt.Scale(domain=[0, most], nice=True))
    bars = alt.Chart(_data(rows)).mark_bar(binSpacing=1)
    now = alt.Chart(_data(_now(study), "now")).mark_rule(strokeWidth=2, strokeDash=[6, 3])
    return alt.layer(
        bars.encode(x=x, x2="end:Q", y=y, y2="to:Q", color=colour, tooltip=told),
        now.encode(x="threshold:Q"),
    )


def _reliability(study: Study) -> Chart:
    """Mean quality of answers of about the same score, against that score; on the dashed line both are the same."""
    alt = _altair()
    rows = [dataclasses.asdict(one) for one in study.groups]
    most = max((one.rows for one in study.groups), default=1)
    x = alt.X("score:Q", axis=_scores(alt, study), scale=_unit(alt))
    y = alt.Y("quality:Q", title="mean quality of these answers", scale=_unit(alt))
    told = [alt.Tooltip("score:Q", format=".2f"), alt.Tooltip("quality:Q", format=".3f"), alt.Tooltip("rows:Q")]
    base = alt.Chart(_data(rows)).transform_calculate(kind="'answers'")
    colour = alt.Color("kind:N", scale=alt.Scale(domain=["answers"], range="category"), legend=None)
    size = alt.Size("rows:Q", scale=alt.Scale(range=[40, 400], domain=[0, most]), legend=None)
    ends = _data([{"score": 0, "quality": 0}, {"score": 1, "quality": 1}])
    return alt.layer(
        alt.Chart(ends).mark_line(strokeDash=[4, 4], strokeWidth=1, color="#888888").encode(x=x, y=y),
        base.mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_circle(opacity=1).encode(x=x, y=y, size=size, color=colour, tooltip=told),
    )


def _scores(alt: Any, study: Study) -> Any:
    return alt.Axis(title=f"score: {study.evaluation.signal}", tickCount=5)


def _unit(alt: Any) -> Any:
    return alt.Scale(domain=[0, 1], nice=False)
