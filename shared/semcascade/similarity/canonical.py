"""What a short answer states, apart from how it is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from semcascade.similarity.formulas import formula, plain_latex, raised, within
from semcascade.similarity.numbers import Quantity, parse_date, parse_number, parse_quantity
from semcascade.similarity.times import parse_time

__all__ = ["Form", "canonical", "options", "parse_number", "stance", "strip_markup"]

MAX_LAYERS = 8
"""How many layers of markup around an answer are taken off."""

MAX_STANCE = 40
"""How much of an answer is looked at for an opening yes or no."""

_YES = frozenset(
    {"yes", "yeah", "yep", "ja", "oui", "sí", "si", "sì", "sim", "tak", "да", "はい", "是", "是的", "对", "예", "네"}
)
_NO = frozenset({"no", "nope", "nein", "non", "não", "nie", "нет", "いいえ", "否", "不", "不是", "아니요"})
_ARTICLES = frozenset({"a", "an", "the"})
_QUOTES = str.maketrans(
    {"−": "-", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "`": "'", "´": "'"}
)
_LINE_MARK = re.compile(r"^(?:#+ |> |[*-] )")
_QUOTING = frozenset("*_'\"")
_LATEX_WRAPPER = re.compile(r"\\(?:boxed|fbox|text|textbf|mathrm|mathbf|mathit|operatorname|left|right)\b\s*")
_LATEX_MATH = re.compile(r"^\\[(\[](.*)\\[)\]]$|^\$\$?([^$]+)\$\$?$", re.DOTALL)
_OPTION = re.compile(
    r"(?:(?:option|choice|answer)\s*:?\s*)?\(?([a-j])[).:]?|(?:option|choice)\s+([a-j])\b[).:]?.*", re.IGNORECASE
)
_LETTERED = re.compile(r"\(?([a-jA-J])\)[.:]?\s+(\S.*)")
_NAMED = re.compile(r"(?<![\w'])([B-HJ])(?![\w'])")
_OFFERED = re.compile(r"(?:^|\s)\(?([A-J])[).:]\s{1,99}(\S(?:.*?\S)?)(?=\s+\(?[A-J][).:]\s|[^\S\n]*(?:\n|$))")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DOTTED = re.compile(r"(?<![\w.])(?:[^\W\d_]\.\s?){2,}(?:[^\W\d_](?!\w))?")
_WORD = re.compile(r"[^\W\d_]+")
_SET_OFF = re.compile(r"[*_\"']*\s*(?:[,.;:!—–。、]|-\s|\n|$)")
_STRAY_POINT = re.compile(r"(?<!\d)\.|\.(?!\d)")
_KEPT = frozenset("#+%&@$€£°=<>*^~|")


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer states.

    Attributes:
        text: The canonical text; equal for answers that state the same, unless they are quantities.
        quantity: The number with its unit that the answer is, or None.
        day: The day that the answer is, or None.
        words: Whether it is neither a quantity, a date, yes or no, nor an option; then another wording may mean it.
        time: The time of day that the answer is, or None.
        brackets: The brackets around all of it, "" where there are none; those who leave them out mean any.
    """

    text: str
    quantity: Quantity | None = None
    words: bool = False
    day: date | None = None
    time: str | None = None
    brackets: str = ""

    def same(self, other: Form) -> bool:
        """Whether both state the same."""
        if self.time is not None and other.time is not None:
            return self.time == other.time
        if self.quantity is not None and other.quantity is not None:
            return self.quantity.same(other.quantity)
        if self.quantity is not None or other.quantity is not None:
            return False
        bracketed = {self.brackets, other.brackets} - {""}
        return self.text == other.text and len(bracketed) < 2


def canonical(text: str, offered: Mapping[str, str] | None = None) -> Form:
    """Reduce a short answer to what it states.

    Case, Unicode forms, markup, punctuation and English articles go; numbers, dates, yes and no, and option
    letters get one spelling each, wherever what is meant is sure.

    Args:
        text: The answer.
        offered: Options of the question, letter → canonical text (see `options`); an answer that repeats an
            option's text then equals its letter.

    >>> canonical("The  Beatles.").text
    'beatles'
    >>> canonical("1,000").same(canonical("one thousand"))
    True
    >>> canonical("(B)").text == canonical("Option b").text == "option b"
    True
    """
    plain = strip_markup(text)
    folded = plain.casefold()
    if (letter := _option(plain, offered)) is not None:
        return Form(f"option {letter}")
    bare = folded.strip(" .!,;:\"'")
    if bare in _YES or bare in _NO:
        return Form("yes" if bare in _YES else "no")
    if (day := parse_date(bare)) is not None:
        return Form(day.isoformat(), day=day)
    time = parse_time(bare)
    if (quantity := parse_quantity(within(bare))) is not None:
        return Form(_words(folded), quantity, time=time)
    words = _words(folded)
    for letter, option in (offered or {}).items():
        if words == option:
            return Form(f"option {letter}")
    brackets = folded[0] + folded[-1] if within(folded) != folded else ""
    return Form(formula(folded) or words, words=True, time=time, brackets=brackets)


