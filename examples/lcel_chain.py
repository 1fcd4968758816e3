"""A LangChain chain on a cascade: three cheap models answer, a large one is asked only where they scatter.

Run it: python examples/lcel_chain.py
"""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_semcascade import ChatSemCascade
from semcascade import Request, ScriptedTransport


def say(capital: str, guess: str) -> Callable[[Request], str]:
    """Return a member that knows capitals of countries but has to guess at puzzles."""

    def answer(request: Request) -> str:
        return capital if "capital" in str(request.messages[-1]["content"]) else guess

    return answer


# Stands in for the providers, so that this runs without keys and network.
offline = ScriptedTransport(
    {
        "openai/gpt-5-nano": say("Tokyo", "12"),
        "gemini/gemini-2.5-flash": say("Tokyo.", "7"),
        "anthropic/claude-haiku-4-5": say("**Tokyo**", "9"),
        "openai/gpt-5": say("Tokyo", "23"),
    }
)

model = ChatSemCascade(
    ensemble=["openai/gpt-5-nano", "gemini/gemini-2.5-flash", "anthropic/claude-haiku-4-5"],
    target="openai/gpt-5",
    threshold=0.6,
    transport=offline,  # remove this line, set the providers' keys in the environment, and the real models answer
)
prompt = ChatPromptTemplate.from_messages([("system", "Answer in one word."), ("human", "{question}")])
chain = prompt | model | StrOutputParser()


def main() -> None:
    """Ask two questions: one that the cheap models agree on, and one that they do not."""
    easy, hard = "What is the capital of Japan?", "How many sheep are behind the hill?"
    print(easy, "->", chain.invoke({"question": easy}))
    print(hard, "-> ", end="")
    for piece in chain.stream({"question": hard}):
        print(piece, end="", flush=True)
    print()

    decision = (prompt | model).invoke({"question": hard}).response_metadata["semcascade"]
    print("why:", decision["reason"])
    for candidate in decision["candidates"]:
        print(f"  {candidate['tier']:9} {candidate['member']:28} {candidate['text']}")
    print(f"so far: {model.cascade.ledger.summary().deferral_rate:.0%} of the questions went to the large model")


if __name__ == "__main__":
    main()
