import numpy as np
import pytest
from scipy import stats

from semcascade.deferral.guarantees import (
    GRID,
    certify_graded,
    certify_joint,
    certify_selective,
    conformal_joint,
    least_deferral,
    promising_start,
)

DRAWS, DELTA = 1000, 0.1
MARGIN = stats.binom.ppf(0.999, DRAWS, DELTA) / DRAWS
"""More violations than this among the draws have a probability below 0.001 if the rate is DELTA."""


def population(n=50_000):
    """Scores, and whether the answer is bad: likelier where the score is low."""
    rng = np.random.default_rng(99)
    scores = rng.beta(2, 2, n)
    return scores, rng.random(n) < 0.5 * (1 - scores) ** 1.5


SCORES, BAD = population()
_ACCEPTED = np.searchsorted(np.sort(SCORES), GRID - 1e-9)
_WORST_FIRST = np.concatenate([[0], np.cumsum(BAD[np.argsort(SCORES)])])
_BAD_ACCEPTED, _COUNT = BAD.sum() - _WORST_FIRST[_ACCEPTED], len(SCORES) - _ACCEPTED
RISKS = {"joint": _BAD_ACCEPTED / len(SCORES), "selective": _BAD_ACCEPTED / np.maximum(_COUNT, 1)}
"""The population's true risks at each threshold of the grid."""


def draw(rng, n):
    rows = rng.integers(0, len(SCORES), n)
    return SCORES[rows], BAD[rows]


def true_risk(threshold, which):
    return RISKS[which][np.argmin(np.abs(GRID - threshold))]


def violations(certify, limit, which):
    rng = np.random.default_rng(0)
    thresholds = [certify(*draw(rng, 400), limit, DELTA).threshold for _ in range(DRAWS)]
    certified = [threshold for threshold in thresholds if threshold is not None]
    assert len(certified) > DRAWS / 2, "a bound that never certifies anything cannot be violated"
    return sum(true_risk(threshold, which) > limit for threshold in certified) / DRAWS


def test_joint_risk_is_violated_no_more_often_than_allowed():
    assert violations(certify_joint, 0.06, "joint") <= MARGIN


def test_selective_risk_is_violated_no_more_often_than_allowed():
    assert violations(certify_selective, 0.15, "selective") <= MARGIN


def test_selective_risk_from_a_start_found_elsewhere_holds_too():
    rng = np.random.default_rng(7)
    start = promising_start(*draw(rng, 400), 0.15, DELTA, 400)

    def certify(scores, bad, limit, delta):
        return certify_selective(scores, bad, limit, delta, start=start)

    assert violations(certify, 0.15, "selective") <= MARGIN


def test_graded_loss_is_violated_no_more_often_than_allowed():
    def certify(scores, bad, limit, delta):
        return certify_graded(scores, 0.5 * bad, limit, delta)

    halved = 0.03  # half the loss: a limit of 0.03 is one of 0.06 on whether the answer is bad
    rng, found = np.random.default_rng(0), 0
    thresholds = [certify(*draw(rng, 800), halved, DELTA).threshold for _ in range(300)]
    found = sum(true_risk(t, "joint") / 2 > halved for t in thresholds if t is not None)
    assert sum(t is not None for t in thresholds) > 150
    assert found / 300 <= stats.binom.ppf(0.999, 300, DELTA) / 300


def test_conformal_risk_control_holds_in_expectation():
    rng = np.random.default_rng(0)
    thresholds = [conformal_joint(*draw(rng, 200), 0.05).threshold for _ in range(DRAWS)]
    risks = [0.0 if t is None else true_risk(t, "joint") for t in thresholds]
    assert np.mean(risks) <= 0.05 + 3 * np.std(risks) / np.sqrt(DRAWS)
    assert np.mean(risks) > 0.035, "far below the limit, it would defer too much"


def test_the_conformal_threshold_by_hand():
    # Nine rows, the worst scores bad: with limit 0.2, (bad + 1) / 10 may be 0.2, so one bad row may be accepted.
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    bad = np.array([0, 0, 0, 1, 0, 1, 1, 1, 1])
    assert conformal_joint(scores, bad, 0.2).threshold == pytest.approx(0.4005)
    assert conformal_joint(scores, bad, 0.2).certificate.accepted == 5


def test_what_is_certified_is_the_least_threshold_that_passes_with_its_bound():
    scores, bad = np.linspace(1, 0, 500), np.repeat([0, 1], [300, 200])
    found = certify_joint(scores, bad, 0.05, 0.05)
    # P(Bin(500, .05) <= 16) is below 5 %, of 17 above; so 316 rows may be accepted, 16 of them bad.
    assert stats.binom.cdf(16, 500, 0.05) <= 0.05 < stats.binom.cdf(17, 500, 0.05)
    assert found.certificate.accepted == 316
    assert found.certificate.bound == pytest.approx(stats.beta.ppf(0.95, 17, 484), abs=1e-6)
    assert "certified by exact binomial" in str(found.certificate)


def test_too_few_rows_are_not_certifiable_and_how_many_more_is_told():
    scores = np.linspace(0.5, 1, 40)
    found = certify_selective(scores, np.zeros(40), 0.05, 0.05)
    assert found.threshold is None
    assert not found.certificate.certified
    assert 19 <= found.certificate.rows_needed <= 120
    assert "not certifiable with these 40 rows" in str(found.certificate)
    assert certify_joint(scores, np.zeros(40), 0.05, 0.05).certificate.rows_needed == 19


def test_the_rows_said_to_be_needed_do_suffice():
    rng = np.random.default_rng(3)
    scores, bad = draw(rng, 120)
    found = certify_selective(scores, bad, 0.12, 0.05)
    assert found.threshold is None
    more = found.certificate.rows_needed
    again = [certify_selective(*draw(rng, 120 + 3 * more), 0.12, 0.05).threshold for _ in range(30)]
    assert sum(t is not None for t in again) >= 20


def test_where_no_threshold_is_good_enough_more_rows_do_not_help():
    rng = np.random.default_rng(1)
    scores = rng.random(500)
    found = certify_selective(scores, rng.random(500) < 0.4, 0.05, 0.05)
    assert found.threshold is None
    assert found.certificate.rows_needed is None
    assert "more rows of this kind would not help" in str(found.certificate)


def test_undefined_scores_are_never_accepted_and_order_does_not_matter():
    scores, bad = draw(np.random.default_rng(5), 400)
    scores[:50] = np.nan
    bad[:50] = True
    order = np.random.default_rng(6).permutation(400)
    found = certify_joint(scores, bad, 0.06, 0.1)
    assert found == certify_joint(scores[order], bad[order], 0.06, 0.1)
    assert found.threshold is not None


def test_the_grid_and_the_least_deferral():
    assert GRID[0] == 1.0
    assert GRID[-1] == 0.0
    assert (np.diff(GRID) < 0).all()
    assert least_deferral(0.2, 0.2) == 0.0
    assert least_deferral(0.6, 0.2) == pytest.approx(0.5)
