"""Numbers, quantities and dates as people and models write them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from semcascade.similarity.formulas import raised

__all__ = ["Quantity", "parse_date", "parse_number", "parse_quantity"]

_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MONEY_SCALES = {"k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9}

_DIGITS = r"(?:\d{1,3}(?:[,\u00a0\u2009\u202f' ]\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_DIGIT = re.compile("[0-9]")
_OPENS_IN_WORDS = re.compile(rf"[\s-]*(?:{'|'.join((*_SMALL, *_TENS, 'an?', 'and', 'minus', 'negative'))})")
_BETWEEN_WORDS = re.compile(r"[\s-]+")
_PLAIN = re.compile(
    rf"([-+]?)({_DIGITS})(?:e([-+]?\d{{1,3}})|\s?(?:[x*×·]|\\times|\\cdot)\s?10\^?\{{?([-+]?\d{{1,3}})\}}?)?"
)
_POWER = re.compile(r"([-+]?)(\d{1,4})\^(?:\{([-+]?\d{1,2})\}|([-+]?\d{1,2}))")
_FRACTION = re.compile(rf"([-+]?)(?:(\d+)\s+)?({_DIGITS})\s?/\s?({_DIGITS})")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_CURRENCY = {"$": "dollar", "us$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
_QUANTITY = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<currency>us\$|[$€£¥₹])?\s?(?P<number>.*?\d[\d.,]*)"
    rf"(?:\s?(?P<scale>{'|'.join(_SCALES)})s?)?(?:\s?(?P<unit>[%°€$£¥]?[^\W\d_]*(?:[ /][^\W\d_]+){{0,2}}(?:\^[23])?))?"
)
_UNITS = {
    alias: unit
    for unit, aliases in {
        "%": "percent pct", "dollar": "$ usd dollars", "euro": "€ eur euros", "pound": "£ gbp pounds lb lbs",
        "yen": "¥ jpy", "cent": "cents ¢", "km": "kilometer kilometers kilometre kilometres kms",
        "m": "meter meters metre metres", "cm": "centimeter centimeters centimetre centimetres",
        "mm": "millimeter millimeters millimetre millimetres", "mile": "miles mi", "foot": "feet ft",
        "inch": "inches", "kg": "kilogram kilograms kilo kilos", "g": "gram grams", "mg": "milligram milligrams",
        "l": "liter liters litre litres", "ml": "milliliter milliliters", "second": "seconds sec secs s",
        "minute": "minutes min mins", "hour": "hours h hr hrs", "day": "days", "week": "weeks",
        "month": "months", "year": "years yr yrs", "degree": "degrees °", "°c": "",
        "km/h": "kmh kph", "mph": "",
    }.items()
    for alias in (unit, *aliases.split())
} | {
    "celsius": "°c", "degree celsius": "°c", "degrees celsius": "°c", "°f": "°f", "fahrenheit": "°f",
    "degree fahrenheit": "°f", "degrees fahrenheit": "°f", "miles per hour": "mph", "km per hour": "km/h",
    "kilometers per hour": "km/h", "kilometres per hour": "km/h",
    "square meters": "m^2", "square metres": "m^2", "square meter": "m^2", "square metre": "m^2",
}  # fmt: skip
_MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTHS = {name[:size]: month for month, name in enumerate(_MONTH_NAMES, start=1) for size in (3, len(name))}
_MONTHS["sept"] = 9
_MONTH = rf"({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_WEEKDAY = re.compile(r"^(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?|(?:mon|tue|wed|thu|fri|sat|sun)[,.]) ")
_DATES = (
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"), "ymd"),
    (re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日"), "ymd"),
    (re.compile(rf"{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})"), "mdy"),
    (re.compile(rf"(?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?{_MONTH},? (\d{{4}})"), "dmy"),
    (re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})"), "dmy"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})"), "either"),
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit, "" where none was given."""

    value: Fraction
    unit: str = ""

    def same(self, other: Quantity) -> bool:
        """Whether both state the same: equal values, with a unit that is missing taken as the other's.

        >>> Quantity(Fraction(50), "%").same(Quantity(Fraction(1, 2)))
        True
        """
        if self.unit == other.unit or not self.unit or not other.unit:
            return self.value == other.value or (
                self.unit != other.unit and "%" in {self.unit, other.unit} and self._share() == other._share()
            )
        return False

    def _share(self) -> Fraction:
        return self.value / 100 if self.unit == "%" else self.value


