import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semcascade.deferral.binomial import (
    binomial_cdf,
    clopper_pearson_upper,
    critical_counts,
    hoeffding_bentkus,
    items_needed,
)


@given(st.integers(0, 5000), st.data())
def test_the_distribution_function_is_scipys(n, data):
    k, p = data.draw(st.integers(-1, n + 1)), data.draw(st.floats(0, 1))
    assert float(binomial_cdf(k, n, p)) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-12)


@given(st.integers(1, 3000), st.data())
def test_the_upper_bound_is_scipys(n, data):
    k, delta = data.draw(st.integers(0, n)), data.draw(st.sampled_from([0.01, 0.05, 0.2]))
    exact = 1.0 if k == n else stats.beta.ppf(1 - delta, k + 1, n - k)
    assert clopper_pearson_upper(k, n, delta) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("limit, golden", [(0.05, (59, 93, 208)), (0.1, (29, 46, 103)), (0.01, (299, 473, 1049))])
def test_accepted_items_needed_at_five_percent(limit, golden):
    """The golden figures: with 0, 1 and 5 errors."""
    assert tuple(items_needed(errors, limit, 0.05) for errors in (0, 1, 5)) == golden


@given(st.integers(0, 8), st.floats(0.005, 0.4), st.floats(0.01, 0.3))
def test_the_needed_number_is_the_least(errors, limit, delta):
    n = items_needed(errors, limit, delta)
    assert stats.binom.cdf(errors, n, limit) <= delta * (1 + 1e-9)
    assert n == errors + 1 or stats.binom.cdf(errors, n - 1, limit) > delta * (1 - 1e-9)


def test_hoeffding_bentkus_by_hand():
    # A mean of 0 in n rows: Hoeffding's part is (1 - limit)^n, below e times the binomial's.
    assert float(hoeffding_bentkus(0.0, 100, 0.1)) == pytest.approx(0.9**100)
    mean, n, limit = 0.05, 200, 0.1
    entropy = mean * math.log(mean / limit) + (1 - mean) * math.log((1 - mean) / (1 - limit))
    bentkus = math.e * stats.binom.cdf(10, n, limit)
    assert float(hoeffding_bentkus(mean, n, limit)) == pytest.approx(min(math.exp(-n * entropy), bentkus))
    assert float(hoeffding_bentkus(0.2, 100, 0.1)) == 1.0


@given(st.floats(0.005, 0.4), st.floats(0.01, 0.3))
def test_critical_counts_are_the_greatest_that_pass(limit, delta):
    counts = critical_counts(600, limit, delta)
    n = np.arange(601)
    assert (stats.binom.cdf(counts, n, limit) <= delta * (1 + 1e-9)).all()
    assert (stats.binom.cdf(counts + 1, n, limit) > delta * (1 - 1e-9)).all()
