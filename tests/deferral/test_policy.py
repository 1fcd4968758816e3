import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.deferral.features import Observation
from semcascade.deferral.judging import decide, judge, predict
from semcascade.deferral.policy import MAX_BYTES, Policy, QualityModel, TierPolicy
from semcascade.deferral.tables import Curve, Regression
from semcascade.errors import ConfigError

LEAF = {"feature": [0], "at": [0.0], "left": [0], "right": [0], "value": [[1.0]]}
STUMP = {
    "feature": [1, 0, 0], "at": [0.5, 0.0, 0.0], "left": [1, 1, 2], "right": [2, 1, 2],
    "value": [[], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
}  # fmt: skip
MODEL = {
    "features": ["f", "g"], "center": [1.0, 0.0], "scale": [2.0, 1.0],
    "qualities": {"constant": [0.1, 0.2, 0.3], "weights": [[0.1, 0.0], [0.0, 0.0], [0.0, 0.0]], "trees": [STUMP]},
}  # fmt: skip


def seen(question="", answers=(), **features):
    return Observation(features, question, dict(enumerate(answers)))


def policy(**changes):
    tier = {"members": ["a", "b"], "threshold": 0.6, "model": MODEL, **changes}
    return {"semcascade_policy": 1, "target": "t", "tiers": [tier]}


def test_a_policy_survives_its_json():
    full = policy(
        bins=[{"threshold": None, "kind": "long"}, {"threshold": 0.3, "up_to": 20}],
        calibrator={"x": [0.0, 1.0], "y": [0.1, 0.9]},
        certificate={"certified": True, "claim": "joint", "limit": 0.02, "confidence": 0.95, "rows": 300},
        reference={"rows": 10, "acceptance_rate": 0.5, "histogram": [0] * 19 + [10]},
    )
    read = Policy.from_dict(full)
    assert Policy.from_json(read.to_json()) == read
    assert Policy.from_json(read.to_json()).digest == read.digest
    assert Policy.from_dict(policy(threshold=0.61)).digest != Policy.from_dict(policy()).digest


def test_a_tier_that_accepts_nothing_survives_its_json():
    read = Policy.from_json(Policy.from_dict(policy(threshold=None)).to_json())
    assert read.tiers[0].threshold is None


@pytest.mark.parametrize(
    "change, says",
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"members": []}, "members"),
        ({"members": ["a"]}, "3|2 answers"),
        ({"surprise": 1}, "surprise"),
        ({"calibrator": {"x": [0.5, 0.5], "y": [0, 1]}}, "ascend"),
        ({"calibrator": {"x": [0.5], "y": [0, 1]}}, "points"),
        ({"model": {**MODEL, "center": [0.0]}}, "scales"),
        ({"model": {**MODEL, "scale": [0.0, 1.0]}}, "scales"),
        ({"model": {**MODEL, "features": ["f", "f"]}}, "twice"),
        ({"model": {**MODEL, "primary": 2}}, "primary"),
        ({"model": {**MODEL, "qualities": {"constant": [0.1, 0.2, 0.3], "weights": [[1.0, 1.0]]}}}, "made for"),
        ({"model": {**MODEL, "qualities": {"constant": [0.1, 0.2, 0.3], "trees": [LEAF]}}}, "made for"),
        ({"reference": {"rows": 1, "acceptance_rate": 0.5, "histogram": [1]}}, "histogram"),
        ({"similarity": {"name": "x" * 5000}}, "longer"),
    ],
)
def test_what_is_no_policy_is_refused_by_the_place(change, says):
    with pytest.raises(ConfigError, match=says):
        Policy.from_dict(policy(**change))


