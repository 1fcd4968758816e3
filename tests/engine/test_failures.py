"""What becomes of a query when members fail."""

import asyncio
import json
import traceback

import pytest

from semcascade import (
    Cascade,
    CascadeError,
    DeadlineExceededError,
    LocalModelError,
    MemberError,
    ScriptedTransport,
)
from semcascade.errors import AuthenticationError, BadRequestError, RateLimitError, ServerError
from tests.engine.helpers import AGREE, PRICES, QUESTION, SCATTER, Never, asked, cascade


def test_one_failed_member_of_three_degrades_the_ensemble():
    result = cascade({**AGREE, "b": ServerError("down", member="b")}).complete(QUESTION)
    assert result.text == "Tokyo"
    record = result.decision.tiers[0]
    assert [candidate.ok for candidate in record.candidates] == [True, False, True]
    assert record.agreement == (1.0, None, 1.0)
    assert "down" in json.dumps(result.decision.to_dict())


def test_too_few_answers_defer():
    down = {**AGREE, "b": ServerError("down", member="b"), "c": ServerError("down", member="c")}
    result = cascade(down).complete(QUESTION)
    assert result.text == "It is Tokyo."
    assert "1 of 3 answered" in result.decision.reason
    assert result.decision.score is None


def test_quorum_is_kept():
    down = {**AGREE, "b": ServerError("down", member="b")}
    assert not cascade(down, quorum=3).complete(QUESTION).decision.accepted
    assert cascade(down, quorum=2).complete(QUESTION).decision.accepted
    tiers = [{"members": ["a", "b", "c"], "quorum": 3}, {"members": "t"}]
    assert (
        not Cascade(tiers=tiers, max_retries=0, transport=ScriptedTransport(down)).complete(QUESTION).decision.accepted
    )


def test_failed_target_raises_with_every_failure():
    script = {**SCATTER, "b": ServerError("b is down", member="b"), "t": ServerError("t is down", member="t")}
    c = cascade(script)
    with pytest.raises(CascadeError) as caught:
        c.complete(QUESTION)
    assert [type(failure) for failure in caught.value.failures] == [ServerError, ServerError]
    assert "t is down" in str(caught.value)
    assert caught.value.decision.tiers[0].candidates[0].text == "Tokyo"
    assert c.ledger.summary().failed == 1


def test_failed_target_can_fall_back_to_the_ensemble():
    script = {**SCATTER, "t": ServerError("t is down", member="t")}
    result = cascade(script, on_target_failure="ensemble").complete(QUESTION)
    assert result.text == "Tokyo"
    assert result.decision.fallback
    assert not result.decision.accepted
    assert "stands in" in result.decision.reason


@pytest.mark.parametrize("early_exit", ["answer", "off"])
def test_an_answer_that_says_nothing_stands_in_for_nobody(early_exit):
    script = {"a": "", "b": " ", "c": "", "t": ServerError("t is down", member="t")}
    with pytest.raises(CascadeError, match="t is down"):
        cascade(script, on_target_failure="ensemble", early_exit=early_exit).complete(QUESTION)


def test_an_unexpected_error_of_a_transport_is_the_members():
    result = cascade({**AGREE, "b": RuntimeError("bug in the transport")}).complete(QUESTION)
    failure = result.decision.tiers[0].candidates[1].failure
    assert isinstance(failure, MemberError)
    assert isinstance(failure.__cause__, RuntimeError)
    assert failure.__cause__.__traceback__ is None


def test_who_logs_a_failure_shows_no_secret():
    def refuse(request):
        try:
            raise ValueError("no such key: the-secret")
        except ValueError as error:
            raise KeyError("refused") from error

    ensemble = ["a", {"model": "b", "api_key": "the-secret"}]
    failure = (
        cascade({**AGREE, "b": refuse}, ensemble=ensemble).complete(QUESTION).decision.tiers[0].candidates[1].failure
    )
    told = "".join(traceback.format_exception(failure))
    assert "KeyError" in told
    assert "secret" not in told


def test_passing_failures_are_retried_and_counted():
    script = {**AGREE, "b": [RateLimitError("slow down", member="b", retry_after=0.0), "Tokyo"]}
    c = cascade(script, max_retries=1)
    result = c.complete(QUESTION)
    assert result.decision.tiers[0].candidates[1].attempts == 2
    assert result.decision.calls == 4
    assert asked(c).count("b") == 2


@pytest.mark.parametrize("way", ["complete", "stream"])
def test_nobody_waits_an_hour_because_a_provider_says_so(way):
    busy = RateLimitError("come back later", member="b", retry_after=3600.0)
    c = cascade({**SCATTER, "b": busy, "t": RateLimitError("later", member="t", retry_after=3600.0)}, max_retries=5)
    with pytest.raises(CascadeError) as caught:
        list(c.stream(QUESTION)) if way == "stream" else c.complete(QUESTION)
    assert [failure.retry_after for failure in caught.value.failures] == [3600.0] * 2
    assert asked(c).count("b") == asked(c).count("t") == 1


def test_final_failures_are_not_retried():
    c = cascade({**AGREE, "b": BadRequestError("no", member="b")}, max_retries=5)
    c.complete(QUESTION)
    assert asked(c).count("b") == 1


