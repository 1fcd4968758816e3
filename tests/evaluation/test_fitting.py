"""Policies fitted to rows whose truth is known."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from semcascade import Candidate
from semcascade.config import CascadeConfig
from semcascade.errors import ConfigError, InputError, MemberTimeoutError
from semcascade.evaluation import Goal, Row, evaluate, fit_policy, replay
from semcascade.evaluation.recipes import accepted, choose_recipe, recipes_for, worth
from semcascade.evaluation.sights import Watcher
from semcascade.evaluation.thresholds import TierRows, certify
from tests.benchmarks.quality import DATA, SETS, read

ENSEMBLE, TARGET = ["a", "b", "c"], "t"
THREE = [{"members": ["a", "b"]}, {"members": ["b", "c"]}, {"members": "t"}]


def rows(n=80, seed=0, *, hint=True):
    """Three members name a number. Two are right where the question is easy; one always is where it says "odd"."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        easy, odd = rng.random() < 0.5, rng.random() < 0.5
        right = {"a": easy, "b": easy, "c": odd if hint else bool(rng.random() < 0.3), "t": True}
        answers = {name: str(number) if good else str(1000 + int(rng.integers(500))) for name, good in right.items()}
        asked = f"Which number is {'odd, my dear friend of long standing' if odd else 'it'}?"
        found.append(
            Row(
                id=str(number),
                task="",
                messages=({"role": "user", "content": asked},),
                tools=(),
                answers={name: Candidate(name, text=text) for name, text in answers.items()},
                scores={name: float(good) for name, good in right.items()},
            )
        )
    return found


async def fitted(goal=None, given=None, **settings):
    return await fit_policy(given or rows(), ENSEMBLE, TARGET, goal=goal, **settings)


async def look(given, **settings):
    watcher = Watcher(CascadeConfig.build(ensemble=ENSEMBLE, target=TARGET, **settings))
    for row in given:
        await watcher.watch(row)
    return watcher.sights()[0], np.array([row.scores[TARGET] for row in given])


async def test_a_fitted_policy_is_worth_more_than_agreement_and_says_so():
    fit = await fitted(Goal(escalation_rate=0.3), rows(240))
    fresh = rows(240, seed=1)
    with_policy = await evaluate(fresh, ENSEMBLE, TARGET, policy=fit.policy)
    without = await evaluate(fresh, ENSEMBLE, TARGET)
    assert with_policy.chord_gain > without.chord_gain + 0.03
    assert with_policy.at_threshold["deferral_rate"] == pytest.approx(0.3, abs=0.12)
    assert fit.trials[0][0].recipe.name == "learned quality"
    assert "over the strict chord" in fit.policy.tiers[0].notes[0]


async def test_rows_of_the_fit_are_told_from_others():
    given = rows()
    fit = await fitted(Goal(escalation_rate=0.3), given)
    again, fresh, plain = [
        await evaluate(some, ENSEMBLE, TARGET, policy=policy)
        for some, policy in ((given, fit.policy), (rows(seed=1), fit.policy), (given, None))
    ]
    assert [any("these very rows" in note for note in found.notes) for found in (again, fresh, plain)] == [
        True, False, False,
    ]  # fmt: skip


async def test_the_engine_decides_as_the_fit_foresaw():
    """Ranking rows by the recipe and replaying them through the engine give the same answers and scores."""
    given, fresh = rows(), rows(60, seed=2)
    fit = await fitted(Goal(escalation_rate=0.5), given)
    sights, _ = await look(fresh)
    ranking = fit.trials[0][0].recipe.rank(sights, np.arange(60))
    decisions = await replay(fresh, ENSEMBLE, TARGET, policy=fit.policy)
    for place, decision in enumerate(decisions):
        tier = decision.tiers[0]
        assert tier.score == pytest.approx(ranking.scores[place], abs=1e-9)
        assert tier.candidates[tier.chosen].member == ENSEMBLE[ranking.chosen[place]]


