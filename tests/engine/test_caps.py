"""What caps do to a query, and that no crowd of queries overshoots them."""

import asyncio
import dataclasses
import inspect
import json
import math
import random
from types import SimpleNamespace

import pytest

from semcascade import Candidate, Cascade, ConfigError, Request, ScriptedTransport, Usage
from semcascade._litellm import litellm
from semcascade.engine.estimate import ASSUMED_OUTPUT, most, text_tokens
from semcascade.engine.guard import Guards
from semcascade.errors import (
    BudgetExceededError,
    CascadeError,
    MemberBudgetError,
    MemberTimeoutError,
    RateLimitError,
    ServerError,
)
from semcascade.member import Member
from tests.engine.helpers import AGREE, PRICES, QUESTION, SCATTER, Never, asked, cascade
from tests.support.openai_server import OpenAIServer, Status

SHORT = {"max_tokens": 20}


def calls(number, **more):
    return {"budget": {"query": {"calls": number}}, **more}


def used(c):
    """What counts against the period's caps now."""
    return list(c._plan.guards.query()._budget.used)[-1]


# --- what a cap does


def test_a_query_within_its_caps_is_as_ever():
    decision = cascade(SCATTER, **calls(4)).complete(QUESTION).decision
    assert (decision.tier, decision.calls, decision.notes) == ("target", 4, ())


def test_a_tier_that_does_not_fit_is_skipped_whole():
    c = cascade(AGREE, **calls(2))
    decision = c.complete(QUESTION).decision
    assert asked(c) == ["t"]
    assert decision.tiers[0].reason == (
        "skipped, as a cap leaves no room: 3 calls needed, 2 of 2 left (budget.query.calls)"
    )
    assert decision.reason.startswith("deferred to t: skipped, as a cap")
    assert decision.reason in decision.explain()


def test_a_target_that_does_not_fit_is_not_asked_and_raises():
    c = cascade(SCATTER, **calls(3))
    with pytest.raises(BudgetExceededError, match=r"budget\.query\.calls") as raised:
        c.complete(QUESTION)
    assert asked(c) == ["a", "b", "c"]
    assert isinstance(raised.value.failures[-1], MemberBudgetError)
    assert (raised.value.retry_after, raised.value.decision.calls) == (None, 3)
    assert c.ledger.summary().calls == 3


@pytest.mark.parametrize("way", ["complete", "stream"])
def test_or_the_best_rejected_answer_stands_in(way):
    c = cascade(SCATTER, **calls(3, on_budget="ensemble"))
    result = c.complete(QUESTION) if way == "complete" else list(c.stream(QUESTION))[-1]
    assert (result.text, result.decision.fallback, result.decision.accepted) == ("Tokyo", True, False)
    assert result.decision.reason == (
        "t was not asked, as a cap leaves no room; the best rejected answer, of a, stands in"
    )


def test_nothing_stands_in_where_nobody_was_asked():
    spent = {"period": {"seconds": 60, "calls": 1}}
    c = cascade(AGREE, budget=spent, on_budget="ensemble")
    c.complete(QUESTION)
    with pytest.raises(BudgetExceededError, match="no member answered") as raised:
        c.complete(QUESTION)
    assert 60 <= raised.value.retry_after <= 61
    assert asked(c) == ["t"]


def test_each_rule_is_for_its_own_case():
    c = cascade(SCATTER | {"t": ServerError("down", member="t")}, on_budget="ensemble")
    with pytest.raises(CascadeError) as raised:
        c.complete(QUESTION)
    assert not isinstance(raised.value, BudgetExceededError)


def test_a_repeated_request_is_a_request():
    script = AGREE | {"a": RateLimitError("slow", member="a", retry_after=0)}
    c = cascade(script, max_retries=5, **calls(5))
    decision = c.complete(QUESTION).decision
    failed = decision.tiers[0].candidates[0]
    assert (decision.calls, failed.attempts, type(failed.failure)) == (5, 3, RateLimitError)
    assert "not repeated: a: not asked: 1 call needed" in decision.notes[0]
    assert decision.notes[0] in decision.explain()
    assert decision.to_dict()["notes"] == list(decision.notes)


