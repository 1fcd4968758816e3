"""One run a call; tracers see the members below it, nobody counts twice, handlers hear the decision."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from langchain_semcascade.tracing import DECISION_EVENT
from semcascade import Candidate, CascadeError, ToolCall, Usage

ASK, DIFFER = "2 + 2?", ("Paris", "Rome", "Oslo")
CONFIG = {"tags": ["t"], "metadata": {"who": "me"}}


class Tracer(BaseTracer):
    """Keeps whole trees of runs, as LangSmith's does."""

    def __init__(self):
        super().__init__()
        self.roots = []

    def _persist_run(self, run):
        self.roots.append(run)


def runs(tracer):
    def below(run):
        return [run, *(deep for child in run.child_runs for deep in below(child))]

    return [run for root in tracer.roots for run in below(root)]


def counted(tracer):
    """Add up tokens as LangSmith does: of every run of a model, by the messages in its outputs."""
    total = 0
    for run in runs(tracer):
        if run.run_type == "llm":
            message = run.outputs["generations"][0][0]["message"]["kwargs"]
            total += message["usage_metadata"]["total_tokens"]
    return total


class Heard(BaseCallbackHandler):
    def __init__(self):
        self.events, self.starts = [], []

    def on_chat_model_start(self, serialized, messages, *, run_id, **kwargs):
        self.starts.append((run_id, kwargs["tags"], kwargs["metadata"]["who"]))

    def on_chain_start(self, serialized, inputs, **kwargs):
        self.starts.append("a child run")

    def on_custom_event(self, name, data, *, run_id, tags=None, metadata=None, **kwargs):
        self.events.append((name, data, run_id, tags, metadata["who"]))


async def ask(model, how, config):
    if how == "invoke":
        return model.invoke(ASK, config)
    if how == "ainvoke":
        return await model.ainvoke(ASK, config)
    chunks = list(model.stream(ASK, config)) if how == "stream" else [c async for c in model.astream(ASK, config)]
    return sum(chunks[1:], start=chunks[0])


MODES = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("how", MODES)
async def test_members_are_child_runs_and_counted_once(scripted, how):
    tracer, usage = Tracer(), UsageMetadataCallbackHandler()
    answers = tuple(Candidate("", text=text, usage=Usage(900, 10)) for text in DIFFER)
    model = scripted(answers, Candidate("", text="one two", usage=Usage(900, 20)))
    message = await ask(model, how, {**CONFIG, "callbacks": [tracer, usage]})
    (root,) = tracer.roots
    assert (root.run_type, root.name) == ("llm", "ChatSemCascade")
    assert [(child.run_type, child.name) for child in root.child_runs] == [
        ("chain", f"m/{name}") for name in ("cheap-1", "cheap-2", "cheap-3", "large")
    ]
    first, *_, last = root.child_runs
    assert first.outputs["answers"][0]["text"] == "Paris"
    assert last.outputs["answers"][0]["output_tokens"] == 20
    assert all(child.end_time and child.parent_run_id == root.id for child in root.child_runs)
    assert first.tags == ["t"]
    assert first.metadata["who"] == "me"
    assert counted(tracer) == message.usage_metadata["total_tokens"] == 920
    assert usage.usage_metadata == {"m/large": message.usage_metadata}


@pytest.mark.parametrize("how", MODES)
async def test_handlers_hear_the_decision_once(scripted, how):
    heard = Heard()
    message = await ask(scripted("4"), how, {**CONFIG, "callbacks": [heard]})
    ((name, data, run_id, tags, who),) = heard.events
    assert name == DECISION_EVENT == "semcascade_decision"
    assert data == message.response_metadata["semcascade"]
    assert heard.starts == [(run_id, ["t"], "me")], "one run, and its own id"
    assert (tags, who) == (["t"], "me")


async def test_asynchronous_handlers_hear_it_too(scripted):
    class Waiting(AsyncCallbackHandler):
        events = ()

        async def on_custom_event(self, name, data, **kwargs):
            await asyncio.sleep(0)
            self.events += (data["accepted"],)

    heard = Waiting()
    for how in ("ainvoke", "astream"):
        await ask(scripted("4"), how, {"callbacks": [heard]})
    assert heard.events == (True, True)


