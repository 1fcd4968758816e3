"""`semcascade calibrate` and `semcascade policy`."""

import json

import pytest

from semcascade import load_policy


def lines(n=60, *, scores=True):
    for number in range(n):
        hard = number % 3 == 0
        outputs = {"a": "x" if hard else "4", "b": "y" if hard else "4", "t": "4"}
        quality = {"a": float(not hard), "b": float(not hard), "t": 1.0}
        yield {"id": str(number), "input": f"{number}?", "outputs": outputs, "scores": quality if scores else {}}


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines()))
    return path


@pytest.fixture
def run(shell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: shell(*map(str, arguments))


SYSTEMS = ("--ensemble", "a,b", "--target", "t")


def test_a_policy_is_fitted_shown_and_used(run, data, tmp_path):
    out = tmp_path / "policy.json"
    done = run("calibrate", data, *SYSTEMS, "--max-cost", "0.5", "--out", out)
    assert done.code == 0, done.err
    assert "over the strict chord" in done.out
    assert "written to" in done.err
    policy = load_policy(out)
    assert policy.tiers[0].members == ["a", "b"]
    assert policy.target == "t"
    shown = run("policy", out)
    assert shown.code == 0, shown.err
    assert "fitted for a mean cost of at most 50% of the target's" in shown.out
    assert "60 rows (scores)" in shown.out
    used = run("evaluate", data, "--policy", out, "--json", "-")
    assert used.code == 0, used.err
    assert json.loads(used.out)["at_threshold"]["cost"] <= 0.5


def test_what_is_not_certifiable_is_said(run, data, tmp_path):
    done = run("calibrate", data, *SYSTEMS, "--max-loss", "0.01", "--out", tmp_path / "p.json")
    assert done.code == 0, done.err
    assert "not certifiable with these 30 rows" in done.out
    assert "about 269 more rows are needed" in done.out
    assert "never" in done.out


def test_rows_without_scores_are_held_against_the_targets_answers(run, tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "p.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines(scores=False)))
    done = run("calibrate", path, *SYSTEMS, "--escalation-rate", "0.34", "--out", out)
    assert done.code == 0, done.err
    assert "has no scores" in done.err
    assert load_policy(out).data.likeness
    assert load_policy(out).tiers[0].reference.acceptance_rate == pytest.approx(2 / 3, abs=0.02)


def test_labels_that_begin_far_down_are_not_passed_over(run, tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "p.json"
    given = [line | {"scores": line["scores"] if number >= 30 else {}} for number, line in enumerate(lines())]
    path.write_text("".join(json.dumps(line) + "\n" for line in given))
    done = run("calibrate", path, *SYSTEMS, "--escalation-rate", "0.34", "--out", out)
    assert done.code == 0, done.err
    assert "30 of 60 rows" in done.err
    assert (load_policy(out).data.quality, load_policy(out).data.rows) == ("scores", 30)


def test_answers_that_are_all_the_same_are_fitted_to(run, tmp_path):
    """Nothing tells such answers apart but the question."""
    path = tmp_path / "rows.jsonl"
    given = [line | {"outputs": dict.fromkeys("abt", "4")} for line in kinds(40)]
    path.write_text("".join(json.dumps(line) + "\n" for line in given))
    done = run("calibrate", path, *SYSTEMS, "--escalation-rate", "0.5", "--out", tmp_path / "p.json")
    assert done.code == 0, done.err


@pytest.mark.parametrize("command", ["calibrate", "evaluate", "report"])
def test_a_target_alone_has_nothing_to_decide(run, tmp_path, command):
    path, out = tmp_path / "run.jsonl", tmp_path / "out"
    header = {"semcascade_run": 1, "members": {"t": {"model": "t"}}, "tiers": [["t"]], "target": "t"}
    asked = {"messages": [{"role": "user", "content": "?"}], "answers": {"t": {"text": "4"}}, "scores": {"t": 1.0}}
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *({"id": str(n)} | asked for n in range(9))]))
    done = run(command, path, *(() if command == "evaluate" else ("--out", out)))
    assert done.code == 2
    assert "tiers: the target alone has nothing to decide" in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    "options, says",
    [
        (("--max-loss", "0.1", "--max-cost", "0.4"), "exclude each other"),
        (("--max-cost", "0.05"), "asking the first tier alone costs 10% of the target"),
        (("--confidence", "0.3"), "confidence"),
        (("--claim", "nonsense"), "nonsense"),
        (("--max-cost", "inf"), "max_cost"),
        (("--good", "nan"), "good: expected a number from 0 to 1, got nan"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_wrong_options_are_told_and_nothing_is_written(run, data, tmp_path, options, says):
    out = tmp_path / "p.json"
    done = run("calibrate", data, *SYSTEMS, *options, "--out", out)
    assert done.code == 2
    assert says in done.err
    assert not out.exists()


def test_too_few_rows_are_told(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines(4)))
    done = run("calibrate", path, *SYSTEMS, "--out", tmp_path / "p.json")
    assert done.code == 2
    assert "4 labelled rows tell nothing" in done.err


def test_a_file_that_is_no_policy_is_refused(run, data):
    done = run("policy", data)
    assert done.code == 2
    assert "rows.jsonl" in done.err


def test_rows_in_parquet_are_fitted_to_evaluated_and_scored(run, data, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    path, out, scored = tmp_path / "rows.parquet", tmp_path / "p.json", tmp_path / "scored.jsonl"
    pq.write_table(pa.Table.from_pylist(list(lines())), path)
    fits = [run("calibrate", one, *SYSTEMS, "--max-cost", "0.5", "--out", out) for one in (data, path)]
    assert [done.code for done in fits] == [0, 0], fits[1].err
    assert fits[0].out == fits[1].out, "the same rows, the same policy"
    found = [json.loads(run("evaluate", one, "--policy", out, "--json", "-").out) for one in (data, path)]
    assert found[0] == found[1]
    done = run("score", path, "--by", "target", "--target", "t", "--out", scored)
    assert done.code == 0, done.err
    assert json.loads(run("evaluate", scored, *SYSTEMS, "--json", "-").out)["n"] == 60


def kinds(n=80):
    """Answers to hard questions, and to no others, are never the same."""
    for number in range(n):
        hard = number % 2
        asked = "Prove the theorem {} for all primes, in full." if hard else "What is the capital of country {}?"
        said = {"a": str(number), "b": str(number + 500 * hard), "t": str(number)}
        scores = {"a": 1.0 - hard, "b": 1.0 - hard, "t": 1.0}
        yield {"id": str(number), "input": asked.format(number), "outputs": said, "scores": scores}


def test_where_queries_start_is_fitted_shown_and_used(run, tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "p.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in kinds()))
    done = run("calibrate", path, *SYSTEMS, "--max-cost", "0.65", "--out", out)
    assert done.code == 0, done.err
    assert load_policy(out).router.starts == [0.5, 0.5]
    assert "router: queries start 50% at a + b, 50% at t; saves 0.0" in run("policy", out).out
    used = json.loads(run("evaluate", path, "--policy", out, "--json", "-").out)
    assert used["router"]["starts"] == [0.5, 0.5]
    assert used["router"]["saves"] == pytest.approx(0.05)
    assert used["router"]["saves_at_rate"] == pytest.approx(0.05)
    assert used["router"]["gains_at_rate"] == pytest.approx(0.0)
    shown = run("evaluate", path, "--policy", out).out
    assert "router: 50% start later; at the same thresholds +0.050 of the target's" in " ".join(shown.split())
    off = json.loads(run("evaluate", path, "--policy", out, "--router", "off", "--json", "-").out)
    assert off["router"] is None
    assert off["at_threshold"]["cost"] == pytest.approx(used["at_threshold"]["cost"] + 0.05)
    assert run("calibrate", path, *SYSTEMS, "--max-cost", "0.65", "--no-router", "--out", out).code == 0
    assert load_policy(out).router is None


def test_complexity_alone_says_where_queries_start(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in kinds(20)))
    found = run("evaluate", path, *SYSTEMS, "--router", "0.0", "--json", "-")
    assert json.loads(found.out)["router"]["starts"] == [0.0, 1.0]
    wrong = run("evaluate", path, *SYSTEMS, "--router", "hard")
    assert "expected a complexity from 0 to 1, or off" in wrong.err
