"""`semcascade score`."""

import json

import pytest

from semcascade.evaluation import read_rows


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"id": "1", "input": "Capital of Japan?", "outputs": {"a": "Tokyo", "t": "It is Tokyo."}, "reference": "Tokyo"},
        {"id": "2", "input": "And of France?", "outputs": {"a": "Lyon", "t": "Paris"}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_is_scored(shell, data, tmp_path):
    out = tmp_path / "out.jsonl"
    done = shell("score", str(data), "--by", "exact", "--out", str(out), "--json")
    assert (done.code, done.json["scored"], done.json["rows"]) == (0, 1, 2), done.err
    assert "1 of 2 rows have no scores; the first: rows.jsonl:2: no reference" in done.err
    assert [row.scores for row in read_rows(out)] == [{"a": 1.0, "t": 0.0}, {}]


def test_a_function_of_the_folder_scores(shell, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grading_here.py").write_text("def short(answer, row):\n    return len(answer.text) < 6\n")
    done = shell("score", str(data), "--by", "grading_here:short", "--out", str(data))
    assert done.code == 0, done.err
    assert [row.scores for row in read_rows(data)] == [{"a": 1.0, "t": 0.0}, {"a": 1.0, "t": 1.0}]


def test_a_judge_of_the_configuration_judges(shell, data, configured, server, tmp_path):
    server.script["c"] = '{"1_2": "better", "2_1": "better"}'
    out = tmp_path / "judged.jsonl"
    done = shell("score", str(data), "--by", "judge:c", "--target", "t", "-c", configured(), "--out", str(out))
    assert done.code == 0, done.err
    assert "4 calls, $0.000" in done.err
    assert [row.scores for row in read_rows(out)] == [{"a": 1.0, "t": 0.5}] * 2
    assert {request.model for request in server.asked()} == {"c"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "x.jsonl"), "--by"),
        (("--by", "exact"), "--out"),
        (("--by", "rogue", "--out", "x.jsonl"), "no way 'rogue'"),
        (("--by", "target", "--out", "x.jsonl"), "say which system"),
        (("--by", "math:sqrt", "--out", "x.jsonl"), "rows.jsonl:1: math:sqrt failed on the answer of 'a': TypeError"),
    ],
)
def test_wrong_usage(shell, data, arguments, words):
    done = shell("score", str(data), *arguments)
    assert done.code == 2
    assert words in done.err