class Refusing(ScriptedTransport):
    """Knows beforehand that some members will fail."""

    def __init__(self, script, refused):
        super().__init__(script)
        self.refused = refused

    def check(self, member):
        if member.name in self.refused:
            raise AuthenticationError("no key", member=member.name)


class Unready(Refusing):
    """Cannot get some members ready."""

    async def prepare(self, member):
        if member.name in self.refused:
            raise LocalModelError("the disk is full")

    def check(self, member):
        pass


@pytest.mark.parametrize("name", ["a", "t"])
def test_a_member_that_is_sure_to_fail_raises_before_anything_is_spent(name):
    transport = Refusing(AGREE, {name})
    c = Cascade(ensemble=["a", "b"], target="t", transport=transport)
    for ask in (c.complete, lambda prompt: list(c.stream(prompt))):
        with pytest.raises(AuthenticationError, match=f"{name}: no key"):
            ask(QUESTION)
    assert transport.requests == []
    assert c.complete(QUESTION, member="b").text == "Tokyo."


def test_a_member_that_cannot_be_made_ready_is_left_out():
    result = Cascade(ensemble=["a", "b", "c"], target="t", transport=Unready(AGREE, {"b"})).complete(QUESTION)
    assert result.text == "Tokyo"
    assert "the disk is full" in str(result.decision.tiers[0].candidates[1].failure)
    with pytest.raises(LocalModelError):
        Cascade(ensemble=["a", "b", "c"], target="t", transport=Unready(AGREE, {"t"})).complete(QUESTION)


def test_a_member_that_is_never_ready_does_not_outlive_the_deadline():
    class Stuck(ScriptedTransport):
        async def prepare(self, member):
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceededError):
        Cascade(ensemble=["a", "b"], target="t", transport=Stuck(AGREE), deadline=0.1).complete(QUESTION)


def test_a_tier_that_cannot_be_scored_is_not_paid_for():
    transport = Unready(AGREE, {"a", "b"})
    result = Cascade(ensemble=["a", "b", "c"], target="t", transport=transport).complete(QUESTION)
    assert result.text == "It is Tokyo."
    assert [name for name, _ in transport.requests] == ["t"]
    assert [candidate.attempts for candidate in result.decision.tiers[0].candidates] == [0, 0]


def test_a_transport_that_breaks_its_promises_is_the_members_failure():
    class Odd(ScriptedTransport):
        async def prepare(self, member):
            if member.name == "a":
                raise OSError("no such device")

        async def complete(self, member, request, *, timeout, sample=0):
            return None if member.name == "b" else await super().complete(member, request, timeout=timeout)

    c = Cascade(ensemble=["a", "b", "c", "d"], target="t", transport=Odd({**AGREE, "d": "Tokyo"}), max_retries=0)
    decision = c.complete(QUESTION).decision
    assert decision.accepted
    failures = [str(candidate.failure) for candidate in decision.tiers[0].candidates]
    assert "no such device" in failures[0]
    assert "NoneType" in failures[1]


def test_one_answer_can_stand_in_for_a_failed_target():
    down = {name: ServerError("down", member=name) for name in "act"}
    result = cascade({**down, "b": "Tokyo"}, on_target_failure="ensemble").complete(QUESTION)
    assert (result.text, result.decision.fallback) == ("Tokyo", True)
    nothing = cascade({**down, "b": ""}, on_target_failure="ensemble")
    with pytest.raises(CascadeError):
        nothing.complete(QUESTION)


def test_a_failed_target_says_nothing_of_what_the_target_costs():
    free = {"input_cost_per_token": 0, "output_cost_per_token": 0}
    script = {**SCATTER, "t": ServerError("down", member="t")}
    c = cascade(script, ensemble=[{"model": name, **PRICES} for name in "abc"], target={"model": "t", **free})
    with pytest.raises(CascadeError):
        c.complete(QUESTION)
    assert c.ledger.summary().savings is None


def test_no_query_outlives_its_deadline():
    c = Cascade(ensemble=["a", "b"], target="t", transport=Never(), deadline=0.2)
    with pytest.raises(DeadlineExceededError):
        c.complete(QUESTION)


def test_a_slow_member_is_cut_off_and_the_others_decide():
    never = Never()
    c = Cascade(
        ensemble=["a", "b", {"model": "slow/x", "timeout": 0.05}],
        target="t",
        max_retries=0,
        transport=ScriptedTransport(AGREE),
        transports={"slow": never},
    )
    result = c.complete(QUESTION)
    assert result.text == "Tokyo"
    assert never.cancelled.is_set()
    assert result.decision.cost is None, "a request that was cut off may have been billed"


async def test_an_error_that_is_raised_from_itself_is_a_failure_as_any_other():
    class Odd(ScriptedTransport):
        async def complete(self, member, request, *, timeout, sample=0):
            error = BadRequestError("no", member=member.name)
            raise error from error

    query = Cascade(ensemble=["a", "b"], target="c", transport=Odd({})).acomplete("x")
    with pytest.raises(CascadeError, match="a: no; b: no; c: no"):
        await query
