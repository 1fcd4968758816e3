"""What a user of the chat model sees."""

from __future__ import annotations

import copy
import json

import pytest

from langchain_semcascade import ChatInputError
from semcascade import Candidate, Usage
from tests.langchain.conftest import ASK, DIFFER, summed

# --- the answer and its decision


def test_an_accepted_answer_and_its_decision(scripted):
    message = scripted("4").invoke(ASK)
    decision = message.response_metadata["semcascade"]
    assert message.content == "4"
    assert (decision["accepted"], decision["tier"], decision["score"]) == (True, "ensemble", 1.0)
    assert [c["member"] for c in decision["candidates"]] == ["m/cheap-1", "m/cheap-2", "m/cheap-3"]
    assert message.response_metadata["model_name"] == "m/cheap-1"
    assert message.response_metadata["model_provider"] == "semcascade"
    assert message.response_metadata["finish_reason"] == "stop"
    assert json.loads(json.dumps(decision)) == decision, "plain data"


def test_a_deferred_answer_and_its_decision(scripted):
    message = scripted(DIFFER).invoke(ASK)
    decision = message.response_metadata["semcascade"]
    assert message.content == "four, says the large one"
    assert (decision["accepted"], decision["tier"]) == (False, "target")
    assert [c["tier"] for c in decision["candidates"]] == ["ensemble"] * 3 + ["target"]
    assert message.response_metadata["model_name"] == "m/large"


def test_usage_is_that_of_the_answer_not_thesummed(scripted):
    answers = tuple(Candidate("", text=text, usage=Usage(10, 1)) for text in DIFFER)
    large = Candidate("", text="x", usage=Usage(10, 7, cached_tokens=4, reasoning_tokens=2))
    message = scripted(answers, large).invoke(ASK)
    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 7,
        "total_tokens": 17,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 2},
    }


def test_reasoning_becomes_a_content_block(scripted):
    answer = Candidate("", text="4", reasoning="2 and 2", finish_reason="stop")
    for message in (scripted(answer).invoke(ASK), summed(scripted(answer).stream(ASK))):
        assert message.content == "4"
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


@pytest.mark.parametrize("cheap", ["4", DIFFER])
def test_invoke_and_stream_say_the_same(scripted, cheap):
    model = scripted(cheap)
    whole, chunks = model.invoke(ASK), list(model.stream(ASK))
    streamed = summed(chunks)
    assert streamed.content == whole.content
    assert streamed.usage_metadata == whole.usage_metadata
    assert _timeless(streamed) == _timeless(whole)
    assert [chunk.chunk_position for chunk in chunks].index("last") == len(chunks) - 1
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert sum(bool(chunk.response_metadata.get("semcascade")) for chunk in chunks) == 1


async def test_a_deferred_query_streams_the_target_piece_by_piece(scripted):
    model = scripted(DIFFER, "one two three")
    assert [chunk.content for chunk in model.stream(ASK)] == ["one ", "two ", "three", ""]
    assert [chunk.content async for chunk in model.astream(ASK)] == ["one ", "two ", "three", ""]


async def test_rejected_text_is_never_emitted(scripted):
    model = scripted(DIFFER, "the answer")
    said = "".join([chunk.text for chunk in model.stream(ASK)] + [chunk.text async for chunk in model.astream(ASK)])
    assert said == "the answer" * 2
    events = [event async for event in model.astream_events(ASK, version="v2")]
    assert not any(
        rejected in repr(e["data"].get("chunk", "")).split("semcascade")[0] for e in events for rejected in DIFFER
    )


async def test_sync_calls_inside_a_running_loop(scripted):
    assert scripted().invoke(ASK).text == (await scripted().ainvoke(ASK)).text == "4"


# --- what is asked


def test_parameters_reach_every_member_and_the_call_wins(scripted):
    model = scripted(DIFFER, temperature=0.1, max_tokens=50, stop=["END"], model_kwargs={"top_p": 0.5})
    model.invoke(ASK, temperature=0.9, seed=7)
    for _, request in model.transport.requests:
        assert request.params == {"temperature": 0.9, "max_tokens": 50, "stop": ["END"], "top_p": 0.5, "seed": 7}
    model.invoke(ASK, stop=["OTHER"])
    assert model.transport.requests[-1][1].params["stop"] == ["OTHER"]


def test_switches_of_streaming_are_no_request_parameters(scripted):
    model = scripted()
    model.invoke(ASK, stream=False, stream_usage=True, stream_options={"include_usage": True})
    assert model.transport.requests[0][1].params == {}


@pytest.mark.parametrize("name", ["n", "timeout", "max_retries", "api_key", "api_base", "base_url"])
def test_what_a_call_does_not_take_is_refused_not_dropped(scripted, name):
    model = scripted()
    with pytest.raises(ChatInputError, match=f"{name}: not an argument of a call"):
        model.invoke(ASK, **{name: 2})
    with pytest.raises(ChatInputError, match=name):
        list(model.stream(ASK, **{name: 2}))
    assert model.transport.requests == []


def test_a_model_named_in_the_call_is_the_only_one_asked(scripted):
    model = scripted()
    message = model.invoke(ASK, model="m/cheap-2")
    assert [name for name, _ in model.transport.requests] == ["m/cheap-2"]
    assert message.response_metadata["model_name"] == "m/cheap-2"
    assert summed(model.bind(model="m/large").stream(ASK)).content == "four, says the large one"


def test_two_members_of_one_model_are_told_apart(scripted):
    twice = [{"model": "m/cheap-1", "name": "plain"}, {"model": "m/cheap-1", "name": "terse", "temperature": 0.0}]
    model = scripted(ensemble=twice)
    message = model.invoke(ASK)
    assert message.response_metadata["semcascade"]["member"] == "plain"
    assert message.response_metadata["model_name"] == "m/cheap-1"
    assert model.invoke(ASK, model="terse").response_metadata["semcascade"]["member"] == "terse"


def _timeless(message):
    """Drop what differs from call to call."""
    plain = copy.deepcopy(message.response_metadata)
    decision = plain["semcascade"]
    for record in (decision, *decision["candidates"], *decision["tiers"]):
        for key in ("latency_s", "first_token_s"):
            record.pop(key, None)
    return plain
