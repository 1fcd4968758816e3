"""Rows as models might have answered them, some of them hostile: for tests that need data to look at."""

from __future__ import annotations

import random

from semcascade import Candidate
from semcascade.evaluation import Row

HOSTILE = (
    '</script><script>window.stolen = 1</script><img src="http://127.0.0.1:9/x" onerror="window.stolen=2">\u2028{{7*7}}'
)
MEMBERS = ("small", "other", "third")


def question(index: int, *, hostile: bool = False, seed: int = 0) -> Row:
    """Return a sum that members get right the more often, the easier it is, or fall into one trap together."""
    draw = random.Random(f"{seed}:{index}")
    right, easy = str(draw.randrange(10, 99)), draw.random()
    trap = str(draw.randrange(10, 99)) if draw.random() < 0.08 else None
    said = {
        name: trap or right if draw.random() < 0.3 + 0.7 * easy else str(draw.randrange(10, 99)) for name in MEMBERS
    }
    said["large"] = right if draw.random() < 0.97 else "0"
    marked = f" {HOSTILE}" if hostile else ""
    return Row(
        id=f"q{index}{marked}",
        task=f"{'easy' if easy > 0.5 else 'hard'} sums{marked}",
        messages=({"role": "user", "content": f"What is the sum of question {index}?{marked}"},),
        tools=(),
        answers={
            name: Candidate(name, f"The answer is {text}.{marked}", finish_reason="stop") for name, text in said.items()
        },
        scores={name: float(text == right) for name, text in said.items()},
        references=(f"{right}{marked}",),
    )


def questions(count: int = 200, *, hostile: bool = False, seed: int = 0) -> list[Row]:
    """Return rows; the same seed makes the same ones."""
    return [question(index, hostile=hostile, seed=seed) for index in range(count)]
