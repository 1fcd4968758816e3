"""What trades money for time: samples in turn, slow members dropped, second requests, the target asked early."""

import asyncio
import threading

import pytest

from semcascade import Candidate, Cascade, ConfigError, Delta, ScriptedTransport
from semcascade.config import CascadeConfig
from semcascade.decision import Result
from semcascade.errors import CutShortError, RateLimitError, ServerError
from semcascade.messages import Usage

PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
AGREE = {"a": "Tokyo", "b": "Tokyo", "c": "Tokyo"}
SCATTER = {"a": "Tokyo", "b": "Kyoto", "c": "Osaka"}


def answer(text, tokens=10):
    return Candidate("", text=text, finish_reason="stop", usage=Usage(100, tokens))


class Gated(ScriptedTransport):
    """Lets members answer when their gates open; knows who was cancelled."""

    def __init__(self, script, *shut, **given):
        super().__init__({name: answer(text) if isinstance(text, str) else text for name, text in script.items()})
        self.gates = {name: asyncio.Event() for name in shut}
        self.seen, self.cancelled, self.asked = [], [], threading.Event()

    async def complete(self, member, request, *, timeout, sample=0):
        self.seen.append(member.name)
        gate = self.gates.get(member.name)
        try:
            if gate is not None:
                self.asked.set()
                await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(member.name)
            raise
        return await super().complete(member, request, timeout=timeout, sample=sample)


async def until(true):
    """Wait until something that other threads do has come true."""
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


def names(transport):
    return transport.seen if isinstance(transport, Gated) else [name for name, _ in transport.requests]


def cascade(transport, members="abc", **given):
    given = {"max_retries": 0, "deadline": 30, **given}
    ensemble = [{"model": name, **PRICES} for name in members]
    return Cascade(ensemble=ensemble, target={"model": "t", **PRICES}, transport=transport, **given)


# --- samples in turn


def sampled(texts, samples=10, initial=3, **given):
    transport = ScriptedTransport(
        {"a": [answer(text) if isinstance(text, str) else text for text in texts], "t": answer("target")}
    )
    member = {"model": "a", "samples": samples, "initial_samples": initial}
    given = {"similarity": "exact", "early_exit": "off", **given}
    with Cascade(ensemble=[member], target="t", transport=transport, **given) as c:
        return c.complete("?").decision.tiers[0], names(transport).count("a")


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        (["x"] * 10, 4),  # 4-0: P(p > 1/2) = 31/32
        (["x", "y"] * 5, 10),
        (["x", "y", "x", "x", "x", "x", "x"] + ["y"] * 3, 7),  # 6-1
        (["x", "y", "x", "x", "x", "x", "z"] + ["x"] * 3, 8),  # 5-1 is not enough (0.9375), 6-1 is
    ],
)
def test_samples_are_drawn_until_one_meaning_leads_for_sure(texts, asked):
    tier, calls = sampled(texts)
    assert calls == len(tier.candidates) == asked
    left = [note for note in tier.notes if "not asked for" in note]
    assert bool(left) == (asked < 10)


def test_what_the_samples_so_far_settle_ends_the_draws():
    tier, calls = sampled(["x"] * 10, early_exit="answer", threshold=0.2, samples=5)
    assert calls == 3  # 2/4 is reached, whatever the others say
    assert tier.accepted


def test_failed_samples_are_made_up_for():
    tier, calls = sampled([ServerError("down", member="a")] + ["x"] * 9, max_retries=0)
    assert (calls, tier.accepted, sum(one.ok for one in tier.candidates)) == (5, True, 4)


def test_the_first_samples_still_come_by_one_request():
    asked = []

    class Many(ScriptedTransport):
        def most_samples(self, member):
            return 8

        async def complete_many(self, member, request, *, timeout, n):
            asked.append(n)
            return [answer("x") for _ in range(n)]

    transport = Many({"a": answer("x"), "t": "target"})
    member = {"model": "a", "samples": 8, "initial_samples": 3}
    budget = {"query": {"calls": 7}}  # one for the first three, one for each that may follow, one for the target
    with Cascade(ensemble=[member], target="t", transport=transport, early_exit="off", budget=budget) as c:
        decision = c.complete("?").decision
    assert asked == [3]
    assert names(transport) == ["a"]
    assert decision.accepted


def test_settings_of_samples_in_turn_are_checked():
    with pytest.raises(ConfigError, match="initial_samples: 4 is more than samples, 3"):
        CascadeConfig.build(ensemble=[{"model": "a", "samples": 3, "initial_samples": 4}], target="t")
    member = {"model": "a", "samples": 3, "initial_samples": 2}
    paid = {"name": "embedding", "model": "litellm/openai/e"}
    with pytest.raises(ConfigError, match=r"initial_samples: .* asks a service each time"):
        Cascade(ensemble=[member], target="t", similarity=paid, transport=ScriptedTransport({"*": "x"}))


# --- slow members


def known(c, member, seconds, times=20):
    for _ in range(times):
        c._plan.latencies.note(next(one for one in c.config.members() if one.name == member), seconds)


