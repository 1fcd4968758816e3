"""What an answer is: a tool call, JSON, code, a number, a short or a long text, or nothing of use."""

from __future__ import annotations

import re
from enum import StrEnum

from semcascade.messages import Candidate
from semcascade.similarity.canonical import parse_number, strip_markup
from semcascade.similarity.extract import as_json, is_code, without_thoughts

__all__ = ["Kind", "classify", "is_refusal"]


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
        return self in {Kind.EMPTY, Kind.REFUSAL, Kind.TRUNCATED}


SHORT_WORDS, SHORT_CHARACTERS, SHORT_UNSPACED = 5, 60, 12
"""A short answer is one line within these; the last is for scripts without spaces."""

MARKED_CHARACTERS = 200
"""A short answer with its markup is no longer than this."""

REFUSAL_LENGTH = 600
"""A longer answer says something, however it begins."""

_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
_FILTERED = frozenset({"content_filter", "safety", "refusal"})

_CANNOT = r"(?:can(?:'t|not| not)|could(?:n't| not)|am (?:not able|unable)|'m (?:not able|unable)|won't|will not)"
_DENIED = (
    r"(?:help|assist|provide|answer|fulfil|comply|do that|do this|create|generate|write|discuss|engage|share|"
    r"continue|respond|support|complete|process|access|browse|open|view|see|offer|give|participate|produce)"
)
_LACKS = rf"(?:{_CANNOT}|do not have|don't have|do not know|don't know|must decline)"
_SORRY = r"(?:i(?:'m| am) (?:very |really |so |truly )?sorry|sorry|my apologies|i apologi[sz]e|unfortunately)"
_REFUSALS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_SORRY}[,.;: ]+(?:but |that )?(?:as an ai[^.]{{0,60}}?, ?)?i ?{_CANNOT}\b",
        rf"{_SORRY}[,.;: ]+(?:but )?i (?:(?:do not|don't) (?:have|know)|have to decline|must decline)\b",
        rf"i ?{_CANNOT}(?: to)? {_DENIED}\b",
        rf"as an? (?:ai|artificial intelligence|assistant|(?:large )?language model)\b[^.]{{0,80}}?,? i ?{_LACKS}\b",
        r"i(?:'m| am) (?:just |only )?an ai\b[^.]{0,80}?\b(?:can't|cannot|unable|not able|do not have|don't have)\b",
        r"i (?:must|have to) (?:respectfully )?(?:decline|refuse)\b",
        r"(?:es tut mir leid|tut mir leid|entschuldigung|leider)\b[^.]{0,30}?\bkann ich\b[^.]{0,80}?\bnicht\b",
        r"(?:es tut mir leid|tut mir leid)[, ]+(?:aber )?ich kann\b[^.]{0,80}?\bnicht\b",
        r"(?:je suis |)(?:désolée?|navrée?)\b[^.]{0,30}?\bje ne (?:peux|suis|sais) pas\b",
        r"(?:lo siento|lo lamento|disculpa)\b[^.]{0,30}?\bno (?:puedo|estoy)\b",
        r"(?:mi dispiace|spiacente)\b[^.]{0,30}?\bnon (?:posso|sono in grado)\b",
        r"(?:desculpe|sinto muito|lamento)\b[^.]{0,30}?\bnão (?:posso|consigo)\b",
        r"(?:het spijt me|sorry)\b[^.]{0,30}?\bik kan\b[^.]{0,80}?\bniet\b",
        r"(?:przykro mi|przepraszam)\b[^.]{0,30}?\bnie mogę\b",
        r"(?:извините|простите|к сожалению)\b[^.]{0,30}?\bя не могу\b",
        r"(?:很?抱歉|对不起|對不起|不好意思)[^。]{0,12}?(?:无法|不能|無法|没办法)",
        r"(?:作为|作為)[^。]{0,20}?(?:ai|人工智能|语言模型|語言模型)[^。]{0,12}?(?:无法|不能|無法)",
        r"(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい)[^。]{0,40}?(?:できません|できかねます|お答えできません)",
        r"(?:죄송합니다|죄송하지만)[., ]*[^.]{0,40}?수 없",
    )
)
_ABSTAINS = re.compile(
    r"(?:(?:sorry|i'm sorry)[, ]+(?:but )?)?i (?:do not|don't) (?:really )?know(?: the answer(?: to (?:that|this)"
    r"(?: question)?)?)?|i(?:'m| am) not (?:really )?sure|ich weiß (?:es|das)? ?nicht|je ne sais pas|"
    r"no lo sé|我不知道|わかりません"
)
_NEVERTHELESS = re.compile(
    r"\b(?:however|nevertheless|that said|instead|but here|here (?:is|are)|here's|based on|"
    r"in general|generally)\b|```|^\s*(?:[-*]|\d+\.)\s",
    re.MULTILINE,
)
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


def _classify_text(text: str) -> Kind:
    if not any(character.isprintable() and not character.isspace() for character in text):
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


def _is_short(text: str) -> bool:
    if "\n" in text or len(text) > SHORT_CHARACTERS:
        return False
    return len(text.split()) <= SHORT_WORDS and len(_UNSPACED.findall(text)) <= SHORT_UNSPACED


def is_refusal(text: str) -> bool:
    """Say whether an answer only declines to answer. Doubtful ones count as answers.

    >>> is_refusal("As an AI language model, I don't have access to live data.")
    True
    >>> is_refusal("I'm sorry to hear that. Here are three things that help: ...")
    False
    """
    opening = text[: REFUSAL_LENGTH + 1].strip().replace("’", "'").lower().lstrip("*_#>\"' ")
    if len(opening) >= REFUSAL_LENGTH:
        return False
    if _ABSTAINS.fullmatch(opening.rstrip(" .!。*_\"'")):
        return True
    if not any(pattern.match(opening) for pattern in _REFUSALS):
        return False
    # What follows the refusal's own sentence may still be an answer.
    rest = re.split(r"[.!。]\s*|[,;:] (?=but|however)|\n", opening, maxsplit=1)[1:]
    more = rest[0] if rest else ""
    return not (len(more) > 120 and _NEVERTHELESS.search(more))
