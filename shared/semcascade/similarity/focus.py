"""What a brief answer says beyond the question: the words on which two answers can differ."""

from __future__ import annotations

import re
from collections.abc import Collection

from semcascade.similarity.canonical import canonical, strip_markup
from semcascade.similarity.formulas import formula
from semcascade.similarity.tokens import tokenize

__all__ = ["CONFLICTING", "CONTAINED", "NEGATIONS", "asked_words", "focus", "focus_alike"]

MAX_TEXT_WORDS, MAX_TEXT_CHARACTERS, MAX_FOCUS_WORDS = 30, 600, 6
"""A longer answer, or one with more to say, is compared by its wording."""

MAX_QUESTION = 2_000
"""How much of a question's end is searched for what it offers to choose from."""

CONTAINED, CONFLICTING = 0.7, 0.4
"""How alike two answers are of which one only says more; the weight of what is shared where both say something else."""

NEGATIONS = frozenset(
    {
        "no", "not", "never", "nor", "neither", "none", "without", "cannot", "isn", "isnt", "wasn", "wasnt", "aren",
        "arent", "weren", "werent", "don", "dont", "doesn", "doesnt", "didn", "didnt", "won", "wont", "wouldn",
        "wouldnt", "nicht", "kein", "keine", "nein", "pas", "jamais", "nunca", "nie", "non", "não", "не", "нет",
        "不", "没",
    }
)  # fmt: skip
"""Words that turn a statement round, "don't" in the ways that it is cut into words."""

_POLAR = NEGATIONS | {"yes", "true", "false"}
_OR = re.compile(r"(?<![^\W\d_])([^\W\d_]+)[\"'*)]*,?\s+(?:or|oder|ou|o)\s+[\"'*(]*([^\W\d_]+)", re.IGNORECASE)
_DENIED_ELSE = re.compile(r",\s+(?:and\s+)?not\s+[^,.;!?]+", re.IGNORECASE)

_OPENING = {"[": "]", "(": ")", "{": "}", "<": ">"}

_EMPTY_WORDS = frozenset(
    {
        "a", "an", "the", "is", "are", "was", "were", "be", "been", "it", "its", "this", "that", "these", "those",
        "of", "in", "on", "at", "to", "by", "for", "from", "with", "as", "and", "so", "there", "here", "he", "she",
        "they", "his", "her", "their", "has", "have", "had", "will", "would", "which", "who", "what", "when", "where",
        "how", "known", "called", "named", "also", "s", "der", "die", "das", "ist", "le", "la", "les", "est", "el",
        "sure", "certainly", "course", "absolutely", "okay", "ok", "well",
        "los", "las", "es", "un", "une", "uno", "una", "ein", "eine", "de", "du", "del",
    }
)  # fmt: skip


def asked_words(question: str) -> frozenset[str]:
    """Return the words of a question that an answer may repeat without saying anything.

    What the question offers to choose from, "X or Y", is not among them, nor are yes, no, not, true and false.

    >>> sorted(asked_words("Is it warm or cold?"))
    ['is', 'it', 'or']
    """
    offered = {word for pair in _OR.findall(question[-MAX_QUESTION:]) for word in tokenize(" ".join(pair))}
    return frozenset(tokenize(question)) - _POLAR - offered


def focus(text: str, asked: Collection[str]) -> frozenset[str] | None:
    """Return the words of a brief answer that are neither the question's nor empty; None for other answers.

    An answer that only repeats words of the question keeps them, and every answer its yes, no and not. A list,
    another bracketed value or a formula has no such words: there order, repetition and signs count too.

    "X, not Y" says X.

    >>> asked = asked_words("What is the capital of Japan?")
    >>> focus("The capital of Japan is Tokyo.", asked)
    frozenset({'tokyo'})
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        return None
    words = tokenize(canonical(_DENIED_ELSE.sub("", text)).text)
    if len(words) > MAX_TEXT_WORDS or _is_value(text, words):
        return None
    said = frozenset(words)
    news = said - _EMPTY_WORDS - frozenset(asked) or said - _EMPTY_WORDS or said
    return news if len(news) <= MAX_FOCUS_WORDS else None


def _is_value(text: str, words: list[str]) -> bool:
    bare = strip_markup(text)
    bracketed = bare[:1] in _OPENING and bare[-1:] == _OPENING[bare[0]]
    return (
        bracketed
        or formula(bare.casefold()) is not None
        or (len(words) > 1 and all(word.isdigit() or (word.isascii() and len(word) == 1) for word in words))
    )


def focus_alike(first: frozenset[str], second: frozenset[str]) -> float:
    """Return how alike two sets of words are: 1 for equal ones, and little where each has words of its own.

    More words say more, unless a negation is among them: then they may say the contrary.

    >>> focus_alike(frozenset({"tchaikovsky"}), frozenset({"pyotr", "tchaikovsky"}))
    0.7
    >>> focus_alike(frozenset({"george", "bush"}), frozenset({"george", "washington"}))
    0.2
    >>> focus_alike(frozenset({"paris"}), frozenset({"not", "paris"})) < CONTAINED
    True
    """
    if first == second:
        return 1.0
    if (first <= second or second <= first) and not (first ^ second) & NEGATIONS:
        return CONTAINED
    return CONFLICTING * 2 * len(first & second) / (len(first) + len(second))
