import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semcascade.evaluation.curve import (
    Outcome,
    auc,
    chord_gain,
    chord_gain_at_cost,
    gain,
    oracle_auc,
    random_auc,
)

UNIT = st.floats(0, 1)


def outcomes(n=8, tiers=1):
    scores = hnp.arrays(float, (tiers, n), elements=st.sampled_from([0.0, 0.5, 1.0, np.nan]))
    block = hnp.arrays(float, (tiers + 1, n), elements=UNIT)
    prices = hnp.arrays(float, (tiers + 1, n), elements=st.floats(0.01, 1))
    row = hnp.arrays(float, n, elements=UNIT)
    return st.builds(Outcome, scores, block, prices, row, row)


def test_by_hand():
    outcome = Outcome.two_tiers([0.9, 0.1, 0.5], [1.0, 0.0, 1.0], np.ones(3), [1.0, 0.0, 0.0], ensemble_cost=0.25)
    assert outcome.curve.threshold.tolist() == [0.1, 0.5, 0.9, np.inf]
    assert outcome.curve.quality == pytest.approx([2 / 3, 1, 1, 1])
    assert outcome.curve.rate == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert outcome.curve.cost == pytest.approx([0.25, 0.25 + 1 / 3, 0.25 + 2 / 3, 1.25])
    assert auc(outcome) == pytest.approx((2 / 3 / 2 + 1 + 1 + 0.5) / 3)
    assert random_auc(outcome) == pytest.approx(5 / 6)
    assert oracle_auc(outcome) == pytest.approx(auc(outcome))
    assert chord_gain(outcome) == pytest.approx(auc(outcome) - 2 / 3)


def test_ties_are_averaged():
    outcome = Outcome.two_tiers(np.zeros(4), [0.0, 0.0, 1.0, 1.0], np.ones(4), np.zeros(4))
    assert outcome.curve.at_rate(np.array([0, 0.25, 0.5, 0.75, 1])) == pytest.approx([0.5, 0.625, 0.75, 0.875, 1.0])
    assert gain(outcome) == pytest.approx(0)


def test_undefined_scores_are_deferred_first_and_by_every_threshold():
    outcome = Outcome.two_tiers([1.0, np.nan], [1.0, 0.0], np.ones(2), np.zeros(2))
    assert outcome.curve.quality == pytest.approx([0.5, 1, 1])
    assert outcome.curve.threshold.tolist() == [-np.inf, 1.0, np.inf]
    assert outcome.curve.place(0.0) == 1
    assert outcome.answered_by(0.0).tolist() == [0, 1]


@given(st.integers(1, 3).flatmap(lambda tiers: outcomes(tiers=tiers)), st.permutations(range(8)))
def test_the_order_of_rows_never_matters(outcome, order):
    shuffled = outcome.take(np.array(order)).curve
    for name in ("threshold", "rate", "cost", "quality"):
        assert getattr(shuffled, name) == pytest.approx(getattr(outcome.curve, name))


@given(outcomes())
def test_ends_and_oracle(outcome):
    assert outcome.curve.quality[0] == pytest.approx(outcome.accepted.mean())
    assert outcome.curve.quality[-1] == pytest.approx(outcome.target.mean())
    assert auc(outcome) <= oracle_auc(outcome) + 1e-9


@given(st.integers(1, 3).flatmap(lambda tiers: outcomes(tiers=tiers)), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_each_point_is_what_its_threshold_does_row_by_row(outcome, threshold):
    answered = outcome.answered_by(threshold)
    rows = np.arange(len(outcome))
    place = outcome.curve.place(threshold)
    last = len(outcome.quality) - 1
    paid = np.cumsum(outcome.cost, axis=0)[answered, rows].mean() / outcome.cost[-1].mean()
    assert outcome.curve.rate[place] == pytest.approx((answered == last).mean())
    assert outcome.curve.quality[place] == pytest.approx(outcome.quality[answered, rows].mean())
    assert outcome.curve.cost[place] == pytest.approx(paid)


@given(st.integers(1, 3).flatmap(lambda tiers: outcomes(tiers=tiers)))
def test_raising_the_threshold_defers_more_and_costs_more(outcome):
    assert np.all(np.diff(outcome.curve.rate) >= 0)
    assert np.all(np.diff(outcome.curve.cost) >= -1e-12)
    assert outcome.curve.rate[0] == 0
    assert outcome.curve.rate[-1] == pytest.approx(1)


def test_a_middle_tier_answers_what_the_first_cannot():
    outcome = Outcome(
        reliability=np.array([[0.9, 0.1, 0.1], [0.5, 0.8, 0.2]]),
        quality=np.array([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 1.0]]),
        cost=np.array([[0.1] * 3, [0.4] * 3, [1.0] * 3]),
        member_quality=np.zeros(3), member_cost=np.zeros(3),
    )  # fmt: skip
    assert outcome.answered_by(0.6).tolist() == [0, 1, 2]
    assert outcome.curve.place(0.6) == 2
    assert outcome.curve.quality[2] == 1
    assert outcome.curve.cost[2] == pytest.approx((0.1 + 0.5 + 1.5) / 3)


def test_the_chord_at_equal_cost_asks_one_member_where_the_cascade_asks_all():
    outcome = Outcome.two_tiers([0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0], ensemble_cost=0.5, member_cost=0.25)
    # Cascade: 0.5 at cost 0.5, 1 from cost 1 on. Chord: 0.5 at cost 0.25, 2/3 at 0.5, 1 at 1.
    assert chord_gain_at_cost(outcome) == pytest.approx((0.5 - 2 / 3) / 2)
    dear = Outcome.two_tiers([0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0], ensemble_cost=1.0)
    assert chord_gain_at_cost(dear) is None
