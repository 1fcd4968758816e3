"""`semcascade record`."""

import json

import pytest

from semcascade.evaluation import read_rows
from tests.cli.conftest import KEY
from tests.support.openai_server import Status


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("id,input,reference\n1,Capital of Japan?,Tokyo\n2,And of France?,Paris\n")
    return str(path)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run.jsonl"


def test_a_run_is_recorded_and_gone_on_with(shell, configured, server, prompts, run):
    config = configured()
    done = shell("record", prompts, "-c", config, "--out", str(run), "--limit", "1")
    assert (done.code, done.out) == (0, ""), done.err
    assert "1 of 1 prompts, 4 answers asked for" in done.err
    done = shell("record", prompts, "-c", config, "--out", str(run), "--json")
    assert (done.json["done"], done.json["asked"], done.json["reused"]) == (2, 4, 4)
    assert done.json["cost"] > 0
    assert len(server.requests) == 8
    assert [(row.id, row.reference, row.answers["a"].text) for row in read_rows(run)] == [
        ("1", "Tokyo", "Tokyo"), ("2", "Paris", "Tokyo"),
    ]  # fmt: skip
    assert KEY not in run.read_text()


def test_prompts_in_parquet_are_recorded(shell, configured, server, run, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    asked = [{"role": "user", "content": "And of France?"}]
    path = tmp_path / "prompts.parquet"
    both = [{"id": "1", "input": "Capital of Japan?", "messages": None}, {"id": "2", "input": None, "messages": asked}]
    pq.write_table(pa.Table.from_pylist(both), path)
    done = shell("record", str(path), "-c", configured(), "--out", str(run))
    assert done.code == 0, done.err
    assert "2 of 2 prompts, 8 answers asked for" in done.err
    assert [(row.id, row.messages[0]["content"]) for row in read_rows(run)] == [
        ("1", "Capital of Japan?"), ("2", "And of France?"),
    ]  # fmt: skip


def test_a_limit_and_failures_are_told(shell, configured, server, prompts, run):
    server.fail("b", Status(400))
    done = shell("record", prompts, "-c", configured(), "--out", str(run))
    assert done.code == 0
    assert "failures: b 2" in done.err
    assert "--retry-failed asks for them again" in done.err
    server.heal()
    assert "failures" not in shell("record", prompts, "-c", configured(), "--out", str(run), "--retry-failed").err
    other = run.with_name("other.jsonl")
    done = shell("record", prompts, "-c", configured(), "--out", str(other), "--max-cost", "0")
    assert "stopped before it would cost more than $0" in done.err
    assert list(read_rows(other)) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--out"),
        (("--out", "run.jsonl", "--concurrency", "0"), "--concurrency"),
        (("--out", "/proc/none/run.jsonl"), "cannot write"),
    ],
)
def test_wrong_usage(shell, configured, prompts, arguments, words):
    done = shell("record", prompts, "-c", configured(), *arguments)
    assert done.code == 2
    assert words in done.err


def test_a_bad_prompt_is_named_before_anything_is_asked(shell, configured, server, tmp_path, run):
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"input": "x"}) + "\n" + json.dumps({"text": "y"}) + "\n")
    done = shell("record", str(path), "-c", configured(), "--out", str(run))
    assert done.code == 2
    assert "prompts.jsonl:2" in done.err
    assert server.requests == []


def test_progress_is_shown_to_who_watches(on_terminal, configured, prompts, run):
    code, shown = on_terminal("record", prompts, "-c", configured(), "--out", str(run))
    assert code == 0
    assert "2/2" in shown
    assert "$0.000" in shown