async def test_it_does_so_where_samples_are_missing():
    """Some rows have one sample of two, some have failures, some have one more than is asked for."""
    rng, given = np.random.default_rng(3), []
    for number, row in enumerate(rows(120)):
        texts = [row.answers["a"].text, str(number if rng.random() < 0.5 else 9), "7"]
        samples = tuple(Candidate("a", text) for text in texts[: 1 + number % 3])
        quality = tuple(float(answer.text == str(number)) for answer in samples)
        several = {"samples": {"a": samples}, "sample_scores": {"a": quality}} if len(samples) > 1 else {}
        late = {"c": Candidate("c", failure=MemberTimeoutError("too slow", member="c"))} if number % 7 == 0 else {}
        given.append(dataclasses.replace(row, answers=row.answers | late, **several))
    members = [{"model": "a", "samples": 2}, "b", "c"]
    fit = await fit_policy(given, members, TARGET, goal=Goal(escalation_rate=0.5))
    assert fit.policy.tiers[0].members == ["a", "a", "b", "c"]
    watcher = Watcher(CascadeConfig.build(ensemble=members, target=TARGET))
    for row in given:
        await watcher.watch(row)
    ranking = fit.trials[0][0].recipe.rank(watcher.sights()[0], np.arange(len(given)))
    decisions = await replay(given, members, TARGET, policy=fit.policy)
    for place, decision in enumerate(decisions):
        tier = decision.tiers[0]
        assert (tier.score, tier.chosen) == (pytest.approx(ranking.scores[place], abs=1e-9), ranking.chosen[place])


async def test_the_reference_is_how_the_rows_of_the_fit_scored():
    fit = await fitted(Goal(max_cost=0.5))
    tier = fit.policy.tiers[0]
    assert tier.reference.rows == 80
    assert sum(tier.reference.histogram) == 80
    assert tier.reference.acceptance_rate >= 0.65  # 3 · 0.05 + deferred is at most 0.5
    assert tier.cost == pytest.approx(0.15)
    assert fit.policy.data.rows == 80


@pytest.mark.parametrize("goal", [Goal(max_cost=0.6), Goal(escalation_rate=0.4), Goal(min_quality=0.9)], ids=str)
async def test_the_goal_is_reached_on_the_rows_of_the_fit(goal):
    fit = await fitted(goal)
    found = await evaluate(rows(), ENSEMBLE, TARGET, policy=fit.policy)
    at = found.at_threshold
    if goal.max_cost:
        assert at["cost"] <= 0.65
    if goal.escalation_rate:
        assert at["deferral_rate"] == pytest.approx(0.4, abs=0.1)
    if goal.min_quality:
        assert at["quality"] >= 0.88


async def test_what_no_threshold_reaches_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="asking the first tier alone costs 15%"):
        await fitted(Goal(max_cost=0.1))
    with pytest.raises(ConfigError, match=r"min_quality: 0.99 cannot be reached: the best .* is 0\.\d+"):
        await fitted(Goal(min_quality=0.99), [worse(row) for row in rows()])


def worse(row):
    return Row(**{field: getattr(row, field) for field in Row.__slots__} | {"scores": {**row.scores, "t": 0.7}})


async def test_a_guarantee_is_certified_on_rows_that_nothing_was_fitted_on():
    fit = await fitted(Goal(max_loss=0.1), rows(400))
    tier = fit.policy.tiers[0]
    assert tier.certificate.certified
    assert (tier.certificate.claim, tier.certificate.bar) == ("graded", None)
    assert tier.certificate.rows == 200
    assert tier.certificate.bound <= 0.1
    assert tier.reference.rows == 200
    fresh = await evaluate(rows(600, seed=5), ENSEMBLE, TARGET, policy=fit.policy)
    assert fresh.at_threshold["loss"] <= 0.1


async def test_what_is_not_certifiable_accepts_nothing_and_says_how_many_rows_it_takes():
    fit = await fitted(Goal(max_loss=0.01), rows(60))
    tier = fit.policy.tiers[0]
    assert tier.threshold is None
    assert tier.certificate.rows_needed == 299 - 30
    assert not any(decision.accepted for decision in await replay(rows(20), ENSEMBLE, TARGET, policy=fit.policy))


async def test_a_policy_that_cannot_help_stays_on_the_best_member_or_the_target():
    noise = np.random.default_rng(0)
    given = [
        Row(**{field: getattr(row, field) for field in Row.__slots__}
            | {"scores": {name: float(noise.random() < share) for name, share in zip("abct", (0.7, 0.5, 0.4, 0.9), strict=True)}})
        for row in rows(200, hint=False)
    ]  # fmt: skip
    sights, target = await look(given)
    trials = choose_recipe(recipes_for(sights, target, np.arange(200)), sights, target, np.arange(200))
    fresh = np.arange(100, 200)
    assert abs(worth(trials[0].recipe.rank(sights, fresh), sights.quality[fresh], target[fresh])) < 0.08
    constant = next(trial.recipe for trial in trials if trial.recipe.name.startswith("always a"))
    assert np.ptp(constant.ranking.scores) == 0
    assert (constant.ranking.chosen == 0).all()


async def test_few_rows_are_not_learned_from_and_fewer_are_refused():
    fit = await fitted(Goal(escalation_rate=0.3), rows(30))
    assert fit.policy.tiers[0].model is None or not fit.policy.tiers[0].model.features
    with pytest.raises(InputError, match="5 labelled rows tell nothing"):
        await fitted(given=rows(5))


