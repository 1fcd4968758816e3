import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.deferral.complexity import query_complexity
from semcascade.deferral.neighbours import Neighbours
from semcascade.deferral.policy import Policy
from semcascade.deferral.router import RouterPolicy, TierOdds, start_of
from semcascade.deferral.router_fit import PastQueries, fit_router, plain_router, unseen_starts
from semcascade.deferral.wording import hashed
from semcascade.errors import ConfigError

EASY = [f"What is the capital of country number {n}?" for n in range(40)]
HARD = [f"Prove the theorem {n} of Fermat for all primes, step by step." for n in range(40)]


def past(*, cost=0.15, deferred=None, gains=0.5, tiers=1, starts=(True,)):
    """Eighty past queries of two kinds; unless told otherwise the hard ones are deferred."""
    texts = EASY + HARD
    told = np.array([False] * 40 + [True] * 40) if deferred is None else np.full(80, deferred)
    return PastQueries(
        seen=[query_complexity(text) for text in texts],
        vectors=np.array([hashed(text, 256) for text in texts]),
        entropy=told.astype(float),
        deferred=np.tile(told, (tiers, 1)),
        gains=np.full((tiers, 80), gains),
        costs=(cost,) * tiers,
        starts=tuple(starts) * (tiers if len(starts) == 1 else 1),
    )


@pytest.fixture(scope="module")
def router():
    return fit_router(past())


def outlook(router, text):
    vectors = None if router.neighbours is None else hashed(text, router.neighbours.width)[np.newaxis]
    return router.outlooks([query_complexity(text)], vectors)[0]


def policy(router):
    tiers = [{"members": ["a", "b"], "threshold": 0.6}] * len(router["tiers"])
    return {"semcascade_policy": 1, "target": "t", "tiers": tiers, "router": router}


def plain(constant=0.0, **changes):
    return {"tiers": [{"constant": constant, "cost": 0.15}], **changes}


def test_queries_like_those_that_were_deferred_go_straight_to_the_target(router):
    hard = outlook(router, "Prove the theorem 99 of Fermat for all primes, step by step.")
    easy = outlook(router, "What is the capital?")
    assert (hard.start, easy.start) == (1, 0)
    assert hard.deferred[0] > 0.85 > easy.deferred[0]
    assert hard.threshold == easy.threshold == 0.85
    assert hard.entropy > 0.8 > 0.3 > easy.entropy
    assert "> 0.85, above which asking first does not pay" in hard.reason
    assert "≤ 0.85" in easy.reason


def test_the_costs_that_are_predicted_by_hand():
    found = outlook(RouterPolicy.model_validate(plain(constant=0.0)), "x")
    assert found.deferred == (0.5,)
    assert found.costs == pytest.approx((0.65, 1.0))
    two = RouterPolicy(tiers=[TierOdds(constant=0.0, cost=0.1), TierOdds(constant=0.0, cost=0.2)])
    assert outlook(two, "x").costs == pytest.approx((0.1 + 0.5 * 0.7, 0.2 + 0.5, 1.0))


@pytest.mark.parametrize("start", [True, False])
def test_a_query_may_start_at_a_tier_in_the_middle_but_not_where_a_lone_answer_would_stand(start):
    tiers = [TierOdds(constant=9.0, cost=0.1), TierOdds(constant=-2.0, cost=0.2, start=start)]
    assert outlook(RouterPolicy(tiers=tiers), "x").start == int(start)


def test_no_query_is_sent_to_where_answers_are_expected_to_be_worse():
    worse = fit_router(past(deferred=None, gains=-0.9))
    worse = worse.model_copy(update={"tiers": [TierOdds(constant=1.0, cost=0.5)]})
    found = outlook(worse, EASY[0])
    assert found.deferred[0] > 0.5
    assert (found.start, found.threshold) == (0, None)
    assert "worse" in found.reason


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 2))
def test_the_more_likely_deferral_is_the_later_a_query_starts(first, second, cost):
    low, high = sorted((first, second))
    starts = [start_of((cost + share, 1.0), share, [1]) for share in (low, high)]
    assert starts[0][0] <= starts[1][0]
    assert starts[0][1] == pytest.approx(starts[1][1], abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 2))
def test_a_query_starts_later_only_where_that_costs_less(share, cost):
    start, threshold = start_of((cost + share, 1.0), share, [1])
    assert (start == 1) == (cost + share - 1e-9 > 1.0)
    assert 0 <= threshold <= 1


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_whatever_is_asked_is_predicted_between_0_and_1(router, texts):
    found = router.outlooks([query_complexity(text) for text in texts], np.array([hashed(t, 256) for t in texts]))
    for one in found:
        assert all(0 <= share <= 1 for share in one.deferred)
        assert one.costs[-1] == 1.0
        assert 0 <= one.entropy <= 1
        assert 0 <= one.likeness <= 1.0001


def test_one_query_is_predicted_as_among_many(router):
    texts = [EASY[3], "something else", HARD[7]]
    together = router.outlooks([query_complexity(t) for t in texts], np.array([hashed(t, 256) for t in texts]))
    for one, text in zip(together, texts, strict=True):
        assert outlook(router, text).deferred == pytest.approx(one.deferred, abs=1e-6)


