"""smolagents: `LiteLLMModel("semcascade/test")`."""

import pytest

from tests.litellm.helpers import MEMBERS
from tests.support.openai_server import Reply

smolagents = pytest.importorskip("smolagents")


@smolagents.tool
def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: The city's name.
    """
    return f"sunny in {city}"


def plan(body):
    """Call the tool, then say what it told."""
    if "sunny in Rome" in str(body["messages"]):
        return Reply(tool_calls=[("final_answer", {"answer": "It is sunny in Rome."})])
    return Reply(tool_calls=[("weather", {"city": "Rome"})])


@pytest.fixture
def model(cascade):
    return smolagents.LiteLLMModel(model_id="semcascade/test")


def question(text):
    return [smolagents.ChatMessage(role="user", content=[{"type": "text", "text": text}])]


def test_a_model_answers(server, model):
    server.script.update({**dict.fromkeys(MEMBERS, "Paris"), "big": "London"})
    message = model.generate(question("The capital of France?"))
    assert message.content == "Paris"
    counted = (message.token_usage.input_tokens, message.token_usage.output_tokens)
    assert counted == server.tokens("cheap-1")
    assert message.raw._hidden_params["semcascade"]["accepted"]


def test_a_model_streams(server, model):
    server.script.update({**dict(zip(MEMBERS, "abc", strict=True)), "big": "It is Paris, of course."})
    said = [piece.content for piece in model.generate_stream(question("The capital of France?")) if piece.content]
    assert said == ["It ", "is ", "Paris, ", "of ", "course."]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("agreed", [True, False])
def test_an_agent_calls_tools(server, cascade, model, streamed, agreed):
    pytest.importorskip("mcp", reason="LiteLLM wants it as soon as there are tools")
    other = {name: Reply(tool_calls=[("weather", {"city": name})]) for name in MEMBERS}
    server.script.update({**(dict.fromkeys(MEMBERS, plan) if agreed else other), "big": plan})
    agent = smolagents.ToolCallingAgent(tools=[weather], model=model, stream_outputs=streamed, verbosity_level=0)
    assert agent.run("What is the weather in Rome?") == "It is sunny in Rome."
    summary = cascade.ledger.summary()
    assert (summary.queries, summary.deferral_rate) == (2, 0.0 if agreed else 1.0)


def test_code_agents(server, model):
    code = "Thought: easy.\n<code>\nfinal_answer(6 * 7)\n</code>"
    server.script.update(dict.fromkeys([*MEMBERS, "big"], code))
    assert smolagents.CodeAgent(tools=[], model=model, verbosity_level=0).run("What is 6 times 7?") == 42