def stance(text: str) -> str | None:
    """Return the "yes" or "no" that an answer opens with, set off from what follows; None where it does not.

    >>> stance("Yes, it is."), stance("**No** - see below."), stance("No one knows.")
    ('yes', 'no', None)
    """
    opening = strip_markup(text[:MAX_STANCE]).casefold().lstrip("*_#>\"' ")
    word = _WORD.match(opening)
    if word is None or not _SET_OFF.match(opening, word.end()):
        return None
    return "yes" if word.group() in _YES else "no" if word.group() in _NO else None


def options(question: str) -> dict[str, str]:
    r"""Return the lettered options that a question offers, letter → canonical text; {} unless A and B are there.

    >>> options("Which is a city?\nA) Paris\nB) France")
    {'a': 'paris', 'b': 'france'}
    """
    found = {
        letter.lower(): _words(strip_markup(text).casefold()) for letter, text in _OFFERED.findall(question[-20_000:])
    }
    return found if {"a", "b"} <= found.keys() else {}


def strip_markup(text: str) -> str:
    r"""Drop what only serves the looks: compatibility forms, invisible characters, Markdown and LaTeX wrappers.

    >>> strip_markup("**Paris**\u200b")
    'Paris'
    """
    if text.isascii():
        text = text.replace("`", "'")
    else:
        text = unicodedata.normalize("NFKC", raised(text.replace("⁄", "/"))).replace("⁄", "/")
        text = "".join(character for character in text if unicodedata.category(character) != "Cf").translate(_QUOTES)
    text = text.strip()
    for _ in range(MAX_LAYERS):
        before = text
        text = _LINE_MARK.sub("", text).strip()
        for mark in ("***", "**", "__", "*", "_", "'", '"') if text[:1] in _QUOTING else ():
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
                text = text[len(mark) : -len(mark)].strip()
        if "\\" in text:
            text = _LATEX_WRAPPER.sub("", plain_latex(text))
        if text[:1] in {"\\", "$"}:
            text = _LATEX_MATH.sub(lambda match: match.group(1) or match.group(2) or "", text)
        text = text.strip()
        if text.startswith("{") and text.endswith("}") and "\\" not in text and ":" not in text:
            text = text[1:-1].strip()
        if text == before:
            break
    return text


def _option(plain: str, offered: Mapping[str, str] | None) -> str | None:
    match = _OPTION.fullmatch(plain)
    if match:
        letter = match.group(1) or match.group(2)
        # A bare small letter, and "I" at any time, may be a word of its own.
        bare = len(plain) == 1
        if offered or not bare or (letter.isupper() and letter != "I"):
            return str(letter).lower()
        return None
    if offered and len(named := set(_NAMED.findall(plain))) == 1 and next(iter(named)).lower() in offered:
        return str(named.pop()).lower()
    match = _LETTERED.fullmatch(plain)
    return match.group(1).lower() if match else None


def _words(folded: str) -> str:
    """Drop punctuation and, outside of brackets, articles; what is nothing else stays as it is."""
    text = _DOTTED.sub(_undotted, _GROUPED.sub("", folded))
    words = _STRAY_POINT.sub(" ", text).translate(_PLAIN).split()
    listed = folded[:1] in {"[", "(", "{", "<"}
    without = [word for word in words if listed or word not in _ARTICLES]
    return " ".join(without or words) or " ".join(folded.split())


def _undotted(letters: re.Match[str]) -> str:
    """Write an abbreviation without its full stops."""
    joined = "".join(filter(str.isalpha, letters.group()))
    return f"{joined} " if letters.group()[-1].isspace() else joined


class _Plain(dict[int, int | str | None]):
    """What becomes of each character, found out when it is met."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        kept = unicodedata.category(character)[0] not in "PZC" or character in _KEPT
        self[code] = found = code if kept else None if character == "'" else " "
        return found


_PLAIN = _Plain({ord("."): "."})  # of points, only those within numbers are left
