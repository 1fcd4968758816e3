"""What the service saw is what the messages and the ledger say."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import HumanMessage, ToolMessage

from semcascade import ScriptedTransport
from tests.support.openai_server import NoUsage, Stall


@pytest.fixture
def disagreeing(server):
    server.script.update(
        {"cheap-1": "It is Paris", "cheap-2": "42", "cheap-3": "Nobody can know", "large": "one two three"}
    )


async def _ask(model, how, **config):
    if how == "invoke":
        return model.invoke("Hello", config)
    if how == "ainvoke":
        return await model.ainvoke("Hello", config)
    chunks = (
        list(model.stream("Hello", config)) if how == "stream" else [c async for c in model.astream("Hello", config)]
    )
    return sum(chunks[1:], start=chunks[0])


MODES = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("how", MODES)
async def test_tokens_and_cost_in_every_mode(server, priced, counted_right, how, accepted, request):
    if not accepted:
        request.getfixturevalue("disagreeing")
    usage = UsageMetadataCallbackHandler()
    message = await _ask(priced, how, callbacks=[usage])
    answered = "cheap-1" if accepted else "large"
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == server.tokens(answered)
    assert usage.usage_metadata == {f"openai/{answered}": message.usage_metadata}
    assert len(server.asked()) == (3 if accepted else 4)
    counted_right(priced, [message], usage, f"{how}, {'accepted' if accepted else 'deferred'}")


@pytest.mark.parametrize("how", ["batch", "abatch", "batch_as_completed", "abatch_as_completed"])
async def test_tokens_and_cost_of_batches(server, priced, counted_right, how):
    usage = UsageMetadataCallbackHandler()
    asked, config = [f"question {i}" for i in range(6)], {"callbacks": [usage], "max_concurrency": 2}
    if how == "batch":
        answers = dict(enumerate(priced.batch(asked, config)))
    elif how == "abatch":
        answers = dict(enumerate(await priced.abatch(asked, config)))
    elif how == "batch_as_completed":
        answers = dict(priced.batch_as_completed(asked, config))
    else:
        answers = {index: answer async for index, answer in priced.abatch_as_completed(asked, config)}
    assert {index: answer.text for index, answer in answers.items()} == {
        i: f"You asked: question {i}" for i in range(6)
    }
    counted_right(priced, list(answers.values()), usage, how)


@pytest.mark.parametrize("how", ["batch", "abatch", "abatch_as_completed"])
async def test_a_query_that_fails_does_not_take_its_neighbours_along(server, priced, how):
    asked = [f"question {i}" for i in range(4)]
    spoilt = [*asked[:2], [HumanMessage("hi"), ToolMessage("nobody asked", tool_call_id="c9")], *asked[2:]]
    if how == "batch":
        answers = dict(enumerate(priced.batch(spoilt, return_exceptions=True)))
    elif how == "abatch":
        answers = dict(enumerate(await priced.abatch(spoilt, {"max_concurrency": 2}, return_exceptions=True)))
    else:
        answers = {i: answer async for i, answer in priced.abatch_as_completed(spoilt, return_exceptions=True)}
    assert isinstance(answers.pop(2), ModelInvalidRequestError)
    assert [answers[i].text for i in sorted(answers)] == [f"You asked: {question}" for question in asked]


async def test_no_more_queries_at_once_than_allowed(scripted):
    running, most = 0, 0

    class Counting(ScriptedTransport):
        async def complete(self, member, request, *, timeout, sample=0):
            nonlocal running, most
            running += member.name == "m/cheap-1"
            most = max(most, running)
            try:
                return await super().complete(member, request, timeout=timeout, sample=sample)
            finally:
                running -= member.name == "m/cheap-1"

    model = scripted(transport=Counting({"*": "4"}, latency_s=0.02))
    await model.abatch(["2 + 2?"] * 9, {"max_concurrency": 3})
    assert most == 3


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("accepted", [True, False])
async def test_logprobs_are_passed_on_as_the_service_told_them(over_http, how, accepted, request):
    if not accepted:
        request.getfixturevalue("disagreeing")
    message = await _ask(over_http(model_kwargs={"logprobs": True, "top_logprobs": 1}), how)
    told = message.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in told) == message.text
    assert {token["logprob"] for token in told} == {-0.1}
    assert "logprobs" not in (await _ask(over_http(), how)).response_metadata


def test_a_service_that_counts_no_tokens(server, over_http):
    server.fail("*", NoUsage())
    message = over_http().invoke("Hello")
    assert message.text
    assert message.response_metadata["semcascade"]["cost"] is None, "unknown is not zero"


async def test_who_stops_listening_hangs_up(server, over_http, disagreeing):
    stall = Stall(after=3)
    server.fail("large", stall)
    stream = over_http().stream("Hello")
    assert next(stream).text
    stream.close()
    server.wait_until(lambda: server.asked("large")[0].disconnected)
    astream = over_http().astream("Hello")
    assert (await anext(astream)).text
    await astream.aclose()
    await asyncio.to_thread(server.wait_until, lambda: server.asked("large")[1].disconnected)


async def test_a_cancelled_call_hangs_up(server, over_http):
    stall = Stall()
    server.fail("*", stall)
    task = asyncio.create_task(over_http().ainvoke("Hello"))
    assert await asyncio.to_thread(stall.reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(
        server.wait_until, lambda: server.asked() and all(request.disconnected for request in server.asked())
    )


async def test_many_at_once(over_http):
    model = over_http()
    answers = await model.abatch([f"question {i}" for i in range(12)], {"max_concurrency": 4})
    assert [answer.text for answer in answers] == [f"You asked: question {i}" for i in range(12)]
