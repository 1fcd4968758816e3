"""`semcascade drift`, over a log that a cascade with that policy wrote."""

import json

import pytest

from semcascade import Cascade, ScriptedTransport
from semcascade.deferral.policy import BINS, Policy
from semcascade.engine.policies import load_policy, save_policy
from semcascade.errors import ConfigError, InputError
from semcascade.evaluation import drift_of_log
from semcascade.run_form import json_line

HALVES = [100, *[0] * (BINS - 2), 100]


@pytest.fixture
def policy(tmp_path):
    reference = {"rows": 200, "acceptance_rate": 0.5, "histogram": HALVES}
    certificate = {"certified": True, "claim": "selective", "limit": 0.3, "bar": 0.5, "rows": 200}
    tier = {
        "members": ["a", "b"],
        "similarity": "exact",
        "threshold": 0.6,
        "reference": reference,
        "certificate": certificate,
    }
    path = tmp_path / "policy.json"
    data = {"rows": 200, "digest": "", "quality": "target:exact"}
    save_policy(Policy.from_dict({"semcascade_policy": 1, "target": "t", "tiers": [tier], "data": data}), path)
    return path


@pytest.fixture
def logged(tmp_path, policy):
    """Answer queries, a share of which the members agree on, with audits; return the log."""

    def run(agreeing, n=120, target="x", name="log.jsonl"):
        script = {
            "a": "x",
            "b": lambda request: "x" if int(request.messages[0]["content"]) < agreeing * n else "y",
            "t": target,
        }
        settings = {"ensemble": ["a", "b"], "target": "t", "policy": str(policy)}
        log = {"path": tmp_path / name, "shadow": 1.0}
        with Cascade(settings, log=log, transport=ScriptedTransport(script)) as cascade:
            for i in range(n):
                cascade.complete(str(i))
        return cascade, tmp_path / name

    return run


def test_an_unchanged_stream_is_stable(shell, logged, policy):
    cascade, log = logged(0.5)
    done = shell("drift", str(log), "--policy", str(policy))
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "stable"
    assert "120 queries, 50.0% accepted (50.0% when fitted" in done.out
    assert "it keeps the limit of 0.3000" in done.out
    live = cascade.drift()
    told = shell("drift", str(log), "--policy", str(policy), "--json").json
    assert told == json.loads(json.dumps(live.to_dict())), "the ledger and the log tell the same"


def test_a_shift_ends_with_3(shell, logged, policy):
    _, log = logged(0.9)
    done = shell("drift", str(log), "--policy", str(policy))
    assert done.code == 3
    assert done.out.startswith("DRIFTED\n  90% accepted, 50% when it was fitted")


def test_a_loss_beyond_the_promise_ends_with_3(shell, logged, policy):
    _, log = logged(0.5, target="z")
    done = shell("drift", str(log), "--policy", str(policy), "--json")
    assert done.code == 3
    assert (done.json["loss_verdict"], done.json["tiers"][0]["verdict"]) == ("broken", "stable")
    assert done.json["loss"]["low"] > 0.3


def test_few_rows_are_told_as_such(shell, logged, policy):
    _, log = logged(0.5, n=10)
    done = shell("drift", str(log), "--policy", str(policy))
    assert (done.code, done.out.splitlines()[0]) == (0, "too few rows to say")


def test_rotated_logs_are_read_together(logged, policy):
    _, first = logged(0.5, n=60, name="log.1.jsonl")
    _, second = logged(0.5, n=60)
    assert drift_of_log([first, second], load_policy(policy)).tiers[0].rows == 120


def test_decisions_of_another_policy_are_left_out(logged, policy, tmp_path):
    _, log = logged(0.5, n=60)
    data = json.loads(policy.read_text())
    data["tiers"][0]["threshold"] = 0.9
    save_policy(Policy.from_dict(data), policy)
    digests = f"60 of its decisions were made by the policy {{}}, this one is {load_policy(policy).digest}"
    made_by = json.loads(log.read_text().splitlines()[1])["decision"]["policy"]
    with pytest.raises(InputError, match=digests.format(made_by)):
        drift_of_log([log], load_policy(policy))
    logged(0.5, n=60)
    said = []
    assert drift_of_log([log], load_policy(policy), skipped=said.append).tiers[0].rows == 60
    assert said == ["60 rows were decided by another policy and are left out"]


def test_a_log_that_was_scored_tells_the_loss_by_its_scores(shell, logged, policy, tmp_path):
    _, log = logged(0.5, target="z")
    done = shell("score", str(log), "--by", "target:chrf", "--out", str(tmp_path / "scored.jsonl"))
    assert done.code == 0, done.err
    found = drift_of_log([tmp_path / "scored.jsonl"], load_policy(policy))
    assert found.loss.audits == 60
    assert found.loss.mean == 1.0


def test_a_promise_in_scores_is_held_against_scores(shell, logged, policy, tmp_path):
    """Where rows were scored by references, an answer may be unlike the target's and right."""
    data = json.loads(policy.read_text())
    data["data"]["quality"] = "exact"
    save_policy(Policy.from_dict(data), policy)
    cascade, log = logged(0.5, target="z")
    assert cascade.drift().loss is None, "unlike is not wrong"
    done = shell("drift", str(log), "--policy", str(policy))
    assert done.code == 0, done.err
    assert "60 audits do not tell what the policy promises: score the log the way the rows of the fit" in done.err
    assert "(exact): semcascade score LOG" in done.err
    header, *rows = map(json.loads, log.read_text().splitlines())
    right = [{**row, "scores": dict.fromkeys(row["answers"], 0.6) | {"t": 1.0}} for row in rows]
    log.write_bytes(b"".join(map(json_line, [header, *right])))
    done = shell("drift", str(log), "--policy", str(policy), "--json")
    assert (done.code, done.json["loss"]["mean"], done.json["loss_verdict"]) == (0, 0.0, "kept")


