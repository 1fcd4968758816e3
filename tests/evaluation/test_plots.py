import asyncio
import dataclasses
import json
import sys
from xml.etree import ElementTree

import pytest

from semcascade.errors import InputError, MissingDependencyError
from semcascade.evaluation import plots
from semcascade.evaluation.studying import study
from tests.evaluation.rows import HOSTILE, MEMBERS, questions


@pytest.fixture(scope="module")
def found():
    return asyncio.run(study(questions(60), MEMBERS, "large", title=HOSTILE))


@pytest.fixture
def drawing():
    pytest.importorskip("altair", reason="the report's extra is not installed")
    pytest.importorskip("vl_convert", reason="the report's extra is not installed")


@pytest.mark.usefixtures("drawing")
def test_pictures_are_saved_as_svg_and_png_light_and_dark(found, tmp_path):
    charts = plots.charts(found)
    assert tuple(charts) == plots.NAMES
    for name, chart in charts.items():
        plots.save(chart, tmp_path / f"{name}.svg", dark=name == "frontier")
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        ElementTree.fromstring(text)
    assert 'fill="#16181c"' in (tmp_path / "frontier.svg").read_text(encoding="utf-8")
    plots.save(charts["histogram"], tmp_path / "histogram.png")
    assert (tmp_path / "histogram.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("drawing")
def test_axes_of_cost_and_counts_start_at_nothing_and_rates_end_at_one(found):
    charts = {name: plots.specification(chart) for name, chart in plots.charts(found).items()}
    assert all(layer["encoding"]["x"]["scale"]["zero"] for layer in charts["frontier"]["layer"])
    bars = charts["histogram"]["layer"][0]["data"]["values"]
    assert {row["answer"] for row in bars} == {"good", "bad"}
    assert all(row["since"] == 0 for row in bars if row["answer"] == "good")
    assert all(row["to"] - row["since"] == row["rows"] for row in bars)
    assert charts["deferral"]["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 1]


@pytest.mark.usefixtures("drawing")
def test_specifications_are_vega_lite(found, tmp_path):
    for chart in plots.charts(found).values():
        chart.to_dict()  # Altair validates by the schema
    plots.save(chart, tmp_path / "reliability.json")
    assert "vega-lite" in json.loads((tmp_path / "reliability.json").read_text())["$schema"]
    with pytest.raises(InputError, match=r"cannot draw \.bmp"):
        plots.save(chart, tmp_path / "reliability.bmp")


@pytest.mark.usefixtures("drawing")
def test_notebooks_show_tables_and_pictures_that_need_nothing_and_run_nothing(found):
    for shown in (found, found.evaluation):
        html = shown._repr_html_()
        assert "<svg" in html
        assert "<table>" in html
        assert "<script" not in html.lower()
        assert "currentColor" in html, "text takes the notebook's colour"


def test_names_in_notebooks_stay_text(found):
    hostile = dataclasses.replace(found.evaluation, best_member=(HOSTILE, 0.5), notes=(HOSTILE,))
    assert "<script" not in hostile._repr_html_().lower().replace("&lt;script", "")


def test_without_the_extra_notebooks_show_the_table_and_drawing_says_what_to_install(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    assert "<svg" not in found.evaluation._repr_html_()
    assert "<table>" in found.evaluation._repr_html_()
    with pytest.raises(MissingDependencyError, match=r"semcascade\[report\]"):
        plots.charts(found)
