"""Routers fitted to rows whose truth is known, and what evaluations make of them."""

import numpy as np
import pytest
from scipy import stats

from semcascade import Candidate
from semcascade.config import CascadeConfig
from semcascade.errors import ConfigError
from semcascade.evaluation import Goal, Row, evaluate, fit_policy, replay
from semcascade.evaluation.curve import Outcome
from semcascade.evaluation.entering import deferrals, routed, walked
from semcascade.evaluation.fitting import _halves
from semcascade.evaluation.outcomes import unrouted
from semcascade.evaluation.thresholds import TierRows, certify
from semcascade.similarity import embedding
from semcascade.similarity.vectors import Embedded

ENSEMBLE, TARGET = ["a", "b", "c"], "t"
KINDS = {
    "easy": "What is the capital of country {}?",
    "hard": "Prove the theorem {} of Fermat for all primes, in full.",
}


def rows(n=100, seed=0, *, told=True, hard=0.5):
    """Members agree on easy questions and scatter over hard ones; unless it is told, no question says which it is."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        kind = "hard" if rng.random() < hard else "easy"
        right = dict.fromkeys("abc", kind == "easy") | {"t": True}
        said = {name: str(number) if good else str(1000 + int(rng.integers(9000))) for name, good in right.items()}
        asked = KINDS[kind if told else "easy"].format(number)
        answers = {name: Candidate(name, text=text) for name, text in said.items()}
        scores = {name: float(good) for name, good in right.items()}
        found.append(Row(f"{seed}:{number}", "", ({"role": "user", "content": asked},), (), answers, scores))
    return found


async def fitted(goal, given=None, **settings):
    return await fit_policy(given or rows(), ENSEMBLE, TARGET, goal=goal, **settings)


@pytest.mark.parametrize("goal", [Goal(max_cost=0.7), Goal(min_quality=0.98)], ids=str)
async def test_queries_that_are_sure_to_be_deferred_stop_paying_the_ensemble(goal):
    with_router, without = await fitted(goal), await fitted(goal, router=False)
    assert with_router.policy.router.saves > 2 * with_router.policy.router.error > 0
    assert "of queries start later; saves 0." in with_router.policy.notes[1]
    assert without.policy.router is None is without.entering
    fresh = rows(seed=1)
    routed_, plain = [await evaluate(fresh, ENSEMBLE, TARGET, policy=one.policy) for one in (with_router, without)]
    assert routed_.at_threshold["cost"] < plain.at_threshold["cost"] - 0.03
    assert routed_.at_threshold["quality"] >= plain.at_threshold["quality"] - 0.02
    assert plain.router is None
    assert routed_.router["starts"][1] > 0.3
    assert routed_.router["saves"] == pytest.approx(plain.at_threshold["cost"] - routed_.at_threshold["cost"], abs=0.03)


async def test_the_engine_starts_queries_as_the_fit_foresaw_and_everything_else_stays():
    policy = (await fitted(Goal(max_cost=0.7))).policy
    fresh = rows(seed=2)
    decisions = await replay(fresh, ENSEMBLE, TARGET, policy=policy)
    without = await replay(fresh, ENSEMBLE, TARGET, policy=policy, router=False)
    skipped = [bool(decision.route.skipped) for decision in decisions]
    assert 0.3 < np.mean(skipped) < 0.7
    for one, other, gone in zip(decisions, without, skipped, strict=True):
        assert other.route is None
        assert gone or (one.accepted, one.member, one.score) == (other.accepted, other.member, other.score)
        assert not gone or [tier.name for tier in one.tiers] == ["target"]


async def test_where_the_question_tells_nothing_there_is_no_router_and_the_policy_says_so():
    fit = await fitted(Goal(escalation_rate=0.5), rows(told=False))
    assert fit.policy.router is None
    assert "router: off" in fit.policy.notes[1]


async def test_a_model_may_tell_queries_apart(monkeypatch):
    def encode(texts, *_):
        return [Embedded(np.array([1.0, 0.0] if "Prove" in text else [0.0, 1.0])) for text in texts]

    monkeypatch.setattr(embedding, "_encode", encode)
    policy = (await fitted(Goal(max_cost=0.7), embedding="tiny")).policy
    assert (policy.router.neighbours.embedding, policy.router.neighbours.width) == ("tiny", 2)
    found = await evaluate(rows(40, seed=6), ENSEMBLE, TARGET, policy=policy)
    assert found.router["starts"][1] > 0.3


async def test_few_rows_have_no_router():
    assert (await fitted(Goal(max_cost=0.7), rows(30))).policy.router is None


async def test_members_that_do_not_pay_are_not_asked():
    """At these prices asking three members costs more than the target calls that they spare."""
    fit = await fitted(Goal(escalation_rate=1.0), member_cost=0.3)
    assert fit.policy.router.starts == [0.0, 1.0]
    found = await evaluate(rows(40, seed=3), ENSEMBLE, TARGET, policy=fit.policy, member_cost=0.3)
    assert found.at_threshold["cost"] == pytest.approx(1.0)
    assert found.router["saves"] == pytest.approx(0.9)


async def test_no_router_defers_more_than_was_asked_for():
    fit = await fitted(Goal(escalation_rate=0.8), rows(told=False), member_cost=0.2)
    assert fit.policy.router is None or fit.policy.router.starts[1] <= 0.8


async def test_what_is_not_certifiable_asks_nobody_but_the_target():
    fit = await fitted(Goal(max_loss=0.01), rows(60))
    assert fit.policy.tiers[0].threshold is None
    assert not fit.policy.certificate.certified
    decisions = await replay(rows(10), ENSEMBLE, TARGET, policy=fit.policy)
    assert all(decision.route.skipped for decision in decisions)


@pytest.mark.parametrize("goal", [Goal(max_loss=0.05), Goal(max_loss=0.2, claim="selective")], ids=str)
async def test_a_guarantee_is_certified_with_the_router_in_place(goal):
    fit = await fitted(goal, rows(200))
    tier, router = fit.policy.tiers[0], fit.policy.router
    assert tier.certificate.certified
    assert router.starts[1] > 0.3
    assert tier.reference.rows < 100 * 0.8  # those that start later never reach it
    assert sum(tier.reference.histogram) == tier.reference.rows
    held_out = [rows(200)[place] for place in _halves(200, goal, 0)[1]]
    decisions = await replay(held_out, ENSEMBLE, TARGET, policy=fit.policy)
    assert sum(decision.accepted for decision in decisions) == tier.certificate.accepted
    fresh = await evaluate(rows(100, seed=4), ENSEMBLE, TARGET, policy=fit.policy)
    assert fresh.at_threshold["loss"] <= 0.1
    with pytest.raises(ConfigError, match="certified with its router in place"):
        await evaluate(rows(40), ENSEMBLE, TARGET, policy=fit.policy, router=False)


@pytest.mark.parametrize("claim", ["joint", "selective", "graded"])
def test_over_many_draws_a_guarantee_is_broken_no_more_often_than_allowed_with_a_router_in_place(claim):
    """Half the queries go straight to the target, by what is known of them beforehand; the rest is certified."""
    goal, rng, broken, draws = Goal(max_loss=0.15, confidence=0.8, claim=claim), np.random.default_rng(7), 0, 150

    def drawn(n):
        known, scores = rng.random(n), rng.random(n)
        good = rng.random(n) < np.clip(0.3 + 0.5 * scores + 0.2 * (known < 0.5), 0, 1)
        rows_ = TierRows(scores, good.astype(float), np.ones(n))
        return routed([rows_], (known > 0.5).astype(np.intp))

    fresh = drawn(100_000)[0]
    losses = fresh.losses(goal)
    for _ in range(draws):
        threshold = certify(goal, drawn(200), drawn(200))[0].threshold
        if threshold is not None:
            taken = fresh.scores >= threshold - 1e-9
            risk = losses[taken].mean() if claim == "selective" else (losses * taken).mean()
            broken += risk > goal.max_loss
    assert broken <= stats.binom.ppf(0.999, draws, 0.2)


async def test_queries_start_in_the_middle_of_three_tiers():
    def three(row):
        hard = "Prove" in row.messages[0]["content"]
        said = {**row.answers, "m": Candidate("m", text="7"), "n": Candidate("n", text="7" if hard else "8")}
        return Row(row.id, "", row.messages, (), said, {**row.scores, "m": 1.0, "n": float(hard)})

    tiers = [{"members": ["a", "b", "c"]}, {"members": ["m", "n"]}, {"members": "t"}]
    costs = {"member_cost": [0.05, 0.15]}
    fit = await fit_policy(map(three, rows(120)), tiers=tiers, goal=Goal(min_quality=0.95), **costs)
    assert fit.policy.router.starts[1] > 0.2
    found = await evaluate(list(map(three, rows(seed=5))), tiers=tiers, policy=fit.policy, **costs)
    assert found.router["starts"][1] > 0.2
    assert found.router["saves"] > 0.03
    assert found.at_threshold["quality"] > 0.9


async def test_complexity_alone_is_evaluated_like_any_router():
    found = await evaluate(rows(), ENSEMBLE, TARGET, router={"complexity": 0.23})
    off = await evaluate(rows(), ENSEMBLE, TARGET)
    assert 0.2 < found.router["starts"][1] < 0.8
    assert found.at_threshold["cost"] == pytest.approx(off.at_threshold["cost"] - found.router["saves"])
    assert (found.auc, found.chord_gain, found.curve) == (off.auc, off.chord_gain, off.curve)


def test_walks_by_hand():
    tiers = [
        TierRows(np.array([0.9, 0.2, 0.9]), np.array([0.5, 0.5, 0.5]), np.ones(3)),
        TierRows(np.array([0.9, 0.2, np.nan]), np.array([0.7, 0.7, 0.7]), np.ones(3)),
    ]
    cost = np.tile([[0.1], [0.2], [1.0]], 3)
    deferred = deferrals(tiers, [0.5, 0.5])
    assert deferred.tolist() == [[False, True, False], [False, True, True]]
    for start, spent, quality in (
        (0, [0.1, 1.3, 0.1], [0.5, 1.0, 0.5]),
        (1, [0.2, 1.2, 1.2], [0.7, 1.0, 1.0]),
        (2, [1.0] * 3, [1.0] * 3),
    ):
        found = walked(np.full(3, start), deferred, tiers, cost)
        assert found[0].tolist() == pytest.approx(spent)
        assert found[1].tolist() == pytest.approx(quality)
    left_out = routed(tiers, np.array([0, 1, 2]))
    assert np.isnan(left_out[0].scores).tolist() == [False, True, True]
    assert np.isnan(left_out[1].scores).tolist() == [False, False, True]
    outcome = Outcome.two_tiers([0.9, 0.2], [0.5, 0.5], [1.0, 1.0], [0.5, 0.5], ensemble_cost=0.1)
    spent, quality = outcome.walked(np.array([0, 1]), np.array([0, 1]))
    assert (spent.tolist(), quality.tolist()) == ([0.1, 1.0], [0.5, 1.0])


def test_a_configuration_without_its_router():
    config = CascadeConfig.build(ensemble=["a", "b"], target="t", router={"complexity": 0.5})
    assert unrouted(config).router is None
    plain = CascadeConfig.build(ensemble=["a", "b"], target="t")
    assert unrouted(plain) is plain