def test_a_query_like_no_other_is_expected_to_be_like_all():
    neighbours = Neighbours.of(
        np.eye(4)[:3], np.array([0.0, 0.5, 1.0]), np.array([[0, 1, 1.0]]), np.array([[0.2, 0, 0]])
    )
    near = neighbours.look(np.array([[0.0, 0, 0, 1], [0, 1, 0, 0]]))
    assert near.likeness.tolist() == pytest.approx([0.0, 1.0])
    assert near.entropy.tolist() == pytest.approx([0.5, (0.5 + 0.5) / 2])
    assert near.deferred[:, 0].tolist() == pytest.approx([2 / 3, (1 + 2 / 3) / 2])
    assert near.gains[0].tolist() == pytest.approx([0.2])


def test_no_past_query_is_its_own_neighbour():
    rows = np.eye(4)[:3]
    neighbours = Neighbours.of(rows, np.array([0.0, 0.0, 1.0]), np.array([[0, 0, 1.0]]), np.zeros((1, 3)))
    assert neighbours.look(rows, own=True).entropy.tolist() == pytest.approx([1 / 3] * 3)


def test_rows_are_judged_by_routers_that_were_fitted_without_them():
    starts = unseen_starts(past())
    assert starts[:40].mean() < 0.1 < 0.9 < starts[40:].mean()
    noise = past()
    noise.deferred[0] = np.random.default_rng(0).random(80) < 0.5
    assert unseen_starts(noise).mean() < 0.1


def test_a_plain_router_knows_only_how_often_tiers_defer():
    always, never = plain_router(past(deferred=True)), plain_router(past(deferred=False))
    assert (outlook(always, "x").start, outlook(never, "x").start) == (1, 0)
    assert outlook(plain_router(past()), "x").deferred[0] == pytest.approx(0.5)


def test_a_policy_with_a_router_survives_its_json_and_holds_no_text(router):
    read = Policy.from_dict(policy(router.model_dump(mode="json")))
    again = Policy.from_json(read.to_json())
    assert again == read
    assert again.digest == read.digest
    assert outlook(again.router, HARD[0]) == outlook(router, HARD[0])
    for word in ("capital", "Prove", "Fermat"):
        assert word not in read.to_json()
        assert base64.b64encode(word.encode()).decode()[:6] not in read.to_json()
    assert len(read.to_json()) < 60_000


def neighbours(**changes):
    whole = {"width": 2, "vectors": base64.b64encode(bytes(4)).decode(), "entropy": [0.0, 1.0], "deferred": [[0.0, 1.0]],
             "gains": [[0.0, 0.5]]}  # fmt: skip
    return {**whole, **changes}


@pytest.mark.parametrize(
    "router, says",
    [
        (plain(surprise=1), "surprise"),
        (plain(constant=float("nan")), "finite|NaN|less"),
        (plain(tiers=[]), "tiers"),
        (plain(features=["complexity"]), "1 numbers each"),
        (plain(features=["complexity"], center=[0.0], scale=[0.0]), "greater than 0"),
        (plain(features=["__class__"], center=[0.0], scale=[1.0]), "'__class__' is none"),
        (plain(features=["entropy"], center=[0.0], scale=[1.0]), "'entropy' is none"),
        (plain(features=["code", "code"], center=[0.0] * 2, scale=[1.0] * 2), "twice"),
        ({"tiers": [{"constant": 0.0, "cost": 0.1, "weights": [1.0]}]}, "0 features"),
        ({"tiers": [{"constant": 0.0, "cost": -0.1}]}, "cost"),
        (plain(starts=[1.0]), "starts"),
        (plain(neighbours=neighbours(vectors="not base64!")), "base64"),
        (plain(neighbours=neighbours(vectors="AAAA")), "take 4 bytes, not 3"),
        (plain(neighbours=neighbours(width=5_000)), "width"),
        (plain(neighbours=neighbours(width=1, entropy=[0.0] * 4)), "power of two"),
        (plain(neighbours=neighbours(width=3)), "power of two"),
        (plain(neighbours=neighbours(entropy=[0.0])), "gains need 1"),
        (plain(neighbours=neighbours(entropy=[0.0, 2.0])), "entropy"),
        (plain(neighbours=neighbours(deferred=[[0.0, 1.0]] * 2, gains=[[0.0, 1.0]] * 2)), "another number of tiers"),
        (plain(neighbours=neighbours(nearest=0)), "nearest"),
    ],
)
def test_what_is_no_router_is_refused_by_the_place(router, says):
    with pytest.raises(ConfigError, match=says):
        Policy.from_dict(policy(router))


def test_a_router_for_another_number_of_tiers_is_refused():
    wrong = policy(plain()) | {"tiers": [{"members": ["a", "b"]}] * 2}
    with pytest.raises(ConfigError, match="router: it is for 1 tiers, the policy has 2"):
        Policy.from_dict(wrong)


def test_zero_vectors_and_empty_texts_are_like_no_other():
    read = Policy.from_json(json.dumps(policy(plain(neighbours=neighbours()))))
    assert outlook(read.router, "").likeness == 0.0
