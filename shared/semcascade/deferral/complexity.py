"""How much a query asks for, told from the query alone: one number from 0 to 1, before any answer.

That a combined measure of the query can send it to the model level that fits is Khrapko & Volokyta (2026); only
their abstract is public, so the parts and their weights here are this library's own. They were set by hand, not
fitted to any data; what they are worth stands in the README. What a query's likes have come to in the past says more:
see `semcascade.deferral.router`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MAX_CHARACTERS", "PARTS", "Complexity", "query_complexity"]

MAX_CHARACTERS = 20_000
"""How much of a query is looked at: its beginning. The length is that of all of it."""

PARTS: Mapping[str, float] = {
    "length": 0.6,
    "vocabulary": 0.4,
    "asks": 0.4,
    "lines": 0.3,
    "figures": 0.3,
    "maths": 0.5,
    "code": 0.5,
    "words": 0.2,
    "script": 0.2,
    "tools": 0.4,
}
"""What is looked at, each with the complexity that it makes by itself where there is as much of it as can be.

- `length`: characters, half of it at 1,000;
- `vocabulary`: entropy of the words in bits, all of it at 10 bits, about a thousand words of equal frequency;
- `asks`: question marks and items of lists, half of it at 3;
- `lines`: line breaks, half of it at 20;
- `figures`: numbers, half of it at 5;
- `maths`: formula marks and operators, half of it at 3;
- `code`: marks of program text, half of it at 5;
- `words`: mean length of words, from 4 characters (none of it) to 8 (all);
- `script`: share of letters beyond the Latin ones;
- `tools`: tools that may be called, half of it at 4.
"""

_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\W\d_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
"""A word, or one character of a script without spaces."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ASK = re.compile(r"[?？؟]|^[ \t]*(?:[-*•]|\(?(?:\d{1,2}|[a-z])[.)])[ \t]", re.MULTILINE)
_MATHS = re.compile(
    r"\\[a-z]+\b|[∑∫√∞≤≥≠±×÷∂∇∈∀∃πθλ]|\d ?[-+*/^=<>] ?\d|[a-z] ?[\^=] ?[-\d(a-z]",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"```|[{};][ \t]*$|^[ \t]*(?:def|class|import|from|return|function|const|var|let|public|SELECT|#include)\b"
    r"|\w\(\)|\w\(\w{1,30}\)|==|!=|=>|->|&&|\|\|",
    re.MULTILINE,
)
_LATIN_ENDS = 0x0250


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a query asks for.

    Attributes:
        value: The combined metric, 0 to 1.
        parts: How much there is of each of `PARTS`, 0 to 1.
    """

    value: float
    parts: Mapping[str, float]

    @property
    def reason(self) -> str:
        """The metric and what makes most of it, in one clause."""
        weighed = sorted(self.parts, key=lambda name: -PARTS[name] * self.parts[name])
        made_by = ", ".join(f"{name} {self.parts[name]:.2f}" for name in weighed[:3] if self.parts[name] > 0)
        return f"query complexity {self.value:.2f}" + (f" ({made_by})" if made_by else "")


def query_complexity(text: str, *, tools: int = 0) -> Complexity:
    """Return how much a query asks for.

    Each part lies in [0, 1] and is weighed by `PARTS`; the metric is 1 - Π (1 - weight·part): each part adds to it,
    none takes away, and many together come close to 1.

    Args:
        text: The question.
        tools: How many tools may be called.

    >>> round(query_complexity("What is the capital of Norway?").value, 2)
    0.21
    >>> query_complexity("").value
    0.0
    """
    shown = text[:MAX_CHARACTERS]
    words = [word.casefold() for word in _WORD.findall(shown)]
    letters = sum(len(word) for word in words)
    parts = {
        "length": _half_at(1_000, len(text)),
        "vocabulary": min(1.0, _entropy(words) / 10),
        "asks": _half_at(3, len(_ASK.findall(shown))),
        "lines": _half_at(20, shown.count("\n")),
        "figures": _half_at(5, len(_NUMBER.findall(shown))),
        "maths": _half_at(3, len(_MATHS.findall(shown))),
        "code": _half_at(5, len(_CODE.findall(shown))),
        "words": min(1.0, max(0.0, (letters / len(words) - 4) / 4)) if words else 0.0,
        "script": sum(ord(char) >= _LATIN_ENDS for word in words for char in word) / letters if letters else 0.0,
        "tools": _half_at(4, max(0, tools)),
    }
    simple = math.prod(1 - PARTS[name] * part for name, part in parts.items())
    return Complexity(min(1.0, max(0.0, 1 - simple)), parts)


def _half_at(middle: float, count: float) -> float:
    return count / (count + middle)


def _entropy(words: list[str]) -> float:
    """Return the entropy of the words' frequencies in bits."""
    n = len(words)
    return -sum(count / n * math.log2(count / n) for count in Counter(words).values()) if n else 0.0
