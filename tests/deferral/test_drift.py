from dataclasses import replace

import numpy as np
import pytest

from semcascade.deferral.drift import TierCounts, compare, drift_of, score_bin
from semcascade.deferral.losses import Yardstick
from semcascade.deferral.policy import BINS, Policy, Reference
from semcascade.deferral.router import RouterPolicy
from semcascade.deferral.sequence import LossEstimate


def histogram(scores):
    return np.bincount([score_bin(score) for score in scores], minlength=BINS).tolist()


def reference(scores, threshold=0.5):
    return Reference(rows=len(scores), acceptance_rate=float((scores >= threshold).mean()), histogram=histogram(scores))


def counts(scores, threshold=0.5):
    return TierCounts(len(scores), int((scores >= threshold).sum()), tuple(histogram(scores)))


RNG = np.random.default_rng(0)
FITTED = reference(RNG.beta(4, 2, 500))


def test_an_unchanged_stream_is_called_drifted_no_more_often_than_allowed():
    streams = np.random.default_rng(1).beta(4, 2, (1000, 400))
    fits = np.random.default_rng(2).beta(4, 2, (1000, 300))
    alarms = sum(
        compare(reference(fit), counts(stream)).verdict == "drifted" for fit, stream in zip(fits, streams, strict=True)
    )
    assert alarms <= 20 + 3 * np.sqrt(20), "two tests of 1 %"


def test_a_shift_is_found_and_said():
    found = compare(FITTED, counts(np.random.default_rng(3).beta(2, 4, 300)))
    assert found.verdict == "drifted"
    assert found.psi > 0.25
    assert "accepted" in found.reasons[0]
    assert "stability index" in found.reasons[1]


def test_scores_can_shift_while_the_acceptance_rate_stays():
    scores = np.where(np.random.default_rng(4).random(400) < FITTED.acceptance_rate, 0.98, 0.02)
    found = compare(FITTED, counts(scores))
    assert found.p_acceptance > 0.01
    assert found.reasons == (f"scores are distributed otherwise (stability index {found.psi:.2f})",)


def test_a_change_too_small_to_matter_is_none():
    many = np.random.default_rng(5).beta(4, 2, 200_000)
    found = compare(reference(many), counts(np.clip(many - 0.01, 0, 1)))
    assert found.p_acceptance < 0.01
    assert found.verdict == "stable"


def test_few_rows_say_nothing():
    assert compare(FITTED, counts(np.zeros(20))).verdict == "too few"
    assert compare(FITTED, TierCounts()).acceptance_rate is None


def test_undefined_scores_are_counted_but_stand_in_no_bin():
    found = TierCounts().after(0.5, accepted=True).after(None, accepted=False)
    assert (found.rows, found.accepted, sum(found.histogram)) == (2, 1, 1)


def test_p_values_by_hand():
    """60 of 100 against 45 of 100: z = 0.15 / 0.07062 = 2.124; D = 0.15, λ = (√50 + 0.12 + 0.11/√50) D = 1.081."""
    old = Reference(rows=100, acceptance_rate=0.45, histogram=[55, *[0] * (BINS - 2), 45])
    found = compare(old, TierCounts(100, 60, (40, *[0] * (BINS - 2), 60)))
    assert found.p_acceptance == pytest.approx(0.03367, abs=1e-4)
    assert found.p_scores == pytest.approx(2 * (np.exp(-2 * 1.0810**2) - np.exp(-8 * 1.0810**2)), abs=1e-4)


# --- the loss


def policy(claim="graded", limit=0.02, certified=True, tiers=1):
    tier = {
        "members": ["a", "b"],
        "threshold": 0.5,
        "reference": FITTED.model_dump(),
        "certificate": {"certified": certified, "claim": claim, "limit": limit, "rows": 500},
    }
    return Policy.from_dict({"semcascade_policy": 1, "target": "t", "tiers": [tier] * tiers})


SAME = counts(RNG.beta(4, 2, 200))
HALF = TierCounts(200, 100, SAME.histogram)


def verdict(low, high, **options):
    loss = LossEstimate(100, (low + high) / 2, low, high, 0.95)
    found = drift_of(options.pop("policy", policy()), [options.pop("counts", HALF)], loss, **options)
    return found.loss_verdict, found.limit


def test_a_limit_on_all_queries_allows_accepted_ones_more():
    assert verdict(0.0, 0.03) == ("kept", pytest.approx(0.04))
    assert verdict(0.01, 0.09) == ("open", pytest.approx(0.04))
    assert verdict(0.05, 0.09) == ("broken", pytest.approx(0.04))
    assert verdict(0.05, 0.09, max_loss=0.05) == ("kept", pytest.approx(0.1))


