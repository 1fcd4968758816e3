"""The report: one page that needs nothing beside itself, to look at what a cascade does and what it is worth.

The page holds its data, its styles, and Vega to draw with. A content security policy lets run only the two scripts
that it came with, by their hashes, and lets nothing be fetched. What models said is text wherever it is shown.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from semcascade import __version__
from semcascade.errors import InputError, MissingDependencyError
from semcascade.evaluation import plots
from semcascade.evaluation.studying import Study

if TYPE_CHECKING:
    import jinja2

__all__ = ["prepare", "render", "save"]

_ALT = {
    "deferral": "Line chart: mean quality against the share of queries that the target answers, for every signal, "
    "with the 95 % interval of the chosen one. The numbers are in the table of signals.",
    "frontier": "Line chart: mean quality against cost as the threshold moves, with every system alone as a point. "
    "The numbers are in the table of thresholds.",
    "histogram": "Bar chart: how many good and bad answers have which score.",
    "reliability": "Points with intervals: mean quality of answers of about the same score, against that score.",
}


def prepare() -> None:
    """Load what draws, so that what is missing is told before anything else is done.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    plots.prepare()
    _template()


def render(study: Study) -> str:
    """Return the report as HTML.

    Args:
        study: What it is about.

    Raises:
        MissingDependencyError: If what draws is not installed.
    """
    template = _template()
    pictures = plots.charts(study, width="container")
    data = {
        "charts": {name: plots.specification(chart) for name, chart in pictures.items()},
        "themes": {"light": plots.theme(), "dark": plots.theme(dark=True)},
        "steps": [dataclasses.asdict(step) for step in study.steps],
    }
    scripts = [_vega(), _asset("page.js")]
    return template.render(
        study=study,
        it=study.evaluation,
        alt=_ALT,
        data=data,
        style=_asset("page.css"),
        scripts=scripts,
        hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        version=__version__,
    )


def save(study: Study, path: str | Path) -> None:
    """Write the report to a file.

    Raises:
        InputError: If it cannot be written.
        MissingDependencyError: If what draws is not installed.
    """
    page = render(study)
    try:
        Path(path).write_text(page, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}", field="out") from error


def _template() -> jinja2.Template:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("jinja2", extra="report", purpose="the report") from error
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    page.policies["json.dumps_kwargs"] = {"allow_nan": False}
    page.filters |= {"percent": _percent, "number": _number, "signed": _signed}
    return page.from_string(_asset("page.html.jinja"))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    try:
        import vl_convert
    except ImportError as error:
        raise MissingDependencyError("vl-convert-python", extra="report", purpose="the report") from error
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r", "\n")


def _asset(name: str) -> str:
    return resources.files("semcascade.evaluation").joinpath("page", name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