def test_a_member_slower_than_itself_is_dropped_once_there_are_answers_enough():
    transport = Gated({**AGREE, "t": "target"}, "c")
    with cascade(transport, drop_slow=0.95, early_exit="off") as c:
        known(c, "c", 0.05)
        tier = c.complete("?").decision.tiers[0]
        assert isinstance(tier.candidates[2].failure, CutShortError)
        assert tier.candidates[2].estimated_cost == pytest.approx(100e-6 + 20e-6)
        assert transport.cancelled == ["c"]
        assert tier.notes == ("c: dropped: it took longer than 95% of its latest answers",)
        assert c._plan.latencies.quantile(c.config.tiers[0].members[2], 1.0) >= 0.05  # what it was waited for counts


def test_a_request_for_several_answers_is_cancelled_as_soon_as_all_of_them_are_dropped():
    class Together(ScriptedTransport):
        """One answers only when the other's request has been cancelled."""

        def __init__(self):
            super().__init__(AGREE)
            self.left = asyncio.Event()

        def most_samples(self, member):
            return 2 if member.name == "c" else 1

        async def complete_many(self, member, request, *, timeout, n):
            try:
                return await asyncio.Future()
            finally:
                self.left.set()

        async def complete(self, member, request, *, timeout, sample=0):
            if member.name == "b":
                await asyncio.wait_for(self.left.wait(), 5)
            return await super().complete(member, request, timeout=timeout, sample=sample)

    ensemble = ["a", "a2", "b", {"model": "c", "samples": 2}]
    transport = Together()
    transport._script["a2"] = transport._script["a"]
    with Cascade(
        ensemble=ensemble, target="t", transport=transport, drop_slow=0.95, early_exit="off", max_retries=0
    ) as c:
        known(c, "c", 0.05)
        tier = c.complete("?").decision.tiers[0]
    assert [one.ok for one in tier.candidates] == [True, True, True, False, False]


def test_nobody_is_dropped_before_there_are_answers_enough_or_its_latencies_are_known():
    transport = Gated({**AGREE, "t": "target"}, "b", "c")
    with cascade(transport, drop_slow=0.95, early_exit="off", timeout=0.2) as c:
        known(c, "b", 0.001)
        known(c, "c", 0.001, times=19)
        tier = c.complete("?").decision.tiers[0]
    assert not any(isinstance(one.failure, CutShortError) for one in tier.candidates)


# --- second requests


class SlowFirst(Gated):
    """Answers a member's second request at once, the first never."""

    async def complete(self, member, request, *, timeout, sample=0):
        if names(self).count(member.name):
            self.gates.pop(member.name, None)
        return await super().complete(member, request, timeout=timeout, sample=sample)


@pytest.mark.parametrize("after", [0.02, "p95"])
def test_a_second_request_overtakes_a_slow_one_and_both_are_charged(after):
    transport = SlowFirst({**AGREE, "t": "target"}, "c")
    with cascade(transport, hedge_after=after, early_exit="off") as c:
        for name in "abct":
            known(c, name, 0.02)
        decision = c.complete("?").decision
        summary = c.ledger.summary()
    third = decision.tiers[0].candidates[2]
    assert (third.text, third.attempts, transport.cancelled) == ("Tokyo", 2, ["c"])
    assert third.cost == pytest.approx(2 * 120e-6)
    assert third.estimated_cost == pytest.approx(120e-6)
    assert summary.calls == 4


def test_a_failure_waits_for_the_other_request():
    class FailsSecond(SlowFirst):
        async def complete(self, member, request, *, timeout, sample=0):
            if member.name == "c" and names(self).count("c"):
                self.gates["c"].set()
                raise RateLimitError("busy", member="c")
            return await Gated.complete(self, member, request, timeout=timeout, sample=sample)

    transport = FailsSecond({**AGREE, "t": "target"}, "c")
    with cascade(transport, hedge_after=0.02, early_exit="off") as c:
        third = c.complete("?").decision.tiers[0].candidates[2]
    assert (third.ok, third.attempts, third.estimated_cost) == (True, 2, 0.0)


def test_a_hedged_call_that_is_cut_short_charges_both_requests():
    transport = Gated({**dict.fromkeys("abcd", "Tokyo"), "e": "x", "t": "x"}, "d", "e")

    async def ask():
        async with cascade(transport, "abcde", hedge_after=0.01) as c:
            query = asyncio.ensure_future(c.acomplete("?"))
            await until(lambda: names(transport).count("e") == 2)
            transport.gates["d"]._loop.call_soon_threadsafe(transport.gates["d"].set)
            return (await query).decision

    last = asyncio.run(ask()).tiers[0].candidates[4]
    assert isinstance(last.failure, CutShortError)
    assert last.attempts == 2
    assert last.estimated_cost == pytest.approx(2 * 120e-6)


# --- the target asked early


