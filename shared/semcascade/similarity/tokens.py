"""Words of any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["tokenize"]

# Scripts that are written without spaces; each character is a token, with the marks that belong to it.
_UNSPACED = (
    r"[\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e50-\u0e59\u0e81-\u0eb0\u0eb2\u0eb3\u0ec0-\u0ec6\u1000-\u102a\u103f\u1780-\u17b3"
    r"\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30fe\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_UNSPACED_MARKS = (
    r"[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
    r"\ufe00-\ufe0f]"
)
# Marks that stand inside words of Latin, Cyrillic, Hebrew, Arabic and the Indic scripts.
_MARKS = (
    r"[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    r"\u06df-\u06e8\u0900-\u0903\u093a-\u0963\u0981-\u09cd\u0a01-\u0a51\u0a81-\u0acd\u0b01-\u0b57\u0b82-\u0bcd\u0c00-\u0c56"
    r"\u0c81-\u0cd6\u0d00-\u0d57\u0d81-\u0df3\u200c\u200d]"
)
_SYMBOL = r"[\u2190-\u2bff\U0001f000-\U0001faff][\ufe0f\u200d\u2190-\u2bff\U0001f000-\U0001faff]*"
_TOKEN = re.compile(
    rf"{_UNSPACED}{_UNSPACED_MARKS}*|(?:(?!{_UNSPACED})[^\W_])+(?:{_MARKS}+(?:(?!{_UNSPACED})[^\W_])*)*|{_SYMBOL}"
)
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_PIECE = 10_000


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words; scripts without spaces by character, symbols and emoji as words.

    A text of nothing but punctuation gives its characters.

    >>> tokenize("Don't panic!"), tokenize("東京です"), tokenize("👍"), tokenize("?!")
    (['don', 't', 'panic'], ['東', '京', 'で', 'す'], ['👍'], ['?', '!'])
    """
    tokens = [token for piece in _pieces(text) for token in _words(piece)]
    return tokens or [character for character in text if not character.isspace()]


def _pieces(text: str) -> Iterator[str]:
    """Cut a long text at spaces: while a regular expression runs, no other thread does."""
    start = 0
    while len(text) - start > _PIECE and (end := text.find(" ", start + _PIECE)) >= 0:
        yield text[start:end]
        start = end
    yield text[start:]


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).lower()
    if len(text) > 2 * _PIECE:  # without spaces; between two finds others may run
        return [found.group() for found in _TOKEN.finditer(text)]
    return _TOKEN.findall(text)
