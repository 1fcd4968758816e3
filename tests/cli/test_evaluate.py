"""`semcascade evaluate`."""

import json
import os
import subprocess
import sys

import pytest

KEYS = {
    "n", "target_quality", "ensemble_quality", "best_member", "auc", "auc_random", "auc_oracle", "gain", "gain_ci",
    "oracle_share", "chord_gain", "cost_at_99", "deferral_at_99", "n_effective", "signal",
}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    rows = [
        {"id": str(i), "input": f"{i}?", "outputs": {"a": "4", "b": "4" if i % 3 else str(i), "c": "4", "d": "4", "t": "4"},
         "scores": {"a": float(i % 3 > 0), "b": float(i % 3 > 0), "c": 1.0, "d": 1.0, "t": 1.0}}
        for i in range(30)
    ]  # fmt: skip
    path = tmp_path / "rows [red].jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "semcascade", "evaluate", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env={"PATH": "", "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1", "COLUMNS": "140"},
    )  # fmt: skip


def test_json_has_the_promised_keys(data, tmp_path):
    out = tmp_path / "out.json"
    done = run(data, "--ensemble", "a,b", "--target", "t", "--json", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    found = json.loads(out.read_text())
    assert set(found) >= KEYS
    assert found["n"] == 30
    assert found["best_member"] == {"name": "a", "quality": pytest.approx(2 / 3)}
    assert found["oracle_share"] == pytest.approx(1.0)
    assert found["deferral_at_99"] == pytest.approx(1 / 3, abs=0.05)
    assert found["cost_at_99"] == pytest.approx(found["deferral_at_99"] + 2 * 0.05)


def test_several_files_make_one_table_and_names_are_plain_text(data, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_bytes(data.read_bytes())
    done = run(data, other, "--ensemble", "a, b", "--target", "t", "--signal", "semantic_entropy")
    assert done.returncode == 0, done.stderr
    assert "rows [red].jsonl" in done.stdout
    assert "other.jsonl" in done.stdout
    assert set(json.loads(run(data, other, "--ensemble", "a,b", "--target", "t", "--json", "-").stdout)) == {
        data.name,
        other.name,
    }


def test_files_of_one_name_are_told_apart(data, tmp_path):
    other = tmp_path / "more" / data.name
    other.parent.mkdir()
    other.write_bytes(data.read_bytes())
    done = run(data, other, "--ensemble", "a,b", "--target", "t", "--json", "-")
    assert set(json.loads(done.stdout)) == {str(data), str(other)}


def test_what_is_read_is_not_written_over(data):
    kept = data.read_bytes()
    done = run(data, "--ensemble", "a,b", "--target", "t", "--json", data.parent / "." / data.name)
    assert done.returncode == 2
    assert "write to another file" in done.stderr
    assert data.read_bytes() == kept


def test_the_table_says_what_the_cascade_does_as_it_is_set(data):
    done = run(data, "--ensemble", "a,b", "--target", "t", "--threshold", "0.9")
    assert "at threshold 0.90: 33% deferred, 43% of the target's cost (assumed), quality 1.000" in done.stdout
    assert "breaks even at 90% deferred" in done.stdout


def test_tiers_each_have_their_price(data):
    found = json.loads(
        run(data, "--tier", "a,b", "--tier", "c,d", "--tier", "t", "--member-cost", "0.05", "--member-cost", "0.2",
            "--json", "-").stdout
    )  # fmt: skip
    assert found["ensemble_cost"] == pytest.approx(0.1)
    assert found["at_threshold"]["cost"] == pytest.approx(0.1 + 0.4 / 3)
    lone = json.loads(run(data, "--tier", "a,b", "--tier", "d", "--tier", "t", "--json", "-").stdout)
    assert lone["at_threshold"] == pytest.approx(
        {"threshold": 0.6, "deferral_rate": 1 / 3, "cost": 0.1 + 0.05 / 3 + 1 / 3, "quality": 1.0, "loss": 0.0}
    )


def test_a_policy_names_its_members_and_decides(data, tmp_path):
    tiers = [{"members": ["a", "b"], "threshold": None}, {"members": ["c", "d"], "threshold": 0.9}]
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"semcascade_policy": 1, "target": "t", "tiers": tiers[:1]}))
    found = json.loads(run(data, "--policy", policy, "--json", "-").stdout)
    assert (found["at_threshold"]["deferral_rate"], found["auc"] > found["auc_random"]) == (1.0, True)
    policy.write_text(json.dumps({"semcascade_policy": 1, "target": "t", "tiers": tiers}))
    found = json.loads(run(data, "--policy", policy, "--json", "-").stdout)
    assert (found["at_threshold"]["deferral_rate"], found["at_threshold"]["cost"]) == (0.0, pytest.approx(0.2))
    done = run(data, "--policy", policy, "--ensemble", "a,c", "--target", "t")
    assert done.returncode == 2
    assert "fitted for other" in done.stderr


def test_a_run_says_itself_who_answered(tmp_path):
    header = {"semcascade_run": 1, "members": {name: {"model": f"openai/{name}"} for name in "abt"},
              "tiers": [["a", "b"], ["t"]], "target": "t"}  # fmt: skip
    rows = [
        {"id": str(i), "messages": [{"role": "user", "content": f"{i}?"}],
         "answers": {"a": {"text": "4", "cost": 0.1}, "b": {"text": "4", "cost": 0.1}, "t": {"text": "4", "cost": 1.0}},
         "scores": {"a": 1.0, "b": 1.0, "t": 1.0}}
        for i in range(12)
    ]  # fmt: skip
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
    found = json.loads(run(path, "--json", "-").stdout)
    assert (found["n"], found["recorded_costs"]) == (12, True)
    assert found["at_threshold"]["cost"] == pytest.approx(0.2)
    assert any("only 12 rows" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ensemble", "a,b"), "--target"),
        (("--target", "t"), "--ensemble"),
        ((), "does not say who is the target"),
        (("--tier", "a,b"), "two or more"),
        (("--tier", "a,b", "--tier", "t", "--target", "t"), "--tier stands instead"),
        (("--ensemble", "a,nobody", "--target", "t"), "nobody"),
        (("--ensemble", "a", "--target", "t"), "one answer has nothing to agree with"),
        (("--ensemble", "a,b", "--target", "t", "--signal", "agrement"), "agreement"),
        (("--ensemble", "a,b", "--target", "t", "--json", "/nowhere/at/all.json"), "cannot write"),
        (("--ensemble", "a,b", "--target", "t", "--target-cost", "0"), "--target-cost"),
        (("--ensemble", "a,b", "--target", "t", "--target-cost", "nan"), "target_cost"),
        (("--ensemble", "a,b", "--target", "t", "--member-cost", "inf"), "member_cost"),
    ],
)
def test_bad_usage_exits_with_2_and_says_what_to_do(data, arguments, words):
    done = run(data, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_row_is_named(data):
    data.write_text(data.read_text() + "{\n")
    done = run(data, "--ensemble", "a,b", "--target", "t")
    assert done.returncode == 2
    assert ":31" in done.stderr
