"""One model several times, several models, and both: what is asked, what is billed, what can go wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from semcascade import Candidate, Cascade, Member, Request, ScriptedTransport, Transport, Usage
from semcascade.errors import BadRequestError, ContextOverflowError, MemberError, RateLimitError, ServerError
from tests.support.openai_server import FewChoices, OpenAIServer, Reply, Status

QUESTION = "What is the capital of Japan?"
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    replies = {"a": Reply("Tokyo", others=["tokyo.", "Kyoto"]), "b": "Tokyo", "t": "from the target"}
    with OpenAIServer(replies) as running:
        yield running


def cascade(server: OpenAIServer, *ensemble: dict[str, Any], **settings: Any) -> Cascade:
    settings = {"max_retries": 0, "timeout": 10, "threshold": 0.5, "selection": "central", **settings}
    return Cascade(ensemble=list(ensemble), target=server.member("t", **PRICES), **settings)


def texts(decision: Any) -> list[str]:
    return [candidate.text for candidate in decision.tiers[0].candidates]


def test_one_model_several_times_is_one_request(server: OpenAIServer):
    c = cascade(server, server.member("a", samples=3, **PRICES))
    decision = c.complete(QUESTION).decision
    assert texts(decision) == ["Tokyo", "tokyo.", "Kyoto"]
    assert decision.tiers[0].agreement == (0.5, 0.5, 0.0)
    (request,) = server.asked("a")
    assert request.body["n"] == 3
    assert request.body["temperature"] == 1.0
    # What was billed is what the server counted: the prompt once.
    assert decision.calls == c.ledger.summary().calls == len(server.asked()) == 1
    asked, said = server.tokens()
    assert (decision.usage.input_tokens, decision.usage.output_tokens) == (asked, said)
    assert decision.cost == pytest.approx(asked * 1e-6 + said * 2e-6)


def test_what_the_target_alone_would_cost_has_the_whole_prompt(server: OpenAIServer):
    server.script["a"] = Reply("Kyoto", others=["Tokyo", "tokyo."])
    result = cascade(server, server.member("a", samples=3, **PRICES)).complete(QUESTION)
    assert result.candidate.shares_prompt, "the answer is not the one that the prompt was billed with"
    asked, _ = server.tokens()
    assert result.candidate.usage.input_tokens == asked
    assert result.decision.always_target_cost == pytest.approx(
        asked * 1e-6 + result.candidate.usage.output_tokens * 2e-6
    )


def test_both_modes_mix(server: OpenAIServer):
    c = cascade(server, server.member("a", samples=2, **PRICES), server.member("b", **PRICES))
    decision = c.complete(QUESTION).decision
    assert texts(decision) == ["Tokyo", "tokyo.", "Tokyo"]
    assert decision.accepted
    assert len(server.asked()) == decision.calls == 2
    assert "n" not in server.asked("b")[0].body
    assert "temperature" not in server.asked("b")[0].body
    assert decision.usage.input_tokens == server.tokens()[0]


@pytest.mark.parametrize(
    ("own", "options", "sent"),
    [
        ({}, {}, {"temperature": 1.0}),
        ({"temperature": 0.4}, {}, {"temperature": 0.4}),
        ({"temperature": 0.4}, {"temperature": 0.6}, {"temperature": 0.6}),
        ({"top_p": 0.9}, {}, {"top_p": 0.9}),
        ({}, {"top_p": 0.9}, {"top_p": 0.9}),
    ],
)
def test_samples_are_drawn_unless_it_is_said_how(server: OpenAIServer, own: dict, options: dict, sent: dict):
    cascade(server, server.member("a", samples=2, **own)).complete(QUESTION, **options)
    body = server.asked("a")[0].body
    assert {key: body[key] for key in ("temperature", "top_p") if key in body} == sent


def test_samples_at_temperature_zero_are_told_to_say_little(server: OpenAIServer):
    c = cascade(server, server.member("a", samples=2, name="a"), server.member("b", name="b"))
    notes = c.complete(QUESTION, temperature=0).decision.tiers[0].notes
    assert notes == ("the 2 answers of a are drawn at temperature 0: that they agree says little",)
    assert c.complete(QUESTION).decision.tiers[0].notes == ()


def test_a_service_that_ignores_the_number_is_asked_for_the_rest(server: OpenAIServer):
    server.fail("a", FewChoices(1))
    decision = cascade(server, server.member("a", samples=3, **PRICES)).complete(QUESTION).decision
    assert len(server.asked("a")) == decision.calls == 3
    assert [candidate.ok for candidate in decision.tiers[0].candidates] == [True] * 3
    assert decision.usage.input_tokens == server.tokens()[0]


def test_a_service_that_refuses_the_number_is_asked_one_by_one(server: OpenAIServer):
    server.fail("a", Status(400, message="n must be 1"), at=1)
    decision = cascade(server, server.member("a", samples=3, **PRICES)).complete(QUESTION).decision
    assert len(server.asked("a")) == decision.calls == 4
    assert all("n" not in request.body for request in server.asked("a")[1:])
    assert [candidate.ok for candidate in decision.tiers[0].candidates] == [True] * 3


def test_a_failed_request_for_several_is_one_request(server: OpenAIServer):
    server.fail("a", Status(500))
    c = cascade(server, server.member("a", samples=3), server.member("b"))
    decision = c.complete(QUESTION).decision
    assert [candidate.ok for candidate in decision.tiers[0].candidates] == [False, False, False, True]
    assert len(server.asked("a")) == 1
    assert decision.calls == len(server.asked())


def test_passing_failures_of_it_are_retried(server: OpenAIServer):
    server.fail("a", Status(429, retry_after=0.01), at=1)
    decision = cascade(server, server.member("a", samples=3), max_retries=1).complete(QUESTION).decision
    assert texts(decision) == ["Tokyo", "tokyo.", "Kyoto"]
    assert len(server.asked("a")) == decision.calls == 2


# --- other transports


def asked(c: Cascade) -> list[Request]:
    return [request for _, request in c._transports.default.requests]


def sampled(script: dict[str, object], **member: Any) -> Cascade:
    return Cascade(
        ensemble=[{"model": "a", "samples": 3, **member}], target="t", transport=ScriptedTransport(script),
        threshold=0.5, selection="central",
    )  # fmt: skip


def test_a_transport_of_single_answers_is_asked_for_each():
    c = sampled({"a": ["7", "8", "7"], "t": "9"})
    decision = c.complete("How many?").decision
    assert texts(decision) == ["7", "8", "7"]
    assert decision.calls == 3
    assert [request.params for request in asked(c)] == [{"temperature": 1.0}] * 3


def test_each_sample_has_its_own_seed():
    """Of one seed they would be one answer, agreeing with itself."""
    c = sampled({"a": "7", "t": "9"}, seed=5)
    c.complete("How many?")
    assert [request.params.get("seed", 5) for request in asked(c)] == [5, 6, 7]
    c.complete("How many?", seed=40)
    assert [request.params["seed"] for request in asked(c)[3:]] == [40, 41, 42]


class Several(Transport):
    """Answers by the dozen, as a script says: for each request the answers to return or the error to raise."""

    def __init__(self, *script: object, most: int = 4) -> None:
        self.script, self.most = list(script), most
        self.asked: list[tuple[int, int]] = []

    def most_samples(self, member: Member) -> int:
        return self.most if member.model == "a" else 1

    async def complete_many(self, member: Member, request: Request, *, timeout: float, n: int) -> list[Candidate]:
        self.asked.append((n, 0))
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return [
            Candidate("x", text=text, cost=0.25, usage=Usage(10, 1), shares_prompt=index > 0)
            for index, text in enumerate(said)
        ]

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        self.asked.append((1, sample))
        return Candidate("x", text="single", cost=1.0, usage=Usage(10, 1))

    async def stream(self, member: Member, request: Request, *, timeout: float):
        raise AssertionError
        yield


def several(transport: Several, samples: int, **settings: Any) -> Any:
    settings = {"threshold": 0.0, "max_retries": 0, **settings}
    c = Cascade(ensemble=[{"model": "a", "samples": samples}], target="t", transport=transport, **settings)
    return c.complete("How many?").decision


def test_more_than_one_request_can_bring_are_asked_in_several():
    transport = Several(["1", "2", "3", "4"], ["5", "6", "7", "8"], most=4)
    decision = several(transport, 9)
    assert sorted(transport.asked) == [(1, 8), (4, 0), (4, 0)]
    assert decision.calls == 3
    assert decision.cost == pytest.approx(8 * 0.25 + 1.0)
    assert decision.usage.input_tokens == 30


def test_what_did_not_come_is_asked_for_by_its_own_number():
    transport = Several(["1", "2"])
    decision = several(transport, 4)
    assert texts(decision) == ["1", "2", "single", "single"]
    assert transport.asked == [(4, 0), (1, 2), (1, 3)]
    assert (decision.calls, decision.cost) == (3, 2.5)


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (BadRequestError("n is not taken", member="a"), 4),
        (ContextOverflowError("too long", member="a"), 1),
        (ServerError("down", member="a"), 1),
    ],
)
def test_only_a_refusal_leads_to_single_requests(error: MemberError, calls: int):
    transport = Several(error)
    c = Cascade(
        ensemble=[{"model": "a", "samples": 3}, "b"], target="t", transport=transport, threshold=0, max_retries=0
    )
    decision = c.complete("How many?").decision
    assert sum(candidate.attempts for candidate in decision.tiers[0].candidates[:3]) == calls
    assert [candidate.ok for candidate in decision.tiers[0].candidates[:3]] == [calls == 4] * 3


def test_retries_are_counted_with_the_first():
    transport = Several(RateLimitError("wait", member="a", retry_after=0.0), ["1", "2", "3"])
    decision = several(transport, 3, max_retries=1)
    assert [candidate.attempts for candidate in decision.tiers[0].candidates] == [2, 0, 0]


async def test_a_query_that_is_left_has_one_request_on_record():
    started = threading.Event()

    class Stuck(Several):
        async def complete_many(self, member: Member, request: Request, *, timeout: float, n: int) -> list[Candidate]:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

    c = Cascade(ensemble=[{"model": "a", "samples": 3}], target="t", transport=Stuck())
    task = asyncio.create_task(c.acomplete("How many?"))
    assert await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(500):
        if c.ledger.summary().queries:
            break
        await asyncio.sleep(0.01)
    summary = c.ledger.summary()
    assert (summary.queries, summary.calls, summary.unpriced_queries) == (1, 1, 1)
