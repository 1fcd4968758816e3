"""Sentences of any script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from semcascade.similarity.tokens import tokenize

__all__ = ["evenly", "sentence_words", "sentences"]

T = TypeVar("T")

_CLOSING = "\"'”’»)\\]*_"
_END = re.compile(rf"[。！？][」』”’]{{0,5}}|[.!?؟।…][.!?…]{{0,5}}[{_CLOSING}]{{0,5}}(?=\s|$)|\n+")
# A full stop behind these ends no sentence: initials, numbers of a list, common abbreviations. The closing signs are
# counted, so that no run of them takes time out of proportion.
_ABBREVIATED = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|\d{1,3}|Dr|Mr|Mrs|Ms|Prof|St|vs|etc|cf|No|Fig|Jr|Sr|approx|e\.g|i\.e|a\.m|p\.m|U\.S|z\.B)$"
)
_NEAR = 8


def sentences(text: str) -> list[str]:
    r"""Split a text into its sentences; lines end sentences too.

    >>> sentences("Dr. No lives. He came in 1962!\n東京です。大阪です。")
    ['Dr. No lives.', 'He came in 1962!', '東京です。', '大阪です。']
    """
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        before = text[max(start, end.start() - _NEAR) : end.start()]
        if end.group() == "." and _ABBREVIATED.search(before):
            continue
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    return [sentence for sentence in map(str.strip, found) if sentence]


def evenly(items: Sequence[T], most: int) -> list[T]:
    """Return so many items at most, evenly spread, the first and the last among them.

    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def sentence_words(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of each sentence, in lower case.

    >>> sentence_words("It rains. Stay in!")
    (('it', 'rains'), ('stay', 'in'))
    """
    return tuple(tuple(tokenize(sentence)) for sentence in sentences(text))