def test_samples_and_the_judge_are_requests():
    judged = {"similarity": {"name": "judge", "member": "j"}}
    script = {"a": ["1", "2", "3"], "j": "nonsense", "t": "4"}
    c = cascade(script, ensemble=[{"model": "a", "samples": 3}], **judged, **calls(4, on_budget="ensemble"))
    decision = c.complete(QUESTION).decision
    assert asked(c) == ["a", "a", "a", "j"]
    assert (decision.calls, decision.fallback) == (4, True)
    assert "j: not asked: 1 call needed" in decision.tiers[0].notes[0]


def test_samples_of_one_request_are_one_call():
    with OpenAIServer({"a": "Tokyo"}) as server:
        c = Cascade(ensemble=[server.member("a", samples=5)], target=server.member("t"), **calls(1))
        assert c.complete("hi").decision.calls == len(server.asked()) == 1


def test_a_budget_may_also_count_tokens():
    c = cascade(SCATTER, budget={"query": {"tokens": 200}}, ensemble=[{"model": name, **SHORT} for name in "abc"])
    with pytest.raises(BudgetExceededError, match=r"\(budget\.query\.tokens\)"):
        c.complete(QUESTION)
    assert asked(c) == ["a", "b", "c"]


# --- prices


def test_a_member_of_unknown_price_cannot_be_capped_by_cost():
    with pytest.raises(ConfigError, match="'t' is not known") as raised:
        cascade(AGREE, ensemble=[{"model": name, **PRICES} for name in "abc"], budget={"query": {"cost": 1.0}})
    assert raised.value.field == "budget.query.cost"


def test_a_judge_of_unknown_price_neither():
    priced = {"ensemble": [{"model": name, **PRICES} for name in "abc"], "target": {"model": "t", **PRICES}}
    with pytest.raises(ConfigError, match="'j' is not known"):
        cascade(
            AGREE,
            similarity={"name": "judge", "member": "j"},
            budget={"period": {"seconds": 1, "cost": 1.0}},
            **priced,
        )


def test_the_price_table_counts():
    c = Cascade(
        ensemble=["openai/gpt-5-nano", "openai/gpt-5-mini"], target="openai/gpt-5", budget={"query": {"cost": 1}}
    )
    assert c.config.budget.query.cost == 1


def test_a_cap_on_cost_holds_before_it_is_spent():
    dear = {"model": "t", "input_cost_per_token": 0.001, "output_cost_per_token": 0.001}
    ensemble = [{"model": name, **PRICES, **SHORT} for name in "abc"]
    c = cascade(SCATTER, ensemble=ensemble, target=dear, budget={"query": {"cost": 0.5}})
    with pytest.raises(BudgetExceededError, match=r"of \$0\.5 left \(budget\.query\.cost\)"):
        c.complete(QUESTION)
    assert c.complete(QUESTION, member="t", max_tokens=100).text == "It is Tokyo."


# --- what is reserved and what is settled


def test_what_a_request_may_take():
    member = Member(model="a", input_cost_per_token=1.0, output_cost_per_token=10.0)
    request = Request(({"role": "user", "content": "x" * 100},))
    transport = ScriptedTransport({})
    need = most(transport, member, request)
    assert 50 + ASSUMED_OUTPUT <= need.tokens <= 80 + ASSUMED_OUTPUT
    capped = dataclasses.replace(request, params={"max_tokens": 7})
    asked_for = need.tokens - ASSUMED_OUTPUT
    assert most(transport, member, capped, answers=3).tokens == asked_for + 21
    assert most(transport, member, capped).pico == (asked_for + 70) * 10**12
    image = {
        "role": "user",
        "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}],
    }
    assert most(transport, member, Request((image,))).tokens > 1500 + ASSUMED_OUTPUT


