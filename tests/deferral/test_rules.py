import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.config import CascadeConfig
from semcascade.deferral.rules import EscalationRate, Threshold, rule_for


@given(st.floats(0, 1), st.floats(0, 1))
def test_threshold_accepts_from_itself_up(threshold, score):
    verdict = Threshold(threshold).decide(score)
    assert verdict.threshold == threshold
    if abs(score - threshold) > 1e-8:
        assert verdict.accept == (score > threshold)
    assert Threshold(threshold).decide(threshold).accept


def test_reason_is_readable():
    assert Threshold(0.6).decide(0.75).reason == "0.75 ≥ 0.60"
    assert Threshold(0.6).decide(0.5).reason == "0.50 < 0.60"


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("scores", ["continuous", "three values", "one value", "drifting"])
def test_escalation_rate_is_kept(rate, scores):
    rng = np.random.default_rng(7)
    drawn = {
        "continuous": rng.random(4000),
        "three values": rng.choice([0.0, 0.5, 1.0], 4000, p=[0.2, 0.3, 0.5]),
        "one value": np.full(4000, 1.0),
        "drifting": np.concatenate([rng.random(2000), rng.random(2000) * 0.5]),
    }[scores]
    rule = EscalationRate(rate)
    deferred = np.array([not rule.decide(float(score)).accept for score in drawn])
    assert deferred[-1500:].mean() == pytest.approx(rate, abs=0.04)


def test_escalation_rate_prefers_to_defer_the_unreliable():
    rng = np.random.default_rng(3)
    scores = rng.random(2000)
    rule = EscalationRate(0.3)
    deferred = np.array([not rule.decide(float(score)).accept for score in scores])
    assert scores[200:][deferred[200:]].mean() < 0.25 < 0.5 < scores[200:][~deferred[200:]].mean()


@pytest.mark.parametrize(("rate", "accepts"), [(0.0, True), (1.0, False)])
def test_extreme_rates_are_exact(rate, accepts):
    rule = EscalationRate(rate)
    assert {rule.decide(score / 10).accept for score in range(11)} == {accepts}


def test_escalation_rate_forgets_the_distant_past():
    rule = EscalationRate(0.5, window=50)
    for _ in range(200):
        rule.decide(0.9)
    for _ in range(60):
        verdict = rule.decide(0.1)
    assert verdict.threshold == pytest.approx(0.1)


def test_before_there_is_a_quantile_the_initial_threshold_decides():
    rule = EscalationRate(0.5, initial=0.6)
    assert rule.decide(0.7).accept
    assert not rule.decide(0.5).accept


def test_a_tier_keeps_its_own_rule():
    config = CascadeConfig.build(
        tiers=[
            {"members": ["a", "b"], "threshold": 0.9},
            {"members": ["c", "d"], "escalation_rate": 0.2},
            {"members": ["e", "f"]},
            {"members": "t"},
        ],
        threshold=0.7,
    )
    rules = [rule_for(tier, config) for tier in config.tiers]
    assert rules[0] == Threshold(0.9)
    assert rules[2] == Threshold(0.7)
    assert isinstance(rules[1], EscalationRate)
    assert rules[1].rate == 0.2
