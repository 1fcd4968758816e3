"""The cascade inside agents: proposed tool calls are compared, and each turn is decided for itself."""

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context
from pydantic import BaseModel

from semcascade import ToolCall
from semcascade.messages import content_text
from tests.llamaindex.helpers import ASKED, recorded_events, weather
from tests.llamaindex.models import SCATTER, scripted


async def run(agent, question, **kwargs):
    """Return the agent's output, what it streamed, and the results of its tools."""
    handler = agent.run(question, memory=ChatMemoryBuffer.from_defaults(token_limit=4000), **kwargs)
    events = [event async for event in handler.stream_events()]
    streamed = "".join(event.delta for event in events if isinstance(event, AgentStream))
    results = [str(event.tool_output) for event in events if isinstance(event, ToolCallResult)]
    return await handler, streamed, results


def divide(a: int, b: int) -> float:
    """Divide one number by another."""
    return a / b


@pytest.mark.parametrize("streaming", [True, False])
class TestFunctionAgent:
    async def test_it_calls_a_tool_and_answers(self, llm, streaming):
        agent = FunctionAgent(tools=[weather], llm=llm, streaming=streaming)
        output, streamed, results = await run(agent, ASKED)
        assert results == ["Rome: sunny for 3 days"]
        assert str(output) == "The tool returned: Rome: sunny for 3 days"
        assert streamed == (str(output) if streaming else "")
        assert output.raw["semcascade"]["tier"]

    async def test_it_remembers(self, llm, streaming):
        agent = FunctionAgent(tools=[weather], llm=llm, streaming=streaming)
        context = Context(agent)
        await run(agent, ASKED, ctx=context)
        output, _, results = await run(agent, "Hello!", ctx=context)
        assert "Hello!" in str(output)
        assert results == []

    async def test_without_tools(self, llm, streaming):
        output, _, _ = await run(FunctionAgent(tools=[], llm=llm, streaming=streaming), "the sky?")
        assert "the sky?" in str(output)

    async def test_a_tool_that_fails_is_told_to_the_model(self, llm, streaming):
        agent = FunctionAgent(tools=[divide], llm=llm, streaming=streaming)
        output, _, results = await run(agent, "please divide 1 by 0")
        assert "division by zero" in results[0]
        assert "division by zero" in str(output)

    async def test_turns_are_accepted_and_deferred_each_for_itself(self, streaming):
        rome, oslo = (
            ToolCall("weather", f'{{"city": "{city}", "days": 1}}', f"call_{city}") for city in ("Rome", "Oslo")
        )
        script = {
            "cheap-1": [rome, "It rains."], "cheap-2": [rome, "It is sunny."], "cheap-3": [rome, oslo],
            "big": ["It is sunny in Rome."],
        }  # fmt: skip
        agent = FunctionAgent(tools=[weather], llm=scripted(script), streaming=streaming)
        with recorded_events() as events:
            output, _, results = await run(agent, "weather?")
        assert results == ["Rome: sunny for 1 days"]
        assert str(output) == "It is sunny in Rome."
        decisions = [event.decision for event in events.named("SemCascadeDecisionEvent")]
        assert [decision.accepted for decision in decisions] == [True, False]

    async def test_a_structured_output(self, llm, streaming):
        class Report(BaseModel):
            """A report."""

            summary: str

        agent = FunctionAgent(tools=[weather], llm=llm, streaming=streaming, output_cls=Report)
        output, _, _ = await run(agent, ASKED)
        assert Report.model_validate(output.structured_response).summary


def react(request):
    """Think as a ReAct agent is told to: one action, then the answer."""
    last = content_text(request.messages[-1]["content"])
    if "Observation:" in last:
        return (
            f"Thought: I can answer without using any more tools.\nAnswer: So: {last.split('Observation:')[1].strip()}"
        )
    return 'Thought: I need a tool.\nAction: weather\nAction Input: {"city": "Rome", "days": 2}'


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("script", [{}, SCATTER], ids=["agreed", "deferred"])
async def test_react_agent(script, streaming):
    llm = scripted({"*": react, **script})
    output, streamed, results = await run(ReActAgent(tools=[weather], llm=llm, streaming=streaming), "weather in Rome?")
    assert results == ["Rome: sunny for 2 days"]
    assert str(output) == "So: Rome: sunny for 2 days"
    assert ("Answer: So: Rome" in streamed) == streaming
    assert "another answer" not in streamed


@pytest.mark.parametrize("streaming", [True, False])
async def test_agent_workflow(llm, streaming):
    agent = FunctionAgent(
        name="forecaster", description="knows the weather", tools=[weather], llm=llm, streaming=streaming
    )
    output, streamed, results = await run(AgentWorkflow(agents=[agent]), ASKED)
    assert results == ["Rome: sunny for 3 days"]
    assert str(output) == "The tool returned: Rome: sunny for 3 days"
    assert streamed == (str(output) if streaming else "")


@pytest.mark.parametrize(("calls", "expected"), [(True, FunctionAgent), (False, ReActAgent)])
async def test_the_kind_of_agent_follows_from_what_the_members_can(calls, expected):
    llm = scripted({} if calls else {"*": react}, is_function_calling_model=calls)
    workflow = AgentWorkflow.from_tools_or_functions([weather], llm=llm)
    assert isinstance(next(iter(workflow.agents.values())), expected)
    _, _, results = await run(workflow, ASKED)
    assert len(results) == 1
    assert results[0].startswith("Rome: sunny")


@pytest.mark.parametrize("streaming", [True, False])
async def test_code_agent(streaming):
    async def execute(code: str) -> str:
        return f"ran {code.strip()}"

    def think(request):
        last = content_text(request.messages[-1]["content"])
        return "It is 42." if "ran" in last else "<execute>\n6 * 7\n</execute>"

    agent = CodeActAgent(code_execute_fn=execute, llm=scripted({"*": think}), streaming=streaming)
    output, _, results = await run(agent, "What is 6 times 7?")
    assert str(output) == "It is 42."
    assert results == ["ran 6 * 7"]


async def test_agents_hand_over():
    def plan(request):
        offered = {tool["function"]["name"] for tool in request.tools}
        if "weather" not in offered:
            return ToolCall("handoff", '{"to_agent": "forecaster", "reason": "it knows"}', "call_1")
        last = content_text(request.messages[-1]["content"])
        return last if "sunny" in last else ToolCall("weather", '{"city": "Rome", "days": 3}', "call_2")

    llm = scripted({"*": plan})
    front = FunctionAgent(name="front", description="talks", llm=llm, tools=[], can_handoff_to=["forecaster"])
    forecaster = FunctionAgent(name="forecaster", description="knows the weather", llm=llm, tools=[weather])
    output, _, results = await run(AgentWorkflow(agents=[front, forecaster], root_agent="front"), ASKED)
    assert output.current_agent_name == "forecaster"
    assert results[-1] == "Rome: sunny for 3 days" == str(output)
