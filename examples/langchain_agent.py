"""A LangChain agent with tools: every turn is decided for itself, calls are accepted where the cheap models agree.

    export OPENAI_API_KEY=... DEEPSEEK_API_KEY=... MISTRAL_API_KEY=...
    python examples/langchain_agent.py "Is it warmer in Rome or in Oslo?"

Other models do as well, of one provider or of several: change the names below. README.md shows what is printed.
"""

from __future__ import annotations

import sys

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool

from langchain_semcascade import ChatSemCascade

DEGREES = {"Rome": 24, "Oslo": 9, "Lima": 19}


@tool
def temperature(city: str) -> str:
    """Tell the temperature in a city."""
    return f"{DEGREES[city]} °C in {city}" if city in DEGREES else f"nothing is known of {city}"


def show(message: BaseMessage) -> None:
    """Print one step, and why the cascade took it."""
    if not isinstance(message, AIMessage):
        print(f"  tool: {message.text}")
        return
    calls = ", ".join(f"{call['name']}({call['args'].get('city')})" for call in message.tool_calls)
    print(f"model: {calls or message.text}")
    print(f"  why: {message.response_metadata['semcascade']['reason']}")


def main(question: str) -> None:
    """Ask, and print each step as it comes."""
    model = ChatSemCascade(
        ensemble=["openai/gpt-5-nano", "deepseek/deepseek-chat", "mistral/mistral-small-latest"],
        target="openai/gpt-5",
    )
    agent = create_agent(model, tools=[temperature])
    for step in agent.stream({"messages": [("user", question)]}, stream_mode="updates"):
        for update in step.values():
            for message in update["messages"]:
                show(message)
    spent = model.cascade.ledger.summary()
    print(f"{spent.queries} turns, {spent.deferral_rate:.0%} of them went to the large model")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "Is it warmer in Rome or in Oslo?")