@pytest.mark.parametrize("speculate", ["always", 0.001])
def test_a_target_that_was_not_needed_is_cancelled_and_charged(speculate):
    transport = Gated({**AGREE, "t": "target"}, "t")

    class Waiting(Gated):
        async def complete(self, member, request, *, timeout, sample=0):
            if member.name != "t":
                await asyncio.to_thread(transport.asked.wait, 10)
            return await transport.complete(member, request, timeout=timeout, sample=sample)

    with cascade(Waiting({}), speculate=speculate) as c:
        result = c.complete("?")
        summary = c.ledger.summary()
    assert (result.text, result.decision.accepted, transport.cancelled) == ("Tokyo", True, ["t"])
    target = result.decision.tiers[1]
    assert (target.speculated, target.accepted, target.cost) == (True, False, pytest.approx(120e-6))
    assert result.decision.speculated_cost == summary.speculated_cost == pytest.approx(120e-6)
    assert summary.cost == pytest.approx(4 * 120e-6)
    assert result.decision.always_target_cost == pytest.approx(120e-6)
    assert (summary.accepted, summary.calls) == (1, 4)
    assert "not needed" in result.decision.explain()
    assert "targets that were not needed" in str(summary)


def test_a_deferred_query_takes_the_answer_that_is_under_way():
    transport = Gated({**SCATTER, "t": "target"})
    with cascade(transport, speculate="always") as c:
        decision = c.complete("?").decision
        summary = c.ledger.summary()
    assert (decision.member, decision.calls, summary.speculated_cost) == ("t", 4, 0.0)
    assert sorted(names(transport)) == ["a", "b", "c", "t"]


class OnceTargetIsAsked(Gated):
    """The third member answers when the target is asked."""

    async def complete(self, member, request, *, timeout, sample=0):
        if member.name == "t":
            self.gates["c"].set()
        return await super().complete(member, request, timeout=timeout, sample=sample)


@pytest.mark.parametrize(("script", "starts"), [(SCATTER, True), (AGREE, False)])
def test_the_target_starts_when_the_answers_so_far_make_it_likely(script, starts):
    transport = OnceTargetIsAsked({**script, "t": "target"}, "c")
    timeout = 30 if starts else 0.2
    with cascade(transport, speculate="likely", similarity="chrf", timeout=timeout, threshold=0.8) as c:
        decision = c.complete("?").decision
    assert ("t" in transport.seen) == starts
    assert decision.accepted != starts
    assert [one.ok for one in decision.tiers[0].candidates] == [True, True, starts]


class Streaming(ScriptedTransport):
    """Streams the target's answer; the members wait until that is over."""

    def __init__(self, script):
        super().__init__(script)
        self.over, self.closed = asyncio.Event(), threading.Event()

    async def complete(self, member, request, *, timeout, sample=0):
        await self.over.wait()
        return await super().complete(member, request, timeout=timeout, sample=sample)

    async def stream(self, member, request, *, timeout):
        try:
            yield Delta(text="the ")
            yield Delta(text="target")
            self.over.set()
            yield Delta(finish_reason="stop")
        finally:
            self.closed.set()


def test_pieces_of_a_target_that_is_asked_early_are_kept_back_until_it_is_needed():
    with cascade(Streaming(SCATTER), speculate="always") as c:
        *pieces, result = c.stream("?")
    assert "".join(piece.text for piece in pieces) == result.text == "the target"
    assert result.decision.first_token_s is not None


def test_pieces_of_a_target_that_was_not_needed_are_never_shown():
    transport = Streaming(AGREE)
    with cascade(transport, speculate="always") as c:
        *pieces, result = c.stream("?")
    assert [piece.text for piece in pieces] == ["Tokyo"]
    assert isinstance(result, Result)
    assert transport.closed.wait(5)


def test_a_query_that_is_left_takes_its_early_target_along():
    transport = Gated({**AGREE, "t": "target"}, "a", "b", "c", "t")

    async def leave():
        async with cascade(transport, speculate="always") as c:
            query = asyncio.ensure_future(c.acomplete("?"))
            await until(lambda: len(transport.seen) == 4)
            query.cancel()
            with pytest.raises(asyncio.CancelledError):
                await query
            await until(lambda: c.ledger.summary().queries)
            return c.ledger.summary()

    summary = asyncio.run(leave())
    assert sorted(transport.cancelled) == ["a", "b", "c", "t"]
    assert (summary.failed, summary.calls, summary.unpriced_queries) == (1, 4, 1)


def test_an_early_target_that_a_cap_held_back_is_asked_when_it_is_needed():
    transport = Gated({**SCATTER, "t": "target"})
    budget = {"query": {"calls": 4}}
    with cascade(transport, speculate="always", budget=budget) as c:
        assert c.complete("?").decision.member == "t"


@pytest.mark.parametrize("speculate", ["perhaps", -1, True, float("nan")])
def test_what_is_no_time_to_speculate_is_refused(speculate):
    with pytest.raises(ConfigError, match="speculate: expected 'off', 'always', 'likely', or the seconds"):
        CascadeConfig.build(ensemble=["a", "b"], target="t", speculate=speculate)


@pytest.mark.parametrize("after", ["95", "p0", 0, True, -1])
def test_what_is_no_time_to_hedge_is_refused(after):
    with pytest.raises(ConfigError, match="hedge_after: expected seconds above 0, or a quantile"):
        CascadeConfig.build(ensemble=["a", "b"], target="t", hedge_after=after)
