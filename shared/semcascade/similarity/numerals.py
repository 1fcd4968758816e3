"""Numbers in words: English number words and fractions, Chinese numerals."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["SCALES", "spoken_number"]

_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_PARTS = {
    "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
}  # fmt: skip
_OPENS = re.compile(rf"[\s-]*(?:{'|'.join((*_SMALL, *_TENS, 'an?', 'and', 'half', 'minus', 'negative'))})")
_BETWEEN = re.compile(r"[\s-]+")
# "third" alone is an ordinal, "a quarter" a coin, too.
_SHARE = re.compile(
    rf"(?:(?:an?|one)[ -])?half|one[ -](?P<one>{'|'.join(_PARTS)})|"
    rf"(?P<many>two|three|four|five|six|seven|eight|nine)[ -](?P<parts>{'|'.join(_PARTS)})s"
)

_HAN = str.maketrans("〇兩两萬億", "零二二万亿")
_HAN_DIGITS = "零一二三四五六七八九"
_HAN_UNITS = {"十": 10, "百": 100, "千": 1_000}
_HAN_NUMBER = re.compile(rf"[{_HAN_DIGITS}十百千万亿]{{1,40}}")


def spoken_number(text: str) -> Fraction | None:
    """Return the number that a whole text in lower case says in words, or None.

    >>> spoken_number("two hundred and five") == spoken_number("二百零五") == 205
    True
    >>> spoken_number("three quarters"), spoken_number("two and a half"), spoken_number("third")
    (Fraction(3, 4), Fraction(5, 2), None)
    """
    if not text.isascii():
        return _in_chinese(text)
    if not _OPENS.match(text):
        return None
    if (share := _share(text)) is not None:
        return share
    whole, joined, rest = text.rpartition(" and ")
    if joined and (share := _share(rest)) is not None:
        number = _in_english(whole)
        return None if number is None or number < 1 else number + share
    return _in_english(text)


def _share(text: str) -> Fraction | None:
    found = _SHARE.fullmatch(text)
    if found is None:
        return None
    if found["one"]:
        return Fraction(1, _PARTS[found["one"]])
    return Fraction(_SMALL[found["many"]], _PARTS[found["parts"]]) if found["many"] else Fraction(1, 2)


def _in_english(text: str) -> Fraction | None:
    """Read English number words: every word must be one, in a sensible order."""
    parts = _BETWEEN.split(text)
    words = [word for word in parts if word and word != "and"]
    if not words or "and" in {parts[0], parts[-1]}:
        return None
    negative = words[0] in {"minus", "negative"}
    total = group = 0
    last = 10**15
    for position, word in enumerate(words[negative:]):
        if word in {"a", "an"} and position == 0 and len(words) > 1 and words[1] in SCALES:
            group = 1
        elif word in _SMALL and group % (100 if _SMALL[word] > 9 else 10) == 0 and group % 100 != 10:
            group += _SMALL[word]
        elif word in _TENS and group % 100 == 0:
            group += _TENS[word]
        elif word == "hundred" and 0 < group < 100:
            group *= 100
        elif word in SCALES and word != "hundred" and group > 0 and SCALES[word] < last:
            last = SCALES[word]
            total, group = total + group * last, 0
        else:
            return None
    if len(words) == negative:
        return None
    value = Fraction(total + group)
    return -value if negative else value


def _in_chinese(text: str) -> Fraction | None:
    """Read Chinese numerals as they are written in full; of four digits in a row, a year."""
    text = text.translate(_HAN)
    if not _HAN_NUMBER.fullmatch(text):
        return None
    if len(text) == 4 and text[0] != "零" and all(sign in _HAN_DIGITS for sign in text):
        return Fraction(int("".join(str(_HAN_DIGITS.index(sign)) for sign in text)))
    total = section = digit = 0
    for sign in text:
        if sign in _HAN_DIGITS:
            digit = _HAN_DIGITS.index(sign)
        elif sign in _HAN_UNITS:
            section, digit = section + (digit or 1) * _HAN_UNITS[sign], 0
        elif sign == "万":
            total, section, digit = total + (section + digit) * 10**4, 0, 0
        else:
            total, section, digit = (total + section + digit) * 10**8, 0, 0
    value = total + section + digit
    # What is said shorter than in full ("一百五") may mean another number.
    written = f"一{text}" if text.startswith("十") else text
    return Fraction(value) if value and written == _written(value) else None


def _written(value: int) -> str:
    """Write a number in Chinese, in full."""
    for scale, sign in ((10**8, "亿"), (10**4, "万"), (1_000, "千"), (100, "百"), (10, "十")):
        if value >= scale:
            many, rest = divmod(value, scale)
            gap = "零" if 0 < rest < scale // 10 else ""
            return _written(many) + sign + gap + (_written(rest) if rest else "")
    return _HAN_DIGITS[value]
