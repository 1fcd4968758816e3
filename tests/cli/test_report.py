"""`semcascade report`."""

import json
import os
import re
import subprocess
import sys

import pytest

from semcascade import load_policy
from tests.evaluation.rows import questions


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "sums.jsonl"
    rows = [
        {"id": row.id, "task": row.task, "input": row.messages[0]["content"], "scores": dict(row.scores),
         "outputs": {name: answer.text for name, answer in row.answers.items()}}
        for row in questions(40)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "id": "no scores", "scores": {}}]))
    return path


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "semcascade", "report", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env={"PATH": "", "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"},
    )  # fmt: skip


def test_a_page_is_written_and_what_was_left_out_is_told(data, tmp_path):
    pytest.importorskip("altair", reason="the report's extra is not installed")
    out = tmp_path / "page.html"
    done = run(data, "--ensemble", "small,other,third", "--target", "large", "--out", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "1 of 41 rows are not labelled" in done.stderr
    assert f"wrote {out}" in done.stderr
    page = out.read_text(encoding="utf-8")
    assert "<h1>sums</h1>" in page
    assert "40 questions" in page


@pytest.mark.parametrize("missing", ["altair", "vl_convert", "jinja2"])
def test_what_cannot_be_drawn_is_told_before_anything_is_replayed(data, tmp_path, missing, shell, monkeypatch):
    for name in ("altair", "vl_convert", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else type(sys)(name))
    monkeypatch.setattr("semcascade.evaluation.studying.study", lambda *_, **__: pytest.fail("it was replayed"))
    out = tmp_path / "page.html"
    done = shell("report", str(data), "--ensemble", "small,other,third", "--target", "large", "--out", str(out))
    assert done.code == 2
    assert "pip install 'semcascade[report]'" in done.err
    assert not out.exists()


def test_the_certificate_of_a_fitted_policy_stands_on_the_page(data, tmp_path, shell):
    pytest.importorskip("altair", reason="the report's extra is not installed")
    pytest.importorskip("sklearn", reason="the extra that fits is not installed")
    policy, out = tmp_path / "policy.json", tmp_path / "page.html"
    systems = ("--ensemble", "small,other,third", "--target", "large")
    done = shell("calibrate", str(data), *systems, "--max-loss", "0.4", "--claim", "joint", "--out", str(policy))
    assert done.code == 0, done.err
    done = shell("report", str(data), "--policy", str(policy), "--out", str(out))
    assert done.code == 0, done.err
    (told,) = re.findall("<p>(Certified by [^<]*)</p>", out.read_text(encoding="utf-8"))
    assert told.lower()[:-1] == str(load_policy(policy).certificate).lower()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "x.html"), "does not say who is the target"),
        (("--ensemble", "small,other", "--target", "large"), "--out"),
    ],
)
def test_bad_usage_exits_with_2(data, arguments, words):
    done = run(data, *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_systems_that_the_rows_lack_are_named(data, tmp_path):
    pytest.importorskip("altair", reason="the report's extra is not installed")
    done = run(data, "--ensemble", "small,nobody", "--target", "large", "--out", tmp_path / "x.html")
    assert done.returncode == 2
    assert "nobody" in done.stderr


def test_what_is_read_is_not_written_over(data):
    kept = data.read_bytes()
    done = run(data, "--ensemble", "small,other", "--target", "large", "--out", data)
    assert (done.returncode, data.read_bytes()) == (2, kept)
    assert "write to another file" in done.stderr