def parse_number(text: str) -> Fraction | None:
    """Return the number that a whole text is, or None.

    Digits of any script, "1,000", "1 000", "-3.5", "2/3", "1 1/2", "1e3", "1.5 × 10^3", LaTeX fractions, English
    number words. A comma counts as a separator of thousands; where it cannot be one, the text is no number.

    >>> parse_number("1,000") == parse_number("one thousand") == 1000
    True
    >>> parse_number("1,5") is None
    True
    """
    text = _ascii_number(text)
    if len(text) > 80 or not text:
        return None
    if not _DIGIT.search(text):
        return _from_words(text)
    if match := _PLAIN.fullmatch(text):
        sign, digits, exponent, power = match.groups()
        value = _value(digits) * Fraction(10) ** int(exponent or power or 0)
        return -value if sign == "-" else value
    if (match := _POWER.fullmatch(text)) and int(match[2]):
        value = Fraction(int(match[2])) ** int(match[3] or match[4])
        return -value if match[1] == "-" else value
    if match := _FRACTION.fullmatch(text):
        sign, whole, top, bottom = match.groups()
        if _value(bottom) == 0:
            return None
        value = int(whole or 0) + _value(top) / _value(bottom)
        return -value if sign == "-" else value
    return _from_words(text)


def parse_quantity(text: str) -> Quantity | None:
    """Return the number with its unit that a whole text is, or None.

    >>> parse_quantity("$1.5 million"), parse_quantity("twenty-one days")
    (Quantity(value=Fraction(1500000, 1), unit='dollar'), Quantity(value=Fraction(21, 1), unit='day'))
    """
    number = parse_number(text)
    if number is not None:
        return Quantity(number)
    text = _ascii_number(text)
    if len(text) > 80:
        return None
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return _quantity_in_words(text)
    number = parse_number(match["number"].strip())
    if number is None:
        return None
    unit, currency = match["unit"] or "", _CURRENCY.get(match["currency"] or "", "")
    # "m" is a metre, but not of dollars.
    scale = _SCALES.get(match["scale"] or "", _MONEY_SCALES.get(unit, 1) if currency else 1)
    value = number * scale * (-1 if match["sign"] == "-" else 1)
    return Quantity(value, currency if currency and unit in _MONEY_SCALES else _unit(unit) or currency)


def parse_date(text: str) -> date | None:
    """Return the day that a whole text names, or None; a day that could be two days is none.

    >>> parse_date("March 5th, 2024") == parse_date("2024-03-05") == parse_date("5 March 2024")
    True
    >>> parse_date("03/04/2024") is None
    True
    """
    text = _WEEKDAY.sub("", " ".join(text.lower().split()))
    for pattern, order in _DATES:
        if match := pattern.fullmatch(text):
            return _day(match.groups(), order)
    return None


def _day(parts: tuple[str, ...], order: str) -> date | None:
    numbers = [_MONTHS.get(part) or int(part) for part in parts]
    if order == "either":
        first, second = numbers[:2]
        if first <= 12 and second <= 12 and first != second:
            return None
        order = "dmy" if first > 12 else "mdy"
    year, month, day = (numbers[order.index(unit)] for unit in "ymd")
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _ascii_number(text: str) -> str:
    """Lower the case, write digits and minus signs in ASCII, resolve LaTeX fractions and spacing."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", raised(text.replace("⁄", "/")))
        text = text.replace("−", "-").replace("–", "-").replace("⁄", "/")
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    text = text.strip().lower().replace("{,}", ",")
    if "\\" in text:
        text = text.replace("\\%", "%").replace("\\$", "$").replace("\\!", "").replace("\\,", " ")
        text = _LATEX_FRACTION.sub(r"\1/\2", text)
    return text


def _quantity_in_words(text: str) -> Quantity | None:
    """Read number words in front of a known unit; before any other word they may be part of a name."""
    words = text.split()
    for size in (1, 2, 3):
        unit = _UNITS.get(" ".join(words[-size:]))
        number = _from_words(" ".join(words[:-size])) if unit and len(words) > size else None
        if unit and number is not None:
            return Quantity(number, unit)
    return None


def _value(digits: str) -> Fraction:
    return Fraction(re.sub(r"[^\d.]", "", digits))


def _from_words(text: str) -> Fraction | None:
    """Read English number words: every word must be one, in a sensible order."""
    if not _OPENS_IN_WORDS.match(text):
        return None
    parts = _BETWEEN_WORDS.split(text)
    words = [word for word in parts if word and word != "and"]
    if not words or "and" in {parts[0], parts[-1]}:
        return None
    negative = words[0] in {"minus", "negative"}
    total = group = 0
    last = 10**15
    for position, word in enumerate(words[negative:]):
        if word in {"a", "an"} and position == 0 and len(words) > 1 and words[1] in _SCALES:
            group = 1
        elif word in _SMALL and group % (100 if _SMALL[word] > 9 else 10) == 0 and group % 100 != 10:
            group += _SMALL[word]
        elif word in _TENS and group % 100 == 0:
            group += _TENS[word]
        elif word == "hundred" and 0 < group < 100:
            group *= 100
        elif word in _SCALES and word != "hundred" and group > 0 and _SCALES[word] < last:
            last = _SCALES[word]
            total, group = total + group * last, 0
        else:
            return None
    if len(words) == negative:
        return None
    value = Fraction(total + group)
    return -value if negative else value


def _unit(text: str) -> str:
    text = text.strip()
    if text in _UNITS or not text:
        return _UNITS.get(text, "")
    return _UNITS.get(text.split()[0], "") if text.split()[0] == "%" else text.removesuffix("s")