@pytest.mark.parametrize(
    "tree, says",
    [
        ({**LEAF, "left": [0], "right": [0], "at": []}, "lengths"),
        ({**STUMP, "left": [1, 0, 2]}, "lead down"),
        ({**STUMP, "right": [9, 1, 2]}, "lead down"),
        ({**STUMP, "left": [-1, 1, 2]}, "greater than or equal"),
        ({**STUMP, "feature": [7, 0, 0]}, "made for"),
    ],
)
def test_a_tree_that_could_run_in_circles_or_out_of_bounds_is_refused(tree, says):
    wrong = {**MODEL, "qualities": {"constant": [0.1, 0.2, 0.3], "trees": [tree]}}
    with pytest.raises(ConfigError, match=says):
        Policy.from_dict(policy(model=wrong))


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "not valid JSON"),
        ("[1]", "expected an object"),
        ("{}", "version"),
        ('{"semcascade_policy": 2, "target": "t", "tiers": []}', "version"),
        ('{"semcascade_policy": true}', "version"),
        ('{"semcascade_policy": 1, "semcascade_policy": 1}', "twice"),
        ('{"semcascade_policy": 1, "target": "t", "tiers": [{"members": ["a"], "threshold": NaN}]}', "NaN"),
        ('{"semcascade_policy": 1, "target": "t", "tiers": [{"members": ["a"], "threshold": 1e999}]}', "threshold"),
        ("[" * 200_000, "deeply|not valid"),
        ('{"semcascade_policy": 1, "notes": ' + "[" * 100_000 + "]" * 100_000 + "}", "deeply"),
        ('{"a": ' + "9" * 10_000 + "}", "not valid JSON"),
        (" " * (MAX_BYTES + 1), "longer"),
    ],
    ids=range(12),
)
def test_hostile_text_is_refused(text, says):
    with pytest.raises(ConfigError, match=says):
        Policy.from_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda deeper: (
            st.lists(deeper, max_size=3)
            | st.dictionaries(st.sampled_from(["members", "threshold", "model", "bins"]), deeper, max_size=4)
        ),
    )
)
def test_anything_is_a_policy_or_a_config_error(anything):
    try:
        Policy.from_dict({"semcascade_policy": 1, "target": "t", "tiers": [anything]})
    except ConfigError as error:
        where = error.field
    else:
        where = "policy"
    assert where == "policy"


def test_predicted_qualities_by_hand():
    model = QualityModel.model_validate(MODEL)
    members, target = predict(model, [seen(f=3.0, g=1.0), seen(g=float("nan"))])
    # Row 1: f is one deviation above its mean (+0.1), g > 0.5 (right leaf); row 2: both count as average.
    np.testing.assert_allclose(members, [[0.1 + 0.1 + 0.4, 0.2 + 0.5], [0.1 + 0.1, 0.2 + 0.2]])
    np.testing.assert_allclose(target, [0.3 + 0.6, 0.3 + 0.3])


def test_the_best_predicted_answer_is_chosen_and_its_gap_to_the_target_scored():
    judged = judge(QualityModel.model_validate(MODEL), seen(f=1.0, g=1.0), usable=[0, 1])
    assert (judged.choice.index, judged.choice.selection) == (1, "predicted")
    assert judged.reliability == pytest.approx(0.5 + (0.7 - 0.9) / 2)


def test_the_primary_stays_within_the_margin_and_an_answer_that_says_nothing_is_never_chosen():
    model = QualityModel.model_validate({**MODEL, "margin": 0.5})
    assert judge(model, seen(f=1.0, g=1.0), usable=[0, 1]).choice.index == 0
    assert judge(QualityModel.model_validate(MODEL), seen(f=1.0, g=1.0), usable=[0]).choice.index == 0


def test_thresholds_go_by_kind_and_length_in_their_order():
    bins = [{"threshold": 0.2, "kind": "short", "up_to": 5}, {"threshold": None, "kind": "long"}]
    tier = TierPolicy.model_validate({"members": ["a"], "threshold": 0.6, "bins": bins})
    assert decide(tier, 0.3, kind="short", length=5).accept
    assert not decide(tier, 0.3, kind="short", length=6).accept
    assert not decide(tier, 1.0, kind="long", length=5).accept
    assert decide(tier, 0.6, kind="number", length=5).threshold == 0.6


def test_tables_by_hand():
    assert Curve(x=[0.0, 2.0], y=[1.0, 0.0])(0.5) == 0.75
    trees = [{**STUMP, "value": [[], [1.0], [2.0]]}, {**LEAF, "value": [[4.0]]}]
    found = Regression.model_validate({"constant": [0.5], "trees": trees}).over(np.array([[9.0, 0.5], [9.0, 0.51]]))
    assert found.tolist() == [[0.5 + (1.0 + 4.0) / 2], [0.5 + (2.0 + 4.0) / 2]]


def test_text_is_never_taken_for_a_number():
    with pytest.raises(ConfigError):
        Policy.from_json(json.dumps(policy(threshold="1")))
