"""The confidence sequence holds at all times, and closes in."""

import numpy as np
import pytest

from semcascade.deferral.sequence import LossEstimate, MeanSequence, Wealth
from semcascade.errors import InputError

STREAMS = {
    "rare and whole": (lambda rng, shape: (rng.random(shape) < 0.02).astype(float), 0.02),
    "often and whole": (lambda rng, shape: (rng.random(shape) < 0.3).astype(float), 0.3),
    "small": (lambda rng, shape: rng.beta(0.5, 5.0, shape), 0.5 / 5.5),
    "two-sided": (lambda rng, shape: rng.choice([0.0, 0.5, 1.0], shape, p=[0.3, 0.4, 0.3]), 0.5),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_mean_is_inside_at_all_times_for_nearly_all_streams(name):
    """1000 streams; each is ruled out at some time with probability 5 % at most: 50, and 3 standard deviations more."""
    draw, mean = STREAMS[name]
    streams = draw(np.random.default_rng(1), (1000, 1000))
    wealth = Wealth(np.full((1000, 1), mean), 0.95)
    for values in streams.T:
        wealth.add(values)
    missed = 1000 - wealth.possible.sum()
    assert 0 <= missed <= 50 + 3 * np.sqrt(1000 * 0.05 * 0.95)


def test_the_interval_holds_what_was_not_ruled_out():
    values = np.random.default_rng(5).random(200) < 0.1
    sequence, wealth = MeanSequence(), Wealth(np.array([[0.05, 0.1003, 0.2]]), 0.95)
    for value in values.astype(float):
        sequence.add(value)
        wealth.add(np.array([value]))
        low, high = sequence.interval
        for mean, possible in zip((0.05, 0.1003, 0.2), wealth.possible[0], strict=True):
            assert low <= mean <= high or not possible


def test_intervals_only_shrink_and_hold_the_running_mean():
    rng = np.random.default_rng(2)
    sequence, before = MeanSequence(), (0.0, 1.0)
    for value in rng.beta(1, 9, 500):
        sequence.add(value)
        low, high = sequence.interval
        assert before[0] <= low <= high <= before[1]
        before = low, high
    assert before[0] < 0.1 < before[1]
    assert before[1] - before[0] < 0.06


def test_a_loss_that_is_there_is_found():
    sequence = MeanSequence()
    for value in np.random.default_rng(3).random(300) < 0.2:
        sequence.add(float(value))
    assert sequence.interval[0] > 0.1


def test_any_range_is_taken_to_its_own_scale():
    narrow, wide = MeanSequence(), MeanSequence(-1.0, 1.0)
    for value in np.random.default_rng(4).random(100):
        narrow.add(value)
        wide.add(2 * value - 1)
    assert [2 * end - 1 for end in narrow.interval] == pytest.approx(wide.interval)
    assert wide.mean == pytest.approx(2 * narrow.mean - 1)


def test_nothing_is_known_before_the_first_value():
    assert LossEstimate.of(MeanSequence()) == LossEstimate(0, None, 0.0, 1.0, 0.95)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_impossible_values_are_refused(value):
    with pytest.raises(InputError, match="outside 0 to 1"):
        MeanSequence().add(value)


def test_a_stream_without_a_common_mean_still_has_an_interval():
    sequence = MeanSequence()
    for value in [0.0] * 2000 + [1.0] * 6000:
        sequence.add(value)
    low, high = sequence.interval
    assert low <= high
