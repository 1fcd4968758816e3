"""Where queries start, and what the rest of the engine makes of it."""

import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade import Cascade, CascadeConfig, Policy, Result, ScriptedTransport
from semcascade.deferral.complexity import query_complexity
from semcascade.deferral.neighbours import Neighbours
from semcascade.errors import CascadeError, ConfigError, DeadlineExceededError, ServerError
from semcascade.evaluation.drift import drift_of_log
from semcascade.similarity import embedding
from semcascade.similarity.vectors import Embedded

ANSWERS = {"a": "4", "b": "4", "c": "5", "d": "5", "big": "it is 4"}
HARD = "Prove that \\frac{1}{2} + 2 = 4 - 1, and say:\n" + "".join(f"{n}. what is {n} + {n} = ?\n" for n in range(9))
THREE = [{"members": ["a", "b"]}, {"members": ["c", "d"]}, {"members": "big"}]


def cascade(answers=ANSWERS, **settings):
    settings = {"ensemble": ["a", "b"], "target": "big", **settings}
    return Cascade(**settings, transport=ScriptedTransport(answers))


def fitted(*constants, cost=0.15, certified=False, start=True, threshold=0.6):
    """A policy whose router expects each tier to defer with log odds of so much, whatever is asked."""
    members = [["a", "b"], ["c", "d"]][: len(constants)]
    certificate = {"certificate": {"certified": True, "claim": "joint", "limit": 0.1}} if certified else {}
    return Policy.from_dict(
        {
            "semcascade_policy": 1,
            "target": "big",
            "tiers": [{"members": some, "threshold": threshold, **certificate} for some in members],
            "router": {"tiers": [{"constant": at, "cost": cost, "start": start} for at in constants]},
        }
    )


def test_a_complex_query_goes_straight_to_the_target_and_a_simple_one_does_not():
    with cascade(router={"complexity": 0.6}) as routed:
        hard, easy = routed.complete(HARD).decision, routed.complete("2 + 2?").decision
    assert (hard.member, [tier.name for tier in hard.tiers]) == ("big", ["target"])
    assert hard.route.skipped == ("ensemble",)
    assert hard.route.threshold == 0.6
    assert hard.route.complexity == query_complexity(HARD).value
    assert hard.reason.startswith("straight to big: query complexity 0.")
    assert hard.to_dict()["route"]["skipped"] == ["ensemble"]
    assert (easy.accepted, easy.route.skipped) == (True, ())
    assert "router: started at ensemble: query complexity 0." in easy.explain()
    assert "< 0.60" in easy.route.reason


@given(st.text(max_size=60).map("x{}".format))
def test_without_a_router_nothing_changes(text):
    with cascade() as plain, cascade(router=False) as off, cascade(router={"complexity": 1.0}) as never:
        found = [one.complete(text).decision for one in (plain, off, never)]
    assert found[0].route is None is found[1].route
    assert found[2].route.skipped == ()
    told = [{k: v for k, v in one.to_dict().items() if k not in ("route", "latency_s", "tiers")} for one in found]
    for one in told:
        for candidate in one["candidates"]:
            candidate.pop("latency_s")
    assert told[0] == told[1] == told[2]


def test_a_query_starts_in_the_middle_where_it_asks_for_so_much():
    with Cascade(tiers=THREE, router={"complexity": [0.1, 0.99]}, transport=ScriptedTransport(ANSWERS)) as routed:
        middle, low = routed.complete("What is 2 + 2?").decision, routed.complete("hi").decision
    assert (middle.tier, middle.route.skipped, [tier.name for tier in middle.tiers]) == (
        "tier-2",
        ("tier-1",),
        ["tier-2"],
    )
    assert low.tier == "tier-1"


def test_one_number_is_for_the_target_however_many_tiers_there_are():
    with Cascade(tiers=THREE, router={"complexity": 0.1}, transport=ScriptedTransport(ANSWERS)) as routed:
        assert routed.complete("What is 2 + 2?").decision.route.skipped == ("tier-1", "tier-2")


def test_the_policys_router_decides_and_its_prediction_is_told():
    with cascade(policy=fitted(3.0)) as later, cascade(policy=fitted(0.0)) as first:
        skipped, asked = later.complete("2 + 2?").decision, first.complete("2 + 2?").decision
    assert [tier.name for tier in skipped.tiers] == ["target"]
    assert "deferral predicted with probability 0.95 > 0.85" in skipped.reason
    assert skipped.route.deferred == pytest.approx((0.9526,), abs=1e-4)
    assert skipped.route.costs == pytest.approx((1.1026, 1.0), abs=1e-4)
    assert asked.accepted
    assert asked.route.deferred == (0.5,)
    assert "probability 0.50 ≤ 0.85" in asked.explain()


