"""Numbers, quantities and dates as people and models write them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from semcascade.similarity.formulas import raised
from semcascade.similarity.numerals import SCALES, spoken_number

__all__ = ["Quantity", "parse_date", "parse_number", "parse_quantity"]

_MONEY_SCALES = {"k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9}

_DIGITS = r"(?:\d{1,3}(?:[,\u00a0\u2009\u202f' ]\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_DIGIT = re.compile("[0-9]")
_PLAIN = re.compile(
    rf"([-+]?)({_DIGITS})(?:e([-+]?\d{{1,3}})|\s?(?:[x*×·]|\\times|\\cdot)\s?10\^?\{{?([-+]?\d{{1,3}})\}}?)?"
)
_POWER = re.compile(r"([-+]?)(\d{1,4})\^(?:\{([-+]?\d{1,2})\}|([-+]?\d{1,2}))")
_FRACTION = re.compile(rf"([-+]?)(?:(\d+)\s+)?({_DIGITS})\s?/\s?({_DIGITS})")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_CURRENCY = {"$": "dollar", "us$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
_QUANTITY = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<currency>us\$|[$€£¥₹])?\s?(?P<number>.*?\d[\d.,]*)"
    rf"(?:\s?(?P<scale>{'|'.join(SCALES)})s?)?(?:\s?(?P<unit>[%°€$£¥]?[^\W\d_]*(?:[ /][^\W\d_]+){{0,2}}(?:\^[23])?))?"
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

    Digits of any script, "1,000", "1 000", "-3.5", "2/3", "1 1/2", "1e3", "1.5 × 10^3", LaTeX fractions, number words
    (see `spoken_number`). A comma counts as a separator of thousands; where it cannot be one, the text is no number.

    >>> parse_number("1,000") == parse_number("one thousand") == 1000
    True
    >>> parse_number("1,5") is None
    True
    """
    text = _ascii_number(text)
    if len(text) > 80 or not text:
        return None
    if not _DIGIT.search(text):
        return spoken_number(text)
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
    return spoken_number(text)


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
    scale = SCALES.get(match["scale"] or "", _MONEY_SCALES.get(unit, 1) if currency else 1)
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
        number = spoken_number(" ".join(words[:-size])) if unit and len(words) > size else None
        if unit and number is not None:
            return Quantity(number, unit)
    return None


def _value(digits: str) -> Fraction:
    return Fraction(re.sub(r"[^\d.]", "", digits))


def _unit(text: str) -> str:
    text = text.strip()
    if text in _UNITS or not text:
        return _UNITS.get(text, "")
    return _UNITS.get(text.split()[0], "") if text.split()[0] == "%" else text.removesuffix("s")
