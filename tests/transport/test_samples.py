"""Several answers of one member by one request: LiteLLM against a service on the loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.errors import BadRequestError, MalformedReplyError
from semcascade.messages import Candidate, Request
from semcascade.transport.base import Transport
from semcascade.transport.litellm import LiteLLMTransport
from semcascade.transport.openai_shape import MOST_SAMPLES
from tests.support.openai_server import EmptyChoices, FewChoices, NoUsage, OpenAIServer, Reply, Status

REQUEST = Request(({"role": "user", "content": "What is the capital of Japan?"},))
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.requests.clear()
    running.heal()
    running.script["a"] = Reply("Tokyo", others=["It is the city of Tokyo.", "Kyoto"])
    return running


def many(server: OpenAIServer, n: int = 3, request: Request = REQUEST) -> list[Candidate]:
    member = Member.model_validate(server.member("a", **PRICES))
    return EngineLoop.shared().run(LiteLLMTransport().complete_many(member, request, timeout=10, n=n))


def test_one_request_brings_them_all_and_its_prompt_is_billed_once(server: OpenAIServer):
    answers = many(server)
    assert [answer.text for answer in answers] == ["Tokyo", "It is the city of Tokyo.", "Kyoto"]
    assert [request.body["n"] for request in server.asked("a")] == [3]
    asked, said = server.tokens("a")
    assert sum(answer.cost for answer in answers) == pytest.approx(asked * 1e-6 + said * 2e-6)
    assert [answer.shares_prompt for answer in answers] == [False, True, True]
    assert [answer.usage.input_tokens for answer in answers] == [asked] * 3
    assert sum(answer.usage.output_tokens for answer in answers) == said
    assert sum(answer.billed.input_tokens for answer in answers) == asked
    assert answers[1].usage.output_tokens > answers[0].usage.output_tokens


def test_everything_that_an_answer_holds_is_each_ones_own(server: OpenAIServer):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    server.script["a"] = Reply(None, tool_calls=[("f", {"x": 1})], reasoning="so")
    answers = many(server, 2, Request(REQUEST.messages, tools=(tool,)))
    assert [call.arguments for answer in answers for call in answer.tool_calls] == ['{"x": 1}'] * 2
    assert [answer.finish_reason for answer in answers] == ["tool_calls"] * 2
    assert [answer.reasoning for answer in answers] == ["so", "so"]
    server.script["a"] = Reply("Tokyo it is", logprobs=[-0.5, -0.25])
    (first, second) = many(server, 2, Request(REQUEST.messages, params={"logprobs": True}))
    assert first.logprobs == second.logprobs == (-0.5, -0.25, -0.5)


def test_a_service_may_send_fewer(server: OpenAIServer):
    server.fail("a", FewChoices(2))
    answers = many(server)
    assert len(answers) == 2
    assert sum(answer.usage.output_tokens for answer in answers) == server.tokens("a")[1]


def test_an_unknown_usage_is_unknown_for_each(server: OpenAIServer):
    server.fail("a", NoUsage())
    assert [(answer.usage, answer.cost) for answer in many(server)] == [(None, None)] * 3


@pytest.mark.parametrize(("fault", "error"), [(EmptyChoices(), MalformedReplyError), (Status(400), BadRequestError)])
def test_faults_are_typed_errors(server: OpenAIServer, fault: object, error: type[Exception]):
    server.fail("a", fault)
    with pytest.raises(error):
        many(server)


@pytest.mark.parametrize(
    ("model", "most"),
    [("openai/gpt-5-mini", 64), ("gemini/gemini-2.5-flash", 8), ("anthropic/claude", 1), ("ollama/x", 1), ("x", 1)],
)
def test_which_providers_take_a_number(model: str, most: int):
    assert LiteLLMTransport().most_samples(Member(model=model)) == most
    assert set(MOST_SAMPLES.values()) <= set(range(2, 65))


async def test_other_transports_ask_for_one_at_a_time():
    class Plain(Transport):
        async def complete(self, member, request, *, timeout, sample=0):
            raise AssertionError

        def stream(self, member, request, *, timeout):
            raise AssertionError

    assert Plain().most_samples(Member(model="a")) == 1
    with pytest.raises(NotImplementedError, match="Plain asks for one answer at a time"):
        await Plain().complete_many(Member(model="a"), REQUEST, timeout=1, n=2)
