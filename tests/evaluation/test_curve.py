import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semcascade.evaluation.curve import (
    Outcome,
    auc,
    cheapest_threshold,
    chord_gain,
    deferral_at,
    deferral_curve,
    effective_members,
    gain,
    oracle_auc,
    random_auc,
)

UNIT = st.floats(0, 1)


def outcomes(n=8):
    array = hnp.arrays(float, n, elements=UNIT)
    return st.builds(Outcome, hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.5, 1.0])), array, array, array)


def test_by_hand():
    outcome = Outcome(np.array([0.9, 0.1, 0.5]), np.array([1.0, 0.0, 1.0]), np.ones(3), np.array([1.0, 0.0, 0.0]))
    assert deferral_curve(outcome) == pytest.approx([2 / 3, 1, 1, 1])
    assert auc(outcome) == pytest.approx((2 / 3 / 2 + 1 + 1 + 0.5) / 3)
    assert random_auc(outcome) == pytest.approx(5 / 6)
    assert oracle_auc(outcome) == auc(outcome)
    assert chord_gain(outcome) == pytest.approx(auc(outcome) - 2 / 3)


def test_ties_are_averaged():
    outcome = Outcome(np.zeros(4), np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4), np.zeros(4))
    assert deferral_curve(outcome) == pytest.approx([0.5, 0.625, 0.75, 0.875, 1.0])
    assert gain(outcome) == pytest.approx(0)


def test_undefined_scores_are_deferred_first():
    outcome = Outcome(np.array([1.0, np.nan]), np.array([1.0, 0.0]), np.ones(2), np.zeros(2))
    assert deferral_curve(outcome) == pytest.approx([0.5, 1, 1])


@given(outcomes(), st.permutations(range(8)))
def test_the_order_of_rows_never_matters(outcome, order):
    assert deferral_curve(outcome.take(np.array(order))) == pytest.approx(deferral_curve(outcome))


@given(outcomes())
def test_ends_and_oracle(outcome):
    curve = deferral_curve(outcome)
    assert curve[0] == pytest.approx(outcome.accepted.mean())
    assert curve[-1] == pytest.approx(outcome.target.mean())
    assert auc(outcome) <= oracle_auc(outcome) + 1e-9


def test_effective_members():
    rng = np.random.default_rng(0)
    independent = rng.integers(0, 2, (5000, 3)).astype(float)
    assert effective_members(independent) == pytest.approx(3, abs=0.2)
    assert effective_members(np.repeat(independent[:, :1], 3, axis=1)) == pytest.approx(1)
    assert effective_members(np.zeros((10, 3))) == 3


def test_the_cheapest_threshold_reaches_the_goal_and_no_lower_one_does():
    outcome = Outcome(np.array([0.1, 0.5, 0.9, np.nan]), np.array([0.0, 0.0, 1.0, 0.0]), np.ones(4), np.zeros(4))
    assert cheapest_threshold(outcome, 0.25) == 0.0
    assert cheapest_threshold(outcome, 0.99) == 0.9
    assert cheapest_threshold(outcome, 0.75) == 0.5


def test_only_the_target_reaches_what_no_threshold_does():
    outcome = Outcome(np.array([0.9, 0.9]), np.zeros(2), np.ones(2), np.zeros(2))
    assert cheapest_threshold(outcome, 0.99) == float("inf")
    assert deferral_at(outcome, 0.99) == 1.0


def test_a_perfect_signal_defers_what_must_be_deferred():
    rng = np.random.default_rng(1)
    good = rng.random(400) < 0.7
    outcome = Outcome(good.astype(float), good.astype(float), np.ones(400), np.zeros(400))
    assert deferral_at(outcome, 0.99) == pytest.approx(0.3, abs=0.05)