def test_the_policys_router_starts_in_the_middle_and_can_be_switched_off():
    settings = {"tiers": THREE, "policy": fitted(9.0, -2.0), "transport": ScriptedTransport(ANSWERS)}
    with (
        Cascade(**settings) as routed,
        Cascade(**settings, router=False) as off,
        Cascade(**settings, router=True) as on,
    ):
        assert routed.complete("2 + 2?").decision.tier == "tier-2"
        assert off.complete("2 + 2?").decision.tier == "tier-1"
        assert on.complete("2 + 2?").decision.tier == "tier-2"


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"router": {"complexity": 1.5}}, r"router\.complexity"),
        ({"router": {"complexity": True}}, r"router\.complexity"),
        ({"router": {"complexity": [0.2, 0.8]}}, "router: complexity takes one number"),
        ({"router": {"complexity": [0.8, 0.2], }, "tiers": THREE, "ensemble": None, "target": None}, "rise"),
        ({"router": {"complexities": 0.5}}, "complexities"),
        ({"router": 0.8}, "router"),
        ({"router": {"complexity": 0.5, "enabled": False}}, "off"),
        ({"router": {"complexity": 0.5}, "tiers": [{"members": "a"}], "ensemble": None, "target": None}, "one tier only"),
        ({"router": {"complexity": 0.5}, "policy": fitted(0.0)}, "router: the policy has a router of its own"),
        ({"router": False, "policy": fitted(0.0, certified=True)}, "router: what the policy promises was certified"),
    ],
)  # fmt: skip
def test_a_wrong_router_is_refused_by_its_name(settings, says):
    with pytest.raises(ConfigError, match=says):
        cascade(**settings)


def test_a_router_beside_a_policy_without_one_decides():
    policy = fitted(0.0, certified=True).model_copy(update={"router": None})
    with cascade(policy=policy, router={"complexity": 0.1}) as routed:
        assert routed.complete("What is 2 + 2?").decision.member == "big"


def test_settings_survive_dumps_and_pickles():
    config = CascadeConfig.build(ensemble=["a", "b"], target="big", router={"complexity": 0.6})
    assert CascadeConfig.build(config.to_dict()) == config
    assert CascadeConfig.build(CascadeConfig.build(config, router=False).to_dict()).router.enabled is False
    with cascade(policy=fitted(3.0)) as routed:
        assert pickle.loads(pickle.dumps(routed)).complete("?").decision.route.skipped == ("ensemble",)


def test_a_stream_goes_straight_to_the_target():
    with cascade(policy=fitted(3.0)) as routed:
        *pieces, result = routed.stream("2 + 2?")
    assert "".join(piece.text for piece in pieces) == "it is 4"
    assert isinstance(result, Result)
    assert result.decision.route.skipped == ("ensemble",)


def test_where_the_target_fails_those_who_were_skipped_are_asked():
    answers = {**ANSWERS, "big": ServerError("down", member="big")}
    with cascade(answers, policy=fitted(3.0), max_retries=0) as routed:
        result = routed.complete("2 + 2?")
        *_, streamed = routed.stream("2 + 2?")
    for one in (result, streamed):
        assert (one.text, one.decision.fallback, one.decision.tier) == ("4", True, "ensemble")
        assert one.decision.reason.startswith("big failed; accepted a")


def test_what_those_who_were_skipped_reject_stands_in_only_where_it_may():
    answers = {**ANSWERS, "b": "5", "big": ServerError("down", member="big")}
    with cascade(answers, policy=fitted(3.0), max_retries=0) as strict, pytest.raises(CascadeError):
        strict.complete("2 + 2?")
    with cascade(answers, policy=fitted(3.0), max_retries=0, on_target_failure="ensemble") as lenient:
        result = lenient.complete("2 + 2?")
    assert (result.text, result.decision.fallback) == ("4", True)
    assert "stands in" in result.decision.reason


def test_no_query_is_sent_straight_to_a_target_whose_breaker_is_open():
    answers = {**ANSWERS, "b": "5", "big": ServerError("down", member="big")}
    settings = {"max_retries": 0, "breaker": {"failures": 1}, "on_target_failure": "ensemble"}
    with cascade(answers, policy=fitted(3.0), **settings) as routed:
        first, second = routed.complete("2 + 2?").decision, routed.complete("2 + 2?").decision
    assert first.route.skipped == ("ensemble",)
    assert second.route.skipped == ()
    assert "the target cannot be asked at the moment" in second.explain()


def test_a_sticky_conversation_keeps_its_tier_and_a_skipped_turn_binds_no_later_one():
    answers = {**ANSWERS, "b": ["5", "4"], "a": ["4", "4"]}
    with cascade(answers, router={"complexity": 0.6}, sticky=True) as routed:
        assert routed.complete(HARD, conversation="one").decision.route.skipped == ("ensemble",)
        deferred = routed.complete("2 + 2?", conversation="one").decision
        stays = routed.complete("2 + 2?", conversation="one").decision
    assert [tier.name for tier in deferred.tiers] == ["ensemble", "target"]
    assert stays.reason.startswith("straight to big: sticky")
    assert stays.route is None


