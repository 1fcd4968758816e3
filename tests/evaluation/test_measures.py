import numpy as np
import pytest

from semcascade.evaluation import measures
from semcascade.evaluation.curve import Outcome, auc, chord_gain, gain
from semcascade.evaluation.measures import Resampled, cheapest_threshold, effective_members, interval, reach


def test_effective_members():
    rng = np.random.default_rng(0)
    independent = rng.integers(0, 2, (5000, 3)).astype(float)
    assert effective_members(independent) == pytest.approx(3, abs=0.2)
    assert effective_members(np.repeat(independent[:, :1], 3, axis=1)) == pytest.approx(1)
    assert effective_members(np.zeros((10, 3))) == 3


def test_the_cheapest_threshold_reaches_the_goal_and_no_lower_one_does():
    outcome = Outcome.two_tiers([0.1, 0.5, 0.9, np.nan], [0.0, 0.0, 1.0, 0.0], np.ones(4), np.zeros(4))
    assert cheapest_threshold(outcome, 0.25) == 0.1
    assert cheapest_threshold(outcome, 0.99) == 0.9
    assert cheapest_threshold(outcome, 0.75) == 0.5


def test_only_the_target_reaches_what_no_threshold_does():
    outcome = Outcome.two_tiers([0.9, 0.9], [0.0, 0.0], np.ones(2), np.zeros(2), ensemble_cost=0.3)
    assert cheapest_threshold(outcome, 0.99) == float("inf")
    reached = reach(outcome, 0.99)
    assert (reached.rate, reached.cost, reached.share) == pytest.approx((1.0, 1.3, 1.0))


def test_a_perfect_signal_defers_what_must_be_deferred():
    rng = np.random.default_rng(1)
    good = rng.random(400) < 0.7
    outcome = Outcome.two_tiers(good, good, np.ones(400), np.zeros(400), ensemble_cost=0.15)
    reached = reach(outcome, 0.99)
    assert reached.rate == pytest.approx(0.3, abs=0.05)
    assert reached.cost == pytest.approx(0.15 + reached.rate)
    assert reached.share >= 0.98


def test_one_row_cannot_be_halved():
    outcome = Outcome.two_tiers([1.0], [1.0], [1.0], [1.0], ensemble_cost=0.5)
    assert reach(outcome, 0.99).cost == 1.5


def test_intervals_hold_what_was_measured_and_narrow_with_more_rows():
    rng = np.random.default_rng(2)

    def width(n):
        score = rng.random(n)
        outcome = Outcome.two_tiers(score, rng.random(n) < score, np.ones(n), np.zeros(n))
        low, high = interval(Resampled.of(outcome).gain)
        assert low <= gain(outcome) <= high
        return high - low

    assert width(1600) < width(100) / 2


@pytest.mark.parametrize("tiers", [1, 3])
@pytest.mark.parametrize("at_once", [1_000_000, 70])
def test_draws_are_the_curves_of_the_rows_that_were_drawn(tiers, at_once, monkeypatch):
    monkeypatch.setattr(measures, "_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    score = rng.choice([0.0, 0.5, 0.8, 1.0, np.nan], (tiers, 30))
    member = rng.random(30)
    outcome = Outcome(score, rng.random((tiers + 1, 30)), rng.random((tiers + 1, 30)), member, member)
    rates = np.array([0.3, 0.7])
    drawn = Resampled.of(outcome, rates=rates, draws=5, seed=4)
    counts = np.random.default_rng(4).multinomial(30, np.full(30, 1 / 30), size=5)
    for place, count in enumerate(counts):
        taken = outcome.take(np.repeat(np.arange(30), count))
        assert drawn.auc[place] == pytest.approx(auc(taken))
        assert drawn.gain[place] == pytest.approx(gain(taken))
        assert drawn.chord_gain[place] == pytest.approx(chord_gain(taken))
        assert drawn.quality[place] == pytest.approx(taken.curve.at_rate(rates))
