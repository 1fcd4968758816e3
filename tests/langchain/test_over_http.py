"""What the service saw is what the messages and the ledger say."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler

from tests.support.openai_server import NoUsage, Stall

PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


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


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_tokens_and_cost_in_every_mode(server, over_http, how, accepted, request):
    if not accepted:
        request.getfixturevalue("disagreeing")
    model = over_http(
        ensemble=[server.member(f"cheap-{i}", **PRICES) for i in (1, 2, 3)], target=server.member("large", **PRICES)
    )
    usage = UsageMetadataCallbackHandler()
    message = await _ask(model, how, callbacks=[usage])
    answered = "cheap-1" if accepted else "large"
    prompt, completion = server.tokens(answered)
    assert message.usage_metadata["input_tokens"] == prompt
    assert message.usage_metadata["output_tokens"] == completion
    assert usage.usage_metadata == {f"openai/{answered}": message.usage_metadata}
    prompts, completions = server.tokens()
    spent = prompts * 1e-6 + completions * 2e-6
    assert message.response_metadata["semcascade"]["cost"] == pytest.approx(spent)
    summary = model.cascade.ledger.summary()
    assert summary.cost == pytest.approx(spent)
    assert len(server.asked()) == (3 if accepted else 4)


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
