"""Agents must not notice that their model is a cascade."""

from __future__ import annotations

import json
import warnings

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent
from pydantic import BaseModel

from semcascade import Candidate, ToolCall, Usage


@tool
def population(city: str) -> str:
    """Look up how many people live in a city."""
    return {"Bern": "134000", "Chur": "38000"}.get(city, "unknown")


@tool
async def area(city: str) -> str:
    """Look up the area of a city in square kilometres."""
    return "51.6"


class Report(BaseModel):
    """What was found out."""

    city: str
    people: int


QUESTION = {"messages": [HumanMessage("Use population: how many live in 'Bern'?")]}


async def _run(agent, how):
    if how == "invoke":
        return agent.invoke(QUESTION)
    if how == "ainvoke":
        return await agent.ainvoke(QUESTION)
    if how == "stream":
        return list(agent.stream(QUESTION, stream_mode="values"))[-1]
    return [state async for state in agent.astream(QUESTION, stream_mode="values")][-1]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_agent_with_tools_over_http(server, over_http, how):
    state = await _run(create_agent(over_http(), [population, area] if how.startswith("a") else [population]), how)
    asked, result, answer = state["messages"][1:]
    assert [(c["name"], c["args"]) for c in asked.tool_calls] == [("population", {"city": "Bern"})]
    assert result.content == "134000"
    assert "134000" in answer.text
    assert all(m.response_metadata["semcascade"]["accepted"] for m in (asked, answer))
    assert {request.status for request in server.asked()} == {200}
    assert len(server.asked()) == 2 * 3, "the target was never needed"


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_tokens_and_cost_of_an_agent(priced, counted_right, how):
    usage = UsageMetadataCallbackHandler()
    state = await _run(create_agent(priced, [population]).with_config(callbacks=[usage]), how)
    turns = [message for message in state["messages"] if isinstance(message, AIMessage)]
    counted_right(priced, turns, usage, f"agent, {how}")


def test_a_prebuilt_react_agent(over_http):
    with warnings.catch_warnings(action="ignore"):  # create_agent is its successor
        agent = create_react_agent(over_http(), [population])
    state = agent.invoke(QUESTION)
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert "134000" in state["messages"][-1].text


def _steps(*steps):
    """Answer by how many tool results there are: the n-th step."""

    def answer(request):
        done = sum(message["role"] == "tool" for message in request.messages)
        return steps[done]

    return answer


def _find(city):
    return ToolCall("population", json.dumps({"city": city}), "c1")


async def test_some_turns_accepted_some_deferred(scripted):
    agreed, done = _find("Bern"), "Bern has 134000."
    cheap = tuple(_steps(agreed, _find(city), done) for city in ("Chur", "Biel", "Thun"))
    model = scripted(cheap, _steps(None, _find("Chur"), None))
    state = await create_agent(model, [population]).ainvoke(QUESTION)
    turns = [message for message in state["messages"] if isinstance(message, AIMessage)]
    assert [m.response_metadata["semcascade"]["accepted"] for m in turns] == [True, False, True]
    assert [m.content for m in state["messages"] if isinstance(m, ToolMessage)] == ["134000", "38000"]
    assert state["messages"][-1].text == done


async def test_an_agents_tokens_stream_once(scripted):
    cheap = tuple(_steps(_find("Bern"), text) for text in ("Paris", "Rome", "Oslo"))
    agent = create_agent(scripted(cheap, _steps(None, "one two three")), [population])
    pieces = [
        chunk.text
        async for chunk, _ in agent.astream(QUESTION, stream_mode="messages")
        if isinstance(chunk, AIMessageChunk) and chunk.text
    ]
    assert "".join(pieces) == "one two three"
    assert len(pieces) == 3


@pytest.mark.parametrize("strategy", [ToolStrategy(Report), ProviderStrategy(Report), Report])
def test_structured_answers(scripted, strategy):
    found = json.dumps({"city": "Bern", "people": 134000})

    def answer(request):
        if not any(message["role"] == "tool" for message in request.messages):
            return _find("Bern")
        return found if request.response_format else ToolCall("Report", found, "c2")

    state = create_agent(scripted((answer,) * 3), [population], response_format=strategy).invoke(QUESTION)
    assert state["structured_response"] == Report(city="Bern", people=134000)


