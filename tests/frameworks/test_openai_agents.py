"""OpenAI Agents SDK: `LitellmModel("semcascade/test")`."""

import pytest

from tests.litellm.helpers import MEMBERS
from tests.support.openai_server import Reply

agents = pytest.importorskip("agents", reason="pip install 'openai-agents[litellm]'")
litellm_model = pytest.importorskip("agents.extensions.models.litellm_model")


@agents.function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


@pytest.fixture
def agent(cascade):
    agents.set_tracing_disabled(True)
    model = litellm_model.LitellmModel(model="semcascade/test")
    return agents.Agent(name="forecaster", instructions="Be brief.", model=model, tools=[weather])


def scatter(server):
    server.script.update({name: Reply(tool_calls=[("weather", {"city": name})]) for name in MEMBERS})


@pytest.mark.parametrize("agreed", [True, False])
async def test_an_agent_calls_tools(server, cascade, agent, agreed):
    if not agreed:
        scatter(server)
    result = await agents.Runner.run(agent, 'Ask weather of "Rome"')
    assert result.final_output == "The tool returned: sunny in Rome"
    assert (cascade.ledger.summary().deferral_rate == 0) is agreed
    chosen = server.tokens("cheap-1" if agreed else "big")
    usage = result.context_wrapper.usage
    assert (usage.input_tokens, usage.output_tokens) == chosen


@pytest.mark.parametrize("agreed", [True, False])
async def test_a_streamed_agent(server, agent, agreed):
    if not agreed:
        scatter(server)
    result = agents.Runner.run_streamed(agent, 'Ask weather of "Rome"')
    said = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert "".join(said) == result.final_output == "The tool returned: sunny in Rome"
    assert len([piece for piece in said if piece]) == (1 if agreed else 6)