@pytest.mark.parametrize("how", MODES)
async def test_failures_are_told_and_seen(scripted, how):
    heard, tracer = Heard(), Tracer()
    model = scripted(DIFFER, ValueError("out of paper"), max_retries=0)
    with pytest.raises(CascadeError):
        await ask(model, how, {**CONFIG, "callbacks": [heard, tracer]})
    ((_, data, *_),) = heard.events
    assert data["accepted"] is False
    assert "out of paper" in data["reason"]
    (root,) = tracer.roots
    assert "out of paper" in root.error
    assert "out of paper" in root.child_runs[-1].error


async def test_events_of_both_versions_hold_the_decision_and_no_rejected_text(scripted):
    model = scripted(DIFFER, "one two")
    events = [event async for event in model.astream_events(ASK, CONFIG, version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds == [
        "on_chat_model_start",
        *["on_chat_model_stream"] * 2,
        "on_custom_event",
        "on_chat_model_stream",
        "on_chat_model_end",
    ]
    (decided,) = (event for event in events if event["event"] == "on_custom_event")
    assert (decided["name"], decided["tags"], decided["metadata"]["who"]) == (DECISION_EVENT, ["t"], "me")
    heard = Heard()
    stream = model.stream_events(ASK, {**CONFIG, "callbacks": [heard]}, version="v3")
    assert "Rome" not in repr([event for event in stream if event["event"] == "content-block-delta"])
    assert [name for name, *_ in heard.events] == [DECISION_EVENT]
    chain = RunnableLambda(lambda text: text) | model
    nested = [event async for event in chain.astream_events(ASK, version="v2") if event["event"] == "on_custom_event"]
    assert len(nested) == 1


@tool
def population(city: str) -> str:
    """Look up how many people live in a city."""
    return "134000"


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_in_an_agent_every_turn_is_one_run(scripted, how):
    def answer(request):
        done = any(message["role"] == "tool" for message in request.messages)
        return "134000 people" if done else ToolCall("population", '{"city": "Bern"}', "c1")

    tracer, question = Tracer(), {"messages": [HumanMessage("How many live in Bern?")]}
    agent = create_agent(scripted(answer), [population])
    with get_usage_metadata_callback() as usage:
        config = {"callbacks": [tracer]}
        state = agent.invoke(question, config) if how == "invoke" else await agent.ainvoke(question, config)
    turns = [message for message in state["messages"] if message.type == "ai"]
    models = [run for run in runs(tracer) if run.run_type == "llm"]
    assert [len(run.child_runs) for run in models] == [3, 3]
    total = sum(turn.usage_metadata["total_tokens"] for turn in turns)
    assert counted(tracer) == usage.usage_metadata["m/cheap-1"]["total_tokens"] == total


@pytest.mark.parametrize("how", MODES)
async def test_langsmiths_own_tracer(scripted, how):
    client = mock.create_autospec(Client, instance=True, tracing_queue=None, session=None)
    tracer = LangChainTracer(client=client, project_name="p")
    await ask(scripted("4"), how, {**CONFIG, "callbacks": [tracer]})
    tracer.wait_for_futures()
    sent = [call.kwargs for call in client.create_run.call_args_list]
    assert [run["run_type"] for run in sent] == ["llm", "chain", "chain", "chain"]
    assert {run["parent_run_id"] for run in sent[1:]} == {sent[0]["id"]}
    assert {run["trace_id"] for run in sent} == {sent[0]["id"]}
    assert client.update_run.call_count == 4


def test_no_secret_in_a_trace(scripted):
    secret = "sk-top-secret-0123456789"
    tracer = Tracer()
    members = [{"model": f"m/cheap-{i}", "api_key": secret, "extra_headers": {"X": secret}} for i in (1, 2, 3)]
    scripted("4", ensemble=members).invoke(ASK, {"callbacks": [tracer]}, temperature=0.5)
    assert runs(tracer)[1].inputs["parameters"]["temperature"] == 0.5
    assert secret not in "".join(run.model_dump_json() for run in runs(tracer))


def test_a_tracer_that_breaks_breaks_no_query(scripted):
    class Broken(Tracer):
        def on_chain_start(self, *args, **kwargs):
            raise OSError("disk full")

    assert scripted("4").invoke(ASK, {"callbacks": [Broken()]}).text == "4"