@pytest.mark.parametrize("said", [-1, -(10**9), 0, "all", math.nan, math.inf, [1]])
def test_what_is_no_length_limits_nothing(said):
    member, messages = Member(model="a"), ({"role": "user", "content": "x"},)
    unlimited = most(ScriptedTransport({}), member, Request(messages))
    assert most(ScriptedTransport({}), member, Request(messages, params={"max_tokens": said})) == unlimited


TEXTS = {
    "English": "The quick brown fox jumps over the lazy dog, which is not amused. " * 9,
    "German": "Die Übergrößenträgerin verhandelt über Straßenbahnhaltestellen. " * 9,
    "Chinese": "今天天气很好，我们去公园散步吧。" * 9,
    "Hindi": "भारत की राजधानी नई दिल्ली है। " * 9,
    "numbers": json.dumps([[n, n * 3.7, f"{n * 7919:x}"] for n in range(99)]),
    "marks": "!?#@%&*()[]{};:" * 20,
    "code": inspect.getsource(most),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-3.5-turbo"])
def test_texts_take_no_more_tokens_than_reckoned(kind, model):
    counted = litellm().token_counter(model=model, text=TEXTS[kind])
    assert counted <= text_tokens([TEXTS[kind]]) <= 7 * counted


def period(script, **settings):
    ensemble = [{"model": name, **PRICES, **SHORT} for name in "ab"]
    caps = {"seconds": 3600, "calls": 1000, "tokens": 10**6, "cost": 100.0}
    target = {"model": "t", **PRICES, **SHORT}
    return cascade(script, ensemble=ensemble, target=target, budget={"period": caps}, **settings)


def test_what_was_taken_takes_the_place_of_what_was_reserved():
    answer = Candidate("x", text="Tokyo", usage=Usage(100, 10), cost=0.25)
    c = period({"a": answer, "b": answer})
    c.complete(QUESTION)
    assert dataclasses.astuple(used(c)) == (2, 220, 5 * 10**11)


def test_a_refused_request_takes_only_a_call():
    c = period({"a": RateLimitError("no", member="a"), "b": RateLimitError("no", member="b"), "t": "x"})
    c.complete(QUESTION)
    answered = c.complete(QUESTION, member="t").decision.usage
    tokens = 2 * (answered.input_tokens + answered.output_tokens)
    assert (used(c).calls, used(c).tokens) == (4, tokens)


def test_one_that_was_cut_off_takes_what_it_may_have_cost():
    c = period({"a": MemberTimeoutError("late", member="a"), "b": "x", "t": "x"})
    c.complete(QUESTION)
    need = most(ScriptedTransport({}), c.config.tiers[0].members[0], Request(({"role": "user", "content": QUESTION},)))
    assert used(c).tokens > need.tokens


async def test_a_query_that_is_left_takes_what_it_may_have_cost():
    never = Never()
    c = Cascade(ensemble=["a", "b"], target="t", transport=never, budget={"period": {"seconds": 9, "tokens": 10**5}})
    query = asyncio.ensure_future(c.acomplete(QUESTION))
    assert await asyncio.to_thread(never.started.wait, 5)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert await asyncio.to_thread(never.cancelled.wait, 5)
    assert used(c).tokens > 2 * ASSUMED_OUTPUT


async def test_a_stream_that_is_left_does_so_too():
    settings = {"ensemble": ["a", "b"], "target": {"model": "t", **SHORT}}
    c = Cascade(**settings, transport=Never(), budget={"period": {"seconds": 9, "tokens": 10**5}})
    pieces = c.astream(QUESTION, member="t")
    await anext(pieces)
    before = used(c)
    await pieces.aclose()
    assert used(c) == before


def test_an_answer_of_a_stream_is_settled():
    c = period(SCATTER)
    *_, result = c.stream(QUESTION)
    usage = result.decision.usage
    assert (used(c).calls, used(c).tokens) == (3, usage.input_tokens + usage.output_tokens)


# --- many at once


class Shuffling(ScriptedTransport):
    """Answers after a random number of turns of the loop, and keeps count of what it was asked."""

    def __init__(self, seed):
        self.dice, self.tokens, self.calls = random.Random(seed), 0, 0
        super().__init__({})

    async def complete(self, member, request, *, timeout, sample=0):
        self.calls += 1
        for _ in range(self.dice.randrange(6)):
            await asyncio.sleep(0)
        if self.dice.random() < 0.2:
            raise RateLimitError("busy", member=member.name, retry_after=0)
        usage = Usage(10, self.dice.randrange(20))
        self.tokens += usage.input_tokens + usage.output_tokens
        return Candidate(member.name, text=self.dice.choice("123"), usage=usage)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tight", [{"calls": 150}, {"tokens": 3000}])
async def test_no_interleaving_overshoots(seed, tight):
    transport, places = Shuffling(seed), asyncio.Semaphore(10)
    members = [{"model": name, "samples": 2} for name in "ab"]
    caps = {"query": {"calls": 6}, "period": {"seconds": 3600, "calls": 10**6, "tokens": 10**6} | tight}
    all_of_them = {"early_exit": "off"}  # what a cancelled call took is not known
    c = Cascade(
        ensemble=members, target="t", budget=caps, transport=transport, max_retries=2, breaker=False, **all_of_them
    )

    async def one():
        async with places:
            return await c.acomplete(QUESTION, max_tokens=20)

    ended = await asyncio.gather(*(one() for _ in range(100)), return_exceptions=True)
    assert {type(end) for end in ended if isinstance(end, Exception)} <= {BudgetExceededError, CascadeError}
    assert transport.calls <= 150 or "calls" not in tight
    assert transport.tokens <= 3000 or "tokens" not in tight
    assert transport.calls == 150 or transport.tokens > 2900
    assert c.ledger.summary().calls == transport.calls == used(c).calls
    assert used(c).tokens == transport.tokens


@pytest.mark.parametrize("tight", [{"calls": 150}, {"tokens": 3000}])
@pytest.mark.parametrize("ahead", [{"speculate": "always"}, {"hedge_after": 0.0001}, {"early_exit": "verdict"}])
async def test_what_is_asked_ahead_or_again_or_left_is_within_the_caps(ahead, tight):
    transport, places = Shuffling(7), asyncio.Semaphore(10)
    members = [{"model": name, "samples": 2} for name in "ab"]
    caps = {"query": {"calls": 6}, "period": {"seconds": 3600, "calls": 10**6, "tokens": 10**6} | tight}
    c = Cascade(ensemble=members, target="t", budget=caps, transport=transport, max_retries=2, breaker=False, **ahead)

    async def one():
        async with places:
            return await c.acomplete(QUESTION, max_tokens=20)

    ended = await asyncio.gather(*(one() for _ in range(60)), return_exceptions=True)
    assert {type(end) for end in ended if isinstance(end, Exception)} <= {BudgetExceededError, CascadeError}
    assert transport.calls <= 150 or "calls" not in tight
    assert transport.tokens <= used(c).tokens <= 3000 or "tokens" not in tight
    assert c.ledger.summary().calls == transport.calls == used(c).calls


def test_the_count_is_that_of_the_service():
    with OpenAIServer({}, default="Tokyo") as server:
        server.fail("a", Status(500), at=[1, 2, 5])
        c = Cascade(
            ensemble=[server.member("a"), server.member("b")],
            target=server.member("t"),
            budget={"period": {"seconds": 3600, "calls": 14}},
            breaker=False,
        )

        async def crowd():
            return await asyncio.gather(*(c.acomplete(f"q{n}") for n in range(12)), return_exceptions=True)

        asyncio.run(crowd())
        assert len(server.asked()) == 14 == c.ledger.summary().calls


def test_time_makes_room():
    now = SimpleNamespace(s=0.0)
    c = cascade(AGREE, budget={"period": {"seconds": 60, "calls": 3}})
    object.__setattr__(c._plan, "guards", Guards(c.config.budget, c.config.breaker, lambda: now.s))
    assert c.complete(QUESTION).decision.accepted
    with pytest.raises(BudgetExceededError) as raised:
        c.complete(QUESTION)
    now.s += raised.value.retry_after + 0.01
    assert c.complete(QUESTION).decision.accepted
