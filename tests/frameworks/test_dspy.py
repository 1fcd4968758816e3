"""DSPy: `dspy.LM("semcascade/test")`."""

import json

import pytest

from tests.litellm.helpers import MEMBERS

dspy = pytest.importorskip("dspy")


def fields(**values):
    """Write fields as DSPy's chat adapter has asked for them."""
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()), "[[ ## completed ## ]]"])


@pytest.fixture
def lm(cascade):
    model = dspy.LM("semcascade/test", cache=False, num_retries=0)
    with dspy.context(lm=model):
        yield model


def test_a_prediction(server, lm):
    server.script.update(dict.fromkeys(MEMBERS, fields(answer="Paris")))
    assert dspy.Predict("question -> answer")(question="The capital of France?").answer == "Paris"
    assert len(server.asked()) == 3
    asked, said = server.tokens()
    assert lm.history[-1]["cost"] == pytest.approx(asked * 1e-6 + said * 2e-6)
    assert lm.history[-1]["usage"]["prompt_tokens"] == server.tokens("cheap-1")[0]


def test_a_deferred_chain_of_thought(server, cascade, lm):
    """As JSON: the marks of the chat adapter are alike even where the answers between them are not."""
    server.script.update({name: json.dumps({"reasoning": "?", "answer": n}) for n, name in enumerate(MEMBERS)})
    server.script["big"] = json.dumps({"reasoning": "6 times 7.", "answer": 42})
    with dspy.context(adapter=dspy.JSONAdapter()):
        predicted = dspy.ChainOfThought("question -> answer: int")(question="What is 6 times 7?")
    assert (predicted.answer, predicted.reasoning) == (42, "6 times 7.")
    assert cascade.ledger.summary().deferral_rate == 1.0


async def test_asynchronously(server, lm):
    server.script.update(dict.fromkeys(MEMBERS, fields(answer="Paris")))
    predicted = await dspy.Predict("question -> answer").acall(question="The capital of France?")
    assert predicted.answer == "Paris"


async def test_a_stream(server, lm):
    guesses = ["Lyon, which lies on two rivers", "Nice: sea, sun, palms", "that would have to be old Metz up north"]
    server.script.update({name: fields(answer=guess) for name, guess in zip(MEMBERS, guesses, strict=True)})
    server.script["big"] = fields(answer="Paris, on the Seine.")
    program = dspy.streamify(
        dspy.Predict("question -> answer"), stream_listeners=[dspy.streaming.StreamListener("answer")]
    )
    pieces = [piece async for piece in program(question="The capital of France?")]
    assert pieces[-1].answer == "Paris, on the Seine."
    assert "".join(piece.chunk for piece in pieces[:-1]) == "Paris, on the Seine."
    assert len(pieces) > 2


def test_an_agent_with_tools(server, lm):
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"sunny in {city}"

    def plan(body):
        said = body["messages"][-1]["content"]
        if "next_tool_name" not in said:
            return fields(reasoning="It said so.", answer="sunny")
        if "sunny in Rome" in said:
            return fields(next_thought="Done.", next_tool_name="finish", next_tool_args="{}")
        return fields(next_thought="I ask.", next_tool_name="weather", next_tool_args='{"city": "Rome"}')

    server.script.update(dict.fromkeys(MEMBERS, plan))
    assert dspy.ReAct("question -> answer", tools=[weather])(question="The weather in Rome?").answer == "sunny"
