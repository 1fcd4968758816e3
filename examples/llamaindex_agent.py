"""A LlamaIndex FunctionAgent, streamed: its events tell the tools' results, and how the cascade decided each turn.

    export OPENAI_API_KEY=... DEEPSEEK_API_KEY=... MISTRAL_API_KEY=...
    python examples/llamaindex_agent.py "Is it warmer in Rome or in Oslo?"

Other models do as well, of one provider or of several: change the names below. README.md shows what is printed.
"""

from __future__ import annotations

import asyncio
import sys

from llama_index.core.agent.workflow import AgentOutput, AgentStream, FunctionAgent, ToolCallResult

from llamaindex_semcascade import SemCascade

DEGREES = {"Rome": 24, "Oslo": 9, "Lima": 19}


def temperature(city: str) -> str:
    """Tell the temperature in a city."""
    return f"{DEGREES[city]} °C in {city}" if city in DEGREES else f"nothing is known of {city}"


async def main(question: str) -> None:
    """Ask, and print what the agent does while it does it."""
    llm = SemCascade(
        ensemble=["openai/gpt-5-nano", "deepseek/deepseek-chat", "mistral/mistral-small-latest"],
        target="openai/gpt-5",
    )
    running = FunctionAgent(tools=[temperature], llm=llm).run(question)
    async for event in running.stream_events():
        if isinstance(event, AgentStream):
            print(event.delta, end="", flush=True)
        elif isinstance(event, ToolCallResult):
            print(f"  tool: {event.tool_output}")
        elif isinstance(event, AgentOutput):
            calls = ", ".join(f"{call.tool_name}({call.tool_kwargs.get('city')})" for call in event.tool_calls)
            print(f"{calls}\n  why: {event.raw['semcascade']['reason']}")
    await running
    spent = llm.cascade.ledger.summary()
    print(f"{spent.queries} turns, {spent.deferral_rate:.0%} of them went to the large model")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "Is it warmer in Rome or in Oslo?"))
