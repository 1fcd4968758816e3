import json
import pickle

import pytest

from semcascade import Cascade, CascadeConfig, Policy, ScriptedTransport, load_config, load_policy, save_policy
from semcascade.errors import ConfigError, ServerError

ANSWERS = {"a": "4", "b": "four", "c": "5", "big": "it is 4"}
TIER = {"members": ["a", "b", "c"], "threshold": 0.6}


def policy(**changes):
    return Policy.from_dict({"semcascade_policy": 1, "target": "big", "tiers": [{**TIER, **changes}]})


def cascade(fitted, **settings):
    transport = ScriptedTransport(settings.pop("answers", ANSWERS))
    return Cascade(**{"ensemble": ["a", "b", "c"], "target": "big", **settings}, policy=fitted, transport=transport)


def model(*qualities, **changes):
    tables = {"features": ["words:1"], "center": [0.0], "scale": [1.0], "qualities": {"constant": list(qualities)}}
    return {**tables, **changes}


def test_the_policys_thresholds_decide():
    with cascade(policy()) as strict, cascade(policy(bins=[{"kind": "number", "threshold": 0.4}])) as lenient:
        assert not strict.complete("2 + 2?").decision.accepted
        decision = lenient.complete("2 + 2?").decision
    assert decision.accepted
    assert decision.tiers[0].threshold == 0.4
    assert "by policy" in decision.reason


def test_the_policys_model_chooses_and_its_prediction_is_told():
    with cascade(policy(threshold=0.45, model=model(0.3, 0.8, 0.2, 0.85))) as fitted:
        result = fitted.complete("2 + 2?")
    assert result.text == "four"
    assert result.decision.score == pytest.approx(0.475)
    assert "predicted quality 0.80, the target's 0.85" in result.decision.reason
    assert result.decision.scored.signal == "predicted_gain"


def test_features_of_the_answers_reach_the_model():
    weighing = {"constant": [0.5, 0.0, 0.0, 0.6], "weights": [[0.0], [1.0], [0.0], [0.0]]}
    fitted = policy(model=model(qualities=weighing))
    with cascade(fitted, answers={**ANSWERS, "b": "it is four, I am sure"}) as wordy, cascade(fitted) as terse:
        assert wordy.complete("2 + 2?").decision.tiers[0].chosen == 1
        assert terse.complete("2 + 2?").decision.tiers[0].chosen == 1  # log(1 + 1 word) = 0.69 > 0.5


def test_a_failed_member_keeps_the_others_places():
    answers = {**ANSWERS, "a": ServerError("down", member="a")}
    with cascade(policy(threshold=0.0, model=model(0.9, 0.2, 0.8, 0.9)), answers=answers, max_retries=0) as fitted:
        result = fitted.complete("2 + 2?")
    assert result.decision.member == "c"


def test_answers_that_say_nothing_are_deferred_whatever_the_model_says():
    with cascade(
        policy(threshold=0.0, model=model(0.9, 0.9, 0.9, 0.1)), answers=dict.fromkeys("abc", "") | {"big": "4"}
    ) as c:
        assert not c.complete("2 + 2?").decision.accepted


def test_the_certificate_stands_in_the_decision():
    certificate = {"certified": False, "claim": "joint", "limit": 0.02, "rows": 12, "rows_needed": 138}
    with cascade(policy(certificate=certificate)) as fitted:
        decision = fitted.complete("2 + 2?").decision
    assert "not certifiable with these 12 rows" in decision.explain()
    assert "about 138 more rows" in decision.explain()


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"ensemble": ["a", "b"]}, r"members of tier 'ensemble': \[\"a\", \"b\", \"c\"\], but this cascade has \[\"a\", \"b\"\]"),
        ({"ensemble": ["b", "a", "c"]}, "members"),
        ({"target": "other"}, 'target: "big", but this cascade has "other"'),
        ({"similarity": "chrf"}, 'similarity: "auto", but this cascade has "chrf"'),
        ({"signal": "eigv"}, 'signal: "agreement", but this cascade has "eigv"'),
        ({"selection": "central"}, "selection"),
        ({"threshold": 0.5}, "threshold: a fitted policy decides"),
        ({"escalation_rate": 0.5}, "escalation_rate: a fitted policy decides"),
    ],
)  # fmt: skip
def test_a_policy_for_another_cascade_is_refused_with_the_difference_named(settings, says):
    with pytest.raises(ConfigError, match=says):
        cascade(policy(), **settings)


def test_a_policy_for_more_tiers_is_refused():
    with pytest.raises(ConfigError, match="tiers before the target"):
        Cascade(tiers=[{"members": ["a", "b"]}, {"members": ["c", "d"]}, {"members": "big"}], policy=policy())


def test_the_policys_similarity_holds_where_the_cascade_names_none():
    with cascade(policy(similarity="chrf")) as fitted:
        assert fitted.complete("2 + 2?").decision.tiers[0].similarity == "chrf"


def test_a_members_name_or_its_model_id_will_do():
    ensemble = [{"model": "a", "name": "first"}, "b", "c"]
    answers = {**ANSWERS, "first": "4"}
    with cascade(policy(), ensemble=ensemble, answers=answers) as fitted:
        assert fitted.complete("2 + 2?").decision.tiers[0].candidates[0].member == "first"


def test_a_policy_from_a_file_in_a_toml_beside_it(tmp_path):
    save_policy(policy(), tmp_path / "policy.json")
    toml = 'ensemble = ["a", "b", "c"]\ntarget = "big"\npolicy = "policy.json"\n'
    (tmp_path / "team.toml").write_text(toml)
    config = load_config(tmp_path / "team.toml")
    with Cascade(config, transport=ScriptedTransport(ANSWERS)) as fitted:
        assert fitted.policy == policy()
    assert list(tmp_path.glob(".*")) == []


def test_a_policy_in_the_configuration_survives_dumps_and_pickles():
    config = CascadeConfig.build(ensemble=["a", "b", "c"], target="big", policy=policy())
    again = CascadeConfig.build(json.loads(json.dumps(config.to_dict())))
    assert again == config
    with Cascade(config, transport=ScriptedTransport(ANSWERS)) as fitted:
        assert pickle.loads(pickle.dumps(fitted)).policy == policy()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"null", b'{"semcascade_policy": 1}'])
def test_a_corrupt_file_is_refused_by_its_name(tmp_path, content):
    (tmp_path / "policy.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"policy\.json"):
        load_policy(tmp_path / "policy.json")


def test_a_missing_file_and_a_folder_are_told():
    with pytest.raises(ConfigError, match=r"cannot read nowhere\.json"):
        load_policy("nowhere.json")
    with pytest.raises(ConfigError, match="cannot write"):
        save_policy(policy(), "/nowhere/at/all.json")
