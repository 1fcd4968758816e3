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
    with pytest.raises(InputError, match="no scored decision of this policy"):
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


def test_usage(shell, policy, tmp_path):
    assert shell("drift", "--policy", str(policy)).code == 2
    assert "cannot read" in shell("drift", str(tmp_path / "absent.jsonl"), "--policy", str(policy)).err
