"""What an answer is: a tool call, JSON, code, a number, a short or a long text, or nothing of use."""

from __future__ import annotations

import functools
import re
from enum import StrEnum

from semcascade.messages import Candidate
from semcascade.similarity.canonical import parse_number, strip_markup
from semcascade.similarity.extract import as_json, final_answer, is_code, without_thoughts
from semcascade.similarity.refusals import is_refusal

__all__ = ["Kind", "classify", "is_definite"]


class Kind(StrEnum):
    """What an answer is. The first three are degenerate: they never agree with anything."""

    EMPTY = "empty"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    TOOL_CALLS = "tool calls"
    JSON = "json"
    CODE = "code"
    NUMBER = "number"
    SHORT = "short"
    LONG = "long"

    @property
    def degenerate(self) -> bool:
        """Whether such an answer says nothing that another could agree with."""
        return self in _DEGENERATE


_DEGENERATE = frozenset({Kind.EMPTY, Kind.REFUSAL, Kind.TRUNCATED})

SHORT_WORDS, SHORT_CHARACTERS, SHORT_UNSPACED = 5, 60, 12
"""A short answer is one line within these; the last is for scripts without spaces."""

MARKED_CHARACTERS = 200
"""A short answer with its markup is no longer than this."""

_CUT_OFF = frozenset(
    {
        "length", "max_tokens", "model_length", "max_output_tokens", "max_completion_tokens", "incomplete",
        "model_context_window_exceeded",
    }
)  # fmt: skip
_FILTERED = frozenset(
    {"content_filter", "safety", "refusal", "recitation", "prohibited_content", "blocklist", "spii", "blocked"}
)
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters, by Unicode, that show nothing."""

_NOTHING_FENCED = re.compile(r"\s*```(?:[ \t]*\w{1,20})?\s*(?:```\s*)?|\s*\*{2,}\s*")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def classify(answer: Candidate) -> Kind:
    """Say what an answer is.

    >>> classify(Candidate("m", text="42")), classify(Candidate("m", text="I'm sorry, but I can't help with that."))
    (<Kind.NUMBER: 'number'>, <Kind.REFUSAL: 'refusal'>)
    """
    reason = (answer.finish_reason or "").lower()
    if reason in _CUT_OFF:
        return Kind.TRUNCATED
    if reason in _FILTERED:
        return Kind.REFUSAL
    if answer.failure is not None:
        return Kind.EMPTY
    if answer.tool_calls:
        return Kind.TOOL_CALLS
    return _classify_text(without_thoughts(answer.text))


def is_definite(answer: Candidate, kind: Kind) -> bool:
    """Say whether an answer of a kind states something definite: a few words, data, or a final answer after its text.

    >>> [is_definite(Candidate("m", text=text), Kind.LONG) for text in ("It depends.", "7 * 6, so the answer is 42.")]
    [False, True]
    """
    if kind in {Kind.TOOL_CALLS, Kind.JSON, Kind.NUMBER, Kind.SHORT}:
        return True
    return kind is Kind.LONG and final_answer(without_thoughts(answer.text)) is not None


@functools.lru_cache(maxsize=16)  # one answer is looked at from several sides
def _classify_text(text: str) -> Kind:
    if not any(_shows(character) for character in text) or _NOTHING_FENCED.fullmatch(text):
        return Kind.EMPTY
    if is_refusal(text):
        return Kind.REFUSAL
    if as_json(text) is not None:
        return Kind.JSON
    if is_code(text):
        return Kind.CODE
    plain = strip_markup(text) if len(text) <= MARKED_CHARACTERS else text
    if len(plain) <= SHORT_CHARACTERS and parse_number(plain) is not None:
        return Kind.NUMBER
    return Kind.SHORT if _is_short(plain) else Kind.LONG


def _shows(character: str) -> bool:
    return character.isprintable() and not character.isspace() and character not in _INVISIBLE


def _is_short(text: str) -> bool:
    if "\n" in text or len(text) > SHORT_CHARACTERS:
        return False
    return len(text.split()) <= SHORT_WORDS and len(_UNSPACED.findall(text)) <= SHORT_UNSPACED
