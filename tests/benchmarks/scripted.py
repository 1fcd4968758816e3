"""Five answers of no latency, for benchmarks of what the engine itself takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from semcascade import Candidate, Cascade
from semcascade.config import Member
from semcascade.messages import Request, Usage
from semcascade.transport.base import Delta, Transport

QUESTION = "What is the capital of France?"
FIVE = (
    "It is Paris, the capital of France.",
    "Paris is the capital of France.",
    "The capital of France is Paris.",
    "Paris, France's capital.",
    "The capital is Paris.",
)


class Instant(Transport):
    """Answers at once, and keeps nothing."""

    def __init__(self, texts: Sequence[str] = FIVE) -> None:
        usage = Usage(10, 10)
        self._answers = {
            f"m{index}": Candidate(f"m{index}", text=text, finish_reason="stop", usage=usage, cost=0.0)
            for index, text in enumerate((*texts, "target"))
        }

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        return self._answers[member.name]

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        yield Delta(text=self._answers[member.name].text)


def instant(transport: Transport | None = None, **given: Any) -> Cascade:
    """Return a cascade of five members and a target that answer at once."""
    members = [f"m{index}" for index in range(len(FIVE))]
    settings = {"similarity": "rouge_l", "threshold": 0.3, **given}
    return Cascade(ensemble=members, target=f"m{len(FIVE)}", transport=transport or Instant(), **settings)
