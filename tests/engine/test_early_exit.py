"""A tier stops waiting when the missing answers can change nothing; what it did not wait for is cancelled and charged."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcascade import Candidate, Cascade, ScriptedTransport
from semcascade.errors import CutShortError, ServerError
from semcascade.messages import Usage

PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
FIVE = ["a", "b", "c", "d", "e"]


class Slow(ScriptedTransport):
    """Never answers for some members, and knows which of these requests were cancelled."""

    def __init__(self, script, never, **given):
        super().__init__(script, **given)
        self.never, self.cancelled = set(never), []

    async def complete(self, member, request, *, timeout, sample=0):
        if member.name in self.never:
            self.requests.append((member.name, request))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(member.name)
                raise
        return await super().complete(member, request, timeout=timeout, sample=sample)


def answer(text, output=10):
    return Candidate("", text=text, finish_reason="stop", usage=Usage(100, output))


def cascade(transport, members=FIVE, **given):
    ensemble = [{"model": name, **PRICES} for name in members]
    given = {"threshold": 0.6, "max_retries": 0, "deadline": 30, **given}
    return Cascade(ensemble=ensemble, target={"model": "t", **PRICES}, transport=transport, **given)


def agreeing(never="e", **texts):
    script = {name: answer("Tokyo", output) for name, output in zip(FIVE, (10, 20, 30, 40, 50), strict=True)}
    return Slow({**script, "t": answer("It is Tokyo."), **texts}, never)


def test_the_rest_is_cancelled_once_it_cannot_change_anything():
    transport = agreeing()
    with cascade(transport) as c:
        result = c.complete("?")
        summary = c.ledger.summary()
    tier = result.decision.tiers[0]
    assert (result.text, result.decision.accepted, tier.score) == ("Tokyo", True, 1.0)
    assert transport.cancelled == ["e"]
    assert isinstance(tier.candidates[4].failure, CutShortError)
    assert tier.notes == ("e: not waited for: it could not change the decision any more",)
    assert "e: not waited for" in result.decision.explain()
    # As its siblings: 100 tokens in, 25 out in the mean.
    estimate = 100 * 1e-6 + 25 * 2e-6
    assert tier.candidates[4].cost == tier.candidates[4].estimated_cost == pytest.approx(estimate)
    assert summary.estimated_cost == pytest.approx(estimate)
    assert summary.cost == pytest.approx(4 * 100e-6 + 100 * 2e-6 + estimate)
    assert summary.calls == 5
    assert "estimated" in str(summary)
    assert result.decision.to_dict()["estimated_cost"] == pytest.approx(estimate)


def test_what_is_cut_short_where_no_price_is_known_has_none():
    with Cascade(ensemble=FIVE, target="t", transport=agreeing(), threshold=0.6, deadline=30) as c:
        tier = c.complete("?").decision.tiers[0]
    assert (tier.candidates[4].cost, tier.candidates[4].estimated_cost) == (None, 0.0)


def test_a_tier_that_is_sure_to_defer_does_not_wait():
    script = {"a": "Tokyo", "b": "Kyoto", "c": "Osaka", "t": "It is Tokyo."}
    transport = Slow(script, "c")
    with cascade(transport, ["a", "b", "c"], similarity="exact") as c:
        result = c.complete("?")
    assert (result.text, result.decision.accepted, transport.cancelled) == ("It is Tokyo.", False, ["c"])


def test_a_best_rejected_answer_that_may_be_returned_must_be_sure_too():
    script = {"a": "Tokyo", "b": "Kyoto", "t": ServerError("down", member="t")}
    given = {"similarity": "exact", "on_target_failure": "ensemble", "deadline": 0.5}
    priorities = [{"model": "a"}, {"model": "b"}, {"model": "c", "priority": 1}]
    transport = Slow(script, "c")
    with Cascade(ensemble=priorities, target="t", transport=transport, max_retries=0, timeout=0.2, **given) as c:
        result = c.complete("?")
    assert result.text == "Tokyo"
    assert not isinstance(result.decision.tiers[0].candidates[2].failure, CutShortError)  # it was waited for


@pytest.mark.parametrize(("early_exit", "cut"), [("answer", False), ("verdict", True), ("off", False)])
def test_with_the_verdict_alone_the_best_answer_so_far_is_returned(early_exit, cut):
    """The missing member comes first by priority, so its answer may be returned; but whatever it is, 0.35 is reached."""
    members = [*({"model": name} for name in "abcd"), {"model": "e", "priority": 1}]
    given = {"timeout": 0.2, "max_retries": 0, "threshold": 0.35, "early_exit": early_exit}
    with Cascade(ensemble=members, target="t", transport=agreeing(), **given) as c:
        tier = c.complete("?").decision.tiers[0]
    assert tier.accepted
    assert isinstance(tier.candidates[4].failure, CutShortError) is cut


def test_a_rule_that_remembers_scores_waits_for_all():
    with cascade(agreeing(), threshold=None, escalation_rate=0.5, timeout=0.2) as c:
        assert not isinstance(c.complete("?").decision.tiers[0].candidates[4].failure, CutShortError)


def test_what_an_attempt_before_had_taken_stays_counted():
    """The last member fails once; it is cut short in its second attempt, for which the fourth answer waits."""

    class FailingOnce(Slow):
        again = asyncio.Event()

        async def complete(self, member, request, *, timeout, sample=0):
            if member.name == "e" and not [name for name, _ in self.requests if name == "e"]:
                self.requests.append((member.name, request))
                raise ServerError("down", member="e", retry_after=0)
            if member.name == "e":
                self.again.set()
            if member.name == "d":
                await self.again.wait()
            return await super().complete(member, request, timeout=timeout, sample=sample)

    transport = FailingOnce({**{name: answer("Tokyo") for name in FIVE}, "t": "x"}, "e")
    with cascade(transport, max_retries=1) as c:
        decision = c.complete("?").decision
    assert decision.tiers[0].candidates[4].attempts == 2
    assert decision.calls == len(transport.requests) == 6


class Together(Slow):
    """Brings the samples of its members by one request."""

    def most_samples(self, member):
        return 4

    async def complete_many(self, member, request, *, timeout, n):
        first = await self.complete(member, request, timeout=timeout)
        return [first, *[Candidate("", text=first.text, usage=first.usage, shares_prompt=True)] * (n - 1)]


def test_samples_that_come_together_are_cut_short_together_and_their_prompt_charged_once():
    transport = Together({"a": answer("Tokyo"), "t": "x"}, "b")
    members = [{"model": "a", "samples": 4, **PRICES}, {"model": "b", "samples": 2, **PRICES}]
    with Cascade(ensemble=members, target="t", transport=transport, threshold=0.5, timeout=30) as c:
        decision = c.complete("?").decision
    first, second = decision.tiers[0].candidates[4:]
    assert transport.cancelled == ["b"]
    assert (first.cost, second.cost) == (pytest.approx(100e-6 + 20e-6), pytest.approx(20e-6))
    assert (first.attempts, second.attempts, decision.calls) == (1, 0, 2)


@st.composite
def queries(draw):
    n = draw(st.integers(3, 5))
    pool = ["Tokyo", "Kyoto", "tokyo.", "", "12 kg", "12", "12 m", ServerError("down", member="m")]
    return {
        "texts": draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n)),
        "order": draw(st.permutations(range(n))),
        "similarity": draw(st.sampled_from(["exact", "auto", "chrf"])),
        "selection": draw(st.sampled_from(["auto", "central", "primary"])),
        "signal": draw(st.sampled_from(["agreement", "agreement_mean", "majority", "eigv"])),
        "threshold": draw(st.sampled_from([0.4, 0.5, 0.6, 0.75])),
        "on_target_failure": draw(st.sampled_from(["raise", "ensemble"])),
    }


class InOrder(ScriptedTransport):
    """Answers one after another, in a given order."""

    def __init__(self, script, order):
        super().__init__(script)
        self.rank = {f"m{index}": place for place, index in enumerate(order)}

    async def complete(self, member, request, *, timeout, sample=0):
        await asyncio.sleep(0.002 * self.rank.get(member.name, 0))
        return await super().complete(member, request, timeout=timeout, sample=sample)


@given(queries())
@settings(max_examples=60, deadline=None)
def test_early_exit_never_changes_a_decision(query):
    """Whatever comes in whatever order: accepted or deferred, and the answer, are those of waiting for all."""
    texts, order = query.pop("texts"), query.pop("order")
    script = {**{f"m{index}": text for index, text in enumerate(texts)}, "t": "target"}

    def decided(early_exit):
        transport = InOrder(script, order)
        members = [f"m{index}" for index in range(len(texts))]
        with Cascade(
            ensemble=members, target="t", transport=transport, max_retries=0, early_exit=early_exit, **query
        ) as c:
            result = c.complete("How much, and where?")
        return result.text, result.decision.member, result.decision.accepted

    assert decided("answer") == decided("off")
    assert decided("verdict")[2] == decided("off")[2]


def test_many_queries_at_once_leave_no_request_open():
    transport = agreeing()

    async def all_of_them(c):
        return await asyncio.gather(*(c.acomplete("?") for _ in range(40)))

    with cascade(transport) as c:
        results = asyncio.run(all_of_them(c))
        assert c.ledger.summary().calls == len(transport.requests) == 200
    assert {result.text for result in results} == {"Tokyo"}
    assert transport.cancelled == ["e"] * 40