def test_the_profile_chooses_the_strategy(scripted):
    model = scripted('{"city": "Bern", "people": 1}', profile={"structured_output": True})
    create_agent(model, [], response_format=Report).invoke(QUESTION)
    assert model.transport.requests[0][1].response_format["type"] == "json_schema"
    other = scripted(ToolCall("Report", '{"city": "Bern", "people": 1}', "c1"), profile={"structured_output": False})
    create_agent(other, [], response_format=Report).invoke(QUESTION)
    assert other.transport.requests[0][1].response_format is None


def test_summaries_are_due_by_the_size_of_the_context_not_by_the_bill(scripted):
    """Three cheap answers of 900 tokens cost 3600 with the target's, but the context has 900."""
    large = Candidate("", text="fine", usage=Usage(900, 10))
    cheap = tuple(Candidate("", text=text, usage=Usage(900, 10)) for text in ("Paris", "Rome", "Oslo"))
    model = scripted(cheap, large)
    middle = SummarizationMiddleware(scripted("SUMMARY"), trigger=("tokens", 2000), keep=("messages", 1))
    agent = create_agent(model, [], middleware=[middle])
    first = agent.invoke(QUESTION)
    second = agent.invoke({"messages": [*first["messages"], HumanMessage("And now?")]})
    assert not any("SUMMARY" in message.text for message in second["messages"])
    assert first["messages"][-1].usage_metadata["total_tokens"] == 910


# --- agreement on what would be done decides


def _says(*calls, text=""):
    return Candidate("", text=text, tool_calls=calls, finish_reason="tool_calls" if calls else "stop")


@pytest.mark.parametrize(
    ("answers", "accepted"),
    [
        ((_says(_find("Bern")), _says(_find("Bern")), _says(_find("Bern"))), True),
        ((_says(_find("Bern")), _says(_find("Chur")), _says(_find("Biel"))), False),
        ((_says(_find("Bern"), _find("Chur")),) * 3, True),
        ((_says(_find("Bern"), _find("Chur")), _says(_find("Chur"), _find("Bern")), _says(_find("Bern"), _find("Chur"))), True),
        ((_says(_find("Bern"), _find("Chur")), _says(_find("Bern")), _says(_find("Chur"))), False),
    ],
)  # fmt: skip
def test_the_same_calls_are_believed_others_deferred(scripted, answers, accepted):
    message = scripted(answers, _find("Thun")).bind_tools([population]).invoke("How many?")
    assert message.response_metadata["semcascade"]["accepted"] is accepted
    assert (message.tool_calls[0]["args"] == {"city": "Thun"}) is not accepted


def test_calls_with_words_beside_them_agree_by_the_calls(scripted):
    """What is done decides; the words beside a call are those of the answer that is returned."""
    answers = tuple(
        _says(_find("Bern"), text=text) for text in ("Let me look.", "", "I shall ask the register for it.")
    )
    message = scripted(answers, "never").bind_tools([population]).invoke("How many?")
    assert message.response_metadata["semcascade"]["accepted"]
    assert (message.text, len(message.tool_calls)) == ("Let me look.", 1)


def test_words_never_agree_with_a_call(scripted):
    answers = (_says(_find("Bern")), _says(text="population(city='Bern')"), _says(text="134000"))
    message = scripted(answers, _find("Thun")).bind_tools([population]).invoke("How many?")
    assert not message.response_metadata["semcascade"]["accepted"]


def test_an_agent_makes_no_call_that_cannot_be_read(scripted):
    """The next best call that parses is made; an agent would have to ask again for the other."""
    broken = ToolCall("population", '{"city": "Bern"', "c0")
    unknown = ToolCall("population", '{"town": "Bern"}', "c0")
    for wrong in (broken, unknown):
        cheap = tuple(_steps(call, "134000") for call in (wrong, _find("Bern"), _find("Bern")))
        state = create_agent(scripted(cheap, threshold=0.4), [population]).invoke(QUESTION)
        asked = state["messages"][1]
        decision = asked.response_metadata["semcascade"]
        assert (asked.tool_calls[0]["args"], asked.invalid_tool_calls) == ({"city": "Bern"}, [])
        assert decision["accepted"], decision["reason"]
        assert "m/cheap-1's answer was not to choose from" in str(decision["tiers"][0]["notes"])