@pytest.mark.parametrize("quality", [0.0, 1.0])
async def test_rows_of_one_class_only_give_a_plain_policy(quality):
    given = [
        Row(**{f: getattr(row, f) for f in Row.__slots__} | {"scores": dict.fromkeys("abct", quality)})
        for row in rows(60)
    ]
    fit = await fitted(Goal(escalation_rate=0.0), given)
    assert fit.policy.tiers[0].calibrator is None
    decisions = await replay(given[:5], ENSEMBLE, TARGET, policy=fit.policy)
    assert all(decision.accepted for decision in decisions)


async def test_a_failed_member_leaves_the_row_to_the_others():
    given = rows()
    for row in given[::4]:
        row.answers["a"] = Candidate(
            "a", failure=__import__("semcascade.errors").errors.ServerError("down", member="a")
        )
    fit = await fitted(Goal(escalation_rate=0.3), given)
    sights, _ = await look(given)
    assert not sights.usable[::4, 0].any()
    assert (sights.quality[::4, 0] == 0).all()
    decisions = await replay(given[:8], ENSEMBLE, TARGET, policy=fit.policy)
    assert all(decision.member for decision in decisions)


async def test_three_tiers_share_one_exchange_rate():
    fit = await fit_policy(
        rows(200), tiers=THREE,
        goal=Goal(max_cost=0.6), member_cost=[0.05, 0.1],
    )  # fmt: skip
    found = await evaluate(
        rows(100), tiers=THREE,
        policy=fit.policy, member_cost=[0.05, 0.1],
    )  # fmt: skip
    assert len(fit.policy.tiers) == 2
    assert found.at_threshold["cost"] <= 0.7
    assert found.at_threshold["quality"] > 0.8


async def test_the_same_rows_give_the_same_policy_and_others_another_fingerprint():
    one, again = await fitted(Goal(max_cost=0.5)), await fitted(Goal(max_cost=0.5))
    assert one.policy == again.policy
    other = await fitted(Goal(max_cost=0.5), rows(seed=9))
    assert other.policy.data.digest != one.policy.data.digest
    assert json.loads(one.policy.to_json())["data"]["rows"] == 80


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"max_loss": 0.1, "max_cost": 0.5}, "max_loss"),
        ({"max_loss": 0.0}, "max_loss"),
        ({"escalation_rate": 1.5}, "escalation_rate"),
        ({"max_cost": -1.0}, "max_cost"),
        ({"confidence": 0.2}, "confidence"),
        ({"claim": "hope"}, "claim"),
        ({"confidence": None, "claim": "regret"}, "confidence"),
        ({"max_loss": "0.1"}, "max_loss"),
        ({"max_cost": float("inf")}, "max_cost"),
        ({"good": float("nan")}, "good"),
    ],
)
def test_wrong_goals_are_refused_by_name(wrong, field):
    with pytest.raises(ConfigError) as caught:
        Goal(**wrong)
    assert caught.value.field == field


@pytest.mark.parametrize("name", list(SETS))
async def test_guarantees_hold_on_exchangeable_splits_of_recorded_answers(name):
    """Certify on one random half by a label-free signal, look at the other: too many violations must be too unlikely."""
    given = read(name)
    if given is None:
        pytest.skip(f"{name}.jsonl is not in {DATA}")
    ensemble, target_name = SETS[name]
    given = given[:200]
    watcher = Watcher(CascadeConfig.build(ensemble=list(ensemble), target=target_name, similarity="token_f1"))
    for row in given:
        await watcher.watch(row)
    sights, target = watcher.sights()[0], np.array([row.scores[target_name] for row in given])
    ranking, rng, splits = sights.rankings["agreement", "auto"], np.random.default_rng(0), 60
    goal = Goal(max_loss=0.2, confidence=0.8, claim="joint")
    broken = 0
    for _ in range(splits):
        order = rng.permutation(len(given))
        first, rest = np.array_split(order, 2)
        parts = [
            TierRows(r.scores, accepted(r, sights.quality[at]), target[at])
            for at, r in ((at, ranking.take(at)) for at in (first, rest))
        ]
        threshold = certify(goal, parts[:1], parts[:1])[0].threshold
        if threshold is not None:
            taken = parts[1].scores >= threshold - 1e-9
            bad = int((parts[1].losses(goal) * taken).sum())
            # The other half is a draw itself: only what is beyond its own noise counts as broken.
            broken += stats.binom.sf(bad - 1, len(rest), goal.max_loss) < 0.05
    assert broken <= stats.binom.ppf(0.999, splits, 0.2 + 0.05)
