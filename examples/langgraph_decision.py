"""A LangGraph graph with the cascade's decision in its state: deferred answers are looked at twice.

    export OPENAI_API_KEY=... DEEPSEEK_API_KEY=... MISTRAL_API_KEY=...
    python examples/langgraph_decision.py "What is the capital of Japan?"

Other models do as well, of one provider or of several: change the names below. README.md shows what is printed.
"""

from __future__ import annotations

import sys
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from langchain_semcascade import ChatSemCascade


class State(TypedDict, total=False):
    """What the nodes of the graph share."""

    question: str
    answer: str
    decision: dict[str, Any]
    checked: str


def graph(model: ChatSemCascade) -> Any:
    """Build the graph: answer, and where the cheap models scattered, check."""

    def answer(state: State) -> State:
        message = model.invoke(state["question"])
        return {"answer": message.text, "decision": message.response_metadata["semcascade"]}

    def check(state: State) -> State:
        prompt = f"Question: {state['question']}\nAnswer: {state['answer']}\nIs that right? Say yes or no, and why."
        return {"checked": model.invoke(prompt, model="openai/gpt-5").text}

    def next_node(state: State) -> str:
        return END if state["decision"]["accepted"] else "check"

    builder = StateGraph(State)
    builder.add_node("answer", answer)
    builder.add_node("check", check)
    builder.add_edge(START, "answer")
    builder.add_conditional_edges("answer", next_node, [END, "check"])
    builder.add_edge("check", END)
    return builder.compile()


def main(questions: list[str]) -> None:
    """Ask each question, and print what the state came to."""
    model = ChatSemCascade(
        ensemble=["openai/gpt-5-nano", "deepseek/deepseek-chat", "mistral/mistral-small-latest"],
        target="openai/gpt-5",
    )
    compiled = graph(model)
    for question in questions:
        state = compiled.invoke({"question": question})
        print(f"{question} {state['answer']}")
        print(f"  why: {state['decision']['reason']}")
        if "checked" in state:
            print(f"  checked: {state['checked']}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["What is the capital of Japan?", "How many sheep are behind the hill?"])