def test_a_limit_on_accepted_answers_is_theirs():
    assert verdict(0.0, 0.03, policy=policy("selective", 0.02)) == ("open", 0.02)


def test_a_limit_is_shared_out_among_tiers():
    two = policy("joint", 0.01, tiers=2)
    assert verdict(0.0, 0.03, policy=two, counts=HALF) == ("kept", pytest.approx(0.04))


def test_losses_are_what_is_promised():
    labelled = {"data": {"rows": 9, "digest": "", "quality": "numeric"}}

    def yardstick(claim, bar=None, **data):
        certificate = {"certified": True, "claim": claim, "limit": 0.1, "rows": 9}
        tier = {"members": ["a", "b"], "certificate": certificate | ({} if bar is None else {"bar": bar})}
        return Yardstick.of(Policy.from_dict({"semcascade_policy": 1, "target": "t", "tiers": [tier], **data}))

    assert yardstick("graded").of_scores(0.4, 0.6) == pytest.approx(0.2)
    assert yardstick("graded").of_scores(0.6, 0.4) == 0.0
    assert [yardstick("regret", 0.05).of_scores(accepted, 0.6) for accepted in (0.54, 0.56, 0.9)] == [1.0, 0.0, 0.0]
    assert [yardstick("joint", 0.5).of_scores(accepted, 0.2) for accepted in (0.49, 0.5)] == [1.0, 0.0]
    assert yardstick("selective").of_scores(0.4, 0.6) is None, "nobody said what is bad"
    assert yardstick("joint", 0.5).of_unlikeness(0.6) == 1.0
    assert yardstick("joint", 0.5, **labelled).of_unlikeness(0.6) is None
    assert yardstick("graded", **labelled).of_unlikeness(0.6) is None
    assert Yardstick.of(None).of_unlikeness(0.6) == 0.6


def test_without_a_certificate_or_audits_nothing_is_promised():
    assert verdict(0.5, 0.9, policy=policy(certified=False)) == ("unknown", None)
    assert drift_of(policy(), [SAME]).loss_verdict == "unknown"
    assert drift_of(policy(), [SAME], LossEstimate(0, None, 0.0, 1.0, 0.95)).loss is None


def test_a_broken_promise_is_drift():
    found = drift_of(policy(), [SAME], LossEstimate(100, 0.2, 0.1, 0.3, 0.95))
    assert found.verdict == "drifted"
    assert "lose 0.100 or more" in found.reasons[-1]
    assert found.to_dict()["tiers"][0]["verdict"] == "stable"


def test_tiers_are_named_where_there_are_several():
    shifted = counts(np.random.default_rng(6).beta(2, 4, 300))
    found = drift_of(policy(tiers=2), [SAME, shifted])
    assert [tier.verdict for tier in found.tiers] == ["stable", "drifted"]
    assert found.reasons[0].startswith("tier 2: ")


def with_router(**changes):
    told = {"tiers": [{"constant": 0.0, "cost": 0.1}], "rows": 400, "starts": [0.75, 0.25]}
    return policy().model_copy(update={"router": RouterPolicy.model_validate({**told, **changes})})


def test_that_more_queries_start_later_is_drift():
    same, more = (replace(SAME, passed=round(SAME.rows * share)) for share in (1 / 3, 2))
    assert drift_of(with_router(), [same]).starts.later == pytest.approx(0.25, abs=0.01)
    assert drift_of(with_router(), [same]).verdict == "stable"
    found = drift_of(with_router(), [more])
    assert (found.verdict, found.starts.verdict) == ("drifted", "drifted")
    assert found.reasons[0] == "67% start behind the first tier, 25% when it was fitted"


def test_a_tier_that_nobody_starts_at_can_drift_no_more():
    found = drift_of(with_router(starts=[0.0, 1.0]), [TierCounts(passed=300)])
    assert (found.starts.later, found.starts.verdict, found.verdict) == (1.0, "stable", "stable")
    assert drift_of(with_router(), [TierCounts(passed=9)]).starts.verdict == "too few"
    assert drift_of(with_router(), [TierCounts()]).starts.later is None
    assert drift_of(policy(), [SAME]).starts is None


def test_what_may_be_lost_is_counted_over_all_queries_wherever_they_start():
    half = replace(SAME, passed=SAME.rows)
    assert drift_of(with_router(), [half], max_loss=0.01).limit == pytest.approx(
        2 * drift_of(with_router(), [SAME], max_loss=0.01).limit
    )