def test_a_tier_that_nobody_can_answer_for_is_passed_over_and_the_next_one_after_the_start_taken():
    members = [{"model": name, "abilities": {"tools": False}} for name in ("c", "d")]
    tiers = [THREE[0], {"members": members}, THREE[2]]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answers = {**ANSWERS, "big": "it is 4"}
    with Cascade(tiers=tiers, router={"complexity": [0.1, 0.99]}, transport=ScriptedTransport(answers)) as routed:
        decision = routed.complete("What is 2 + 2?", tools=tools).decision
    assert decision.route.skipped == ("tier-1",)
    assert decision.member == "big"


def test_the_target_is_not_asked_twice_by_speculation():
    with cascade(policy=fitted(3.0), speculate="always") as routed:
        decision = routed.complete("2 + 2?").decision
    assert decision.calls == 1
    assert decision.speculated_cost == 0


def test_a_member_asked_by_name_is_not_routed():
    with cascade(policy=fitted(3.0)) as routed:
        decision = routed.complete("2 + 2?", member="a").decision
    assert (decision.member, decision.route) == ("a", None)


def test_the_ledger_counts_what_was_skipped():
    with cascade(router={"complexity": 0.6}) as routed:
        routed.complete(HARD)
        routed.complete("2 + 2?")
        summary = routed.ledger.summary()
    assert (summary.skipped, summary.deferred, summary.accepted) == (1, 1, 1)
    assert "1 without asking the first tier" in str(summary)


def test_log_and_drift_know_what_was_skipped(tmp_path):
    path, policy = tmp_path / "log.jsonl", fitted(3.0)
    told = policy.router.model_copy(update={"starts": [0.5, 0.5], "rows": 80})
    policy = policy.model_copy(update={"router": told})
    with cascade(policy=policy, log=path) as routed:
        for number in range(3):
            routed.complete(f"{number}?")
        counts, drift = routed.ledger.tiers()["ensemble"], routed.drift()
    rows = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert [row["decision"]["route"]["indices"] for row in rows] == [[0]] * 3
    assert "deferral predicted" in rows[0]["decision"]["route"]["reason"]
    assert (counts.rows, counts.passed) == (0, 3)
    assert drift.starts == drift_of_log([path], policy).starts
    assert (drift.starts.queries, drift.starts.later, drift.starts.verdict) == (3, 1.0, "too few")


def looked_up(name="tiny", width=2):
    """A policy whose router knows two past queries by a model's vectors: the first was deferred, the second not."""
    vectors = np.eye(2, dtype=np.int8)[:, :width] * 127
    neighbours = Neighbours.of(vectors.astype(float), np.array([1.0, 0.0]), np.array([[1.0, 0.0]]), np.zeros((1, 2)),
                               embedding=name)  # fmt: skip
    router = {"features": ["deferred:0"], "center": [0.5], "scale": [0.1], "neighbours": neighbours.model_dump(),
              "tiers": [{"constant": 0.0, "cost": 0.15, "weights": [4.0]}]}  # fmt: skip
    return Policy.from_dict({**fitted(0.0).to_dict(), "router": router})


@pytest.fixture
def model(monkeypatch):
    """A model that tells hard from easy, and counts what it is asked."""
    asked = []

    def encode(texts, *_):
        asked.extend(texts)
        return [Embedded(np.eye(2)[int("hard" not in text)]) for text in texts]

    monkeypatch.setattr(embedding, "_encode", encode)
    return asked


def test_past_queries_may_be_known_by_a_models_vectors(model):
    with cascade(policy=looked_up()) as routed:
        routed.warmup()
        hard, easy = routed.complete("a hard one").decision, routed.complete("an easy one").decision
    assert (hard.route.skipped, easy.route.skipped) == (("ensemble",), ())
    assert model == ["", "a hard one", "an easy one"]


def test_no_query_is_lost_over_the_routers_model(model, monkeypatch):
    def broken(texts, *_):
        raise ConfigError("no such model", field="similarity.model")

    with cascade(policy=looked_up(width=1)) as routed:
        decision = routed.complete("a hard one").decision
    assert decision.accepted
    assert "could not say where to start: router: tiny gives vectors of 2 numbers, not of 1" in decision.route.reason
    monkeypatch.setattr(embedding, "_encode", broken)
    with cascade(policy=looked_up()) as routed:
        decision = routed.complete("a hard one").decision
    assert decision.accepted
    assert "no such model" in decision.explain()
    with pytest.raises(ConfigError, match="is a service"):
        cascade(policy=looked_up("litellm/openai/text-embedding-3-small"))


def test_a_router_that_takes_too_long_is_not_waited_for(monkeypatch):
    waiting = threading.Event()

    def slow(texts, *_):
        waiting.wait(30)
        return [Embedded(np.eye(2)[0]) for _ in texts]

    monkeypatch.setattr(embedding, "_encode", slow)
    with cascade(policy=looked_up(), deadline=0.5) as routed:
        try:
            with pytest.raises(DeadlineExceededError):
                routed.complete("a hard one")
        finally:
            waiting.set()
