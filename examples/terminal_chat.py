"""A chat in the terminal, streamed: an accepted answer comes at once, a deferred one as the large model writes it.

    python examples/terminal_chat.py --preset local        # local models: no key
    export OPENAI_API_KEY=... DEEPSEEK_API_KEY=... MISTRAL_API_KEY=...
    python examples/terminal_chat.py

An empty line or the end of input ends it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from semcascade import Cascade, Delta, Result


def printable(text: str) -> str:
    """Leave out what would command the terminal: what a model writes is not to be trusted."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def questions() -> Iterator[str]:
    """Yield what the user asks, until there is nothing."""
    while True:
        try:
            asked = input("you: ").strip()
        except EOFError:
            print()
            return
        if not asked:
            return
        yield asked


def main(arguments: list[str] | None = None) -> None:
    """Chat; the whole conversation is sent with each question."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", help="a ready-made cascade, e.g. local")
    given = parser.parse_args(arguments)
    members = ["openai/gpt-5-nano", "deepseek/deepseek-chat", "mistral/mistral-small-latest"]
    cascade = Cascade.from_preset(given.preset) if given.preset else Cascade(ensemble=members, target="openai/gpt-5")
    with cascade as chat:
        history: list[dict[str, str]] = []
        for asked in questions():
            history.append({"role": "user", "content": asked})
            print("model: ", end="", flush=True)
            for piece in chat.stream(history):
                if isinstance(piece, Delta):
                    print(printable(piece.text), end="", flush=True)
                elif isinstance(piece, Result):
                    history.append({"role": "assistant", "content": piece.text})
                    print(f"\n  why: {piece.decision.reason}")
        print(chat.ledger.summary())


if __name__ == "__main__":
    main()