def asked(number):
    """What members say to a question: to every third, each something else; to every ninth, so does the second tier."""
    hard, harder = number % 3 == 0, number % 9 == 0
    told = {"a": "x" if hard else "4", "b": "y" if hard else "4"}
    return told | {"c": "z" if harder else "4", "d": "q" if harder else "4", "t": "4"}


TWO = ("--ensemble", "a,b", "--target", "t")
THREE = ("--tier", "a,b", "--tier", "c,d", "--tier", "t")


@pytest.mark.parametrize(
    "goal, tiers",
    [
        (("--max-loss", "0.2", "--claim", "selective"), TWO),
        (("--max-loss", "0.2", "--claim", "regret"), TWO),
        (("--max-loss", "0.2", "--claim", "joint", "--confidence", "0"), TWO),
        (("--max-loss", "0.2", "--claim", "graded"), THREE),
        (("--max-cost", "0.6"), TWO),
        (("--escalation-rate", "0.34", "--no-router"), THREE),
    ],
    ids=" ".join,
)
def test_what_calibrate_writes_is_all_that_drift_needs(shell, tmp_path, goal, tiers):
    lines = ({"id": str(number), "input": f"{number}?", "outputs": asked(number)} for number in range(180))
    data, path, log = (tmp_path / name for name in ("rows.jsonl", "policy.json", "log.jsonl"))
    data.write_bytes(b"".join(map(json_line, lines)))
    done = shell("calibrate", str(data), *tiers, *goal, "--out", str(path))
    assert done.code == 0, done.err
    policy = load_policy(path)
    assert policy.data.likeness
    certificates = [tier.certificate for tier in policy.tiers]
    assert all(found and found.certified for found in certificates) == (goal[0] == "--max-loss")
    settings = {"target": "t", "policy": str(path), "log": {"path": log, "shadow": 1.0}}
    script = {
        name: lambda request, name=name: asked(int(request.messages[0]["content"][:-1]))[name] for name in "abcdt"
    }

    def produce(numbers):
        members = [{"members": tier.members} for tier in policy.tiers]
        with Cascade(tiers=[*members, {"members": ["t"]}], **{**settings, "target": None},
                     transport=ScriptedTransport(script)) as cascade:  # fmt: skip
            for number in numbers:
                cascade.complete(f"{number}?")

    produce(range(1000, 1180))
    found = shell("drift", str(log), "--policy", str(path), "--json")
    assert (found.code, found.json["verdict"]) == (0, "stable"), found.json["reasons"]
    first, *later = found.json["tiers"]
    assert first["verdict"] == "stable"
    assert all(tier["verdict"] in ("stable", "too few") for tier in later)
    for tier, before in zip(policy.tiers[1:], policy.tiers, strict=False):
        assert tier.reference.rows == round(before.reference.rows * (1 - before.reference.acceptance_rate))
    assert found.json["loss"]["audits"] > 50
    assert found.json["loss_verdict"] == ("kept" if goal[0] == "--max-loss" else "unknown")
    produce(range(2001, 2601, 3 if policy.tiers[0].threshold else 1))
    shifted = shell("drift", str(log), "--policy", str(path), "--json")
    assert shifted.code == 3, "none of them is hard"


def test_without_a_policy_there_is_nothing_to_drift_from():
    with pytest.raises(ConfigError, match="this cascade has none"):
        Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport({"*": "x"})).drift()


@pytest.mark.parametrize(
    ("decision", "words"),
    [({"tiers": "x"}, "holds no tiers"), ({"tiers": [{"signal": "s", "score": 2}]}, "score of a tier is 2"),
     ({"tiers": [], "audit": {"loss": "x"}}, "loss of an audit")],
)  # fmt: skip
def test_bad_logs_are_refused_by_line(policy, tmp_path, decision, words):
    row = {"id": "1", "messages": [{"role": "user", "content": "?"}], "answers": {}, "decision": decision}
    log = tmp_path / "bad.jsonl"
    log.write_bytes(json_line(row))
    with pytest.raises(InputError, match=words) as caught:
        drift_of_log([log], load_policy(policy))
    assert caught.value.field == "bad.jsonl:1"


@pytest.mark.parametrize("option", ["--max-loss", "--alpha"])
def test_limits_that_are_no_numbers_are_refused(shell, logged, policy, option):
    _, log = logged(0.5, n=10)
    done = shell("drift", str(log), "--policy", str(policy), option, "nan")
    assert done.code == 2
    assert f"{option[2:].replace('-', '_')}: expected a number from 0 to 1, got nan" in done.err


def test_no_log_counts_twice(shell, logged, policy):
    _, log = logged(0.5, n=10)
    done = shell("drift", str(log), str(log), "--policy", str(policy))
    assert done.code == 2
    assert "log.jsonl is named twice" in done.err


def test_usage(shell, policy, tmp_path):
    assert shell("drift", "--policy", str(policy)).code == 2
    assert "cannot read" in shell("drift", str(tmp_path / "absent.jsonl"), "--policy", str(policy)).err
