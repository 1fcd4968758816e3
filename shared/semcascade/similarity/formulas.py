"""Formulas in an answer: LaTeX as people would type it, and the signs that tell one formula from another."""

from __future__ import annotations

import re

__all__ = ["formula", "plain_latex", "raised"]

MAX_FORMULA = 200
"""A longer text is no formula but says something about one."""

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED = re.compile(r"(?<=[\w)\]}])[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_DRESSED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathbb|operatorname)\s*\{([^{}]*)\}")
_DEGREES = re.compile(r"(?<!\s)\s*\^\s*(?:\\circ\b|\{\s*\\circ\s*\})")
_ROOT = re.compile(r"\\sqrt\s*(?:\{([^{}]*)\}|(\w))")
_COMMANDS = {
    "pi": "π", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "theta": "θ", "lambda": "λ", "mu": "μ",
    "sigma": "σ", "phi": "φ", "omega": "ω", "infty": "∞", "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥",
    "ne": "≠", "neq": "≠", "lt": "<", "gt": ">", "in": "∈", "cup": "∪", "cap": "∩", "emptyset": "∅", "degree": "°",
    "quad": " ", "qquad": " ",
}  # fmt: skip
_COMMAND = re.compile(rf"\\({'|'.join(sorted(_COMMANDS, key=len, reverse=True))})(?![A-Za-z])")
_SPACING = re.compile(r"\\[;: ]")

_NAMES = r"(?:a?(?:sin|cos|tan)|sec|csc|cot|ln|log|exp|sqrt|pi|inf|infinity|mod|min|max|lim|or|and)"
_OPERAND = rf"(?:\d+(?:[.,]\d+)*|{_NAMES}|[^\W\d_])(?![^\W\d_]{{2}})"
# Each sign fits one alternative only, so that a text that is no formula is told as such in one pass.
_FORMULA = re.compile(
    rf"(?:\d|(?<![^\W\d_])(?:{_NAMES}|[^\W\d_]|ab|ac|bc|xy|xz|yz)(?![^\W\d_])|[-+*/^=<>≤≥≠≈±√∞∈∪∩∅°!|'(){{}}\[\].,;:\s])+"
)
# A minus between plain numbers may as well be a hyphen ("555-1234", "10-12"): that alone makes no formula.
_SIGN = re.compile(
    rf"(?:^|[-+*/^=<>≤≥(\[{{,;:]\s*|\s)-(?=[.(√∞]|{_OPERAND})|[+*/^=<>≤≥≠≈±√∞∈∪∩]|[\w)]\s+-\s+[\w(√]|"
    r"(?<![^\W\d_])[^\W\d_]\s*-\s*[\w(√]|[\d)]\s*-\s*(?:[(√]|\d*[^\W\d_])|[^\W\d_)]!|'[('\s]|.[)\]}].*[(\[{]"
)
_AND = re.compile(r"\s*(?:,\s*)?\b(?:and|or)\b\s*|;")
_AROUND = re.compile(r"\s*([^\w\s])\s*")
_SIGNS = str.maketrans({"−": "-", "–": "-", "·": "*", "×": "*", "⋅": "*"})


def raised(text: str) -> str:
    """Write raised digits behind a caret, and set a fraction sign off from the number before it.

    Compatibility normalisation would run them into the digits before.

    >>> raised("10³ = 1000, 1½")
    '10^3 = 1000, 1 ½'
    """
    if text.isascii():
        return text
    text = _RAISED.sub(lambda found: "^" + found.group().translate(_SUPERSCRIPTS), text)
    return _VULGAR.sub(" ", text)


def plain_latex(text: str) -> str:
    r"""Write the commonest LaTeX as people would type it; fractions stay for `parse_number`.

    >>> plain_latex(r"90^\circ"), plain_latex(r"-2\sqrt{3}\pi"), plain_latex(r"\textbf{(B)}\ 5")
    ('90°', '-2√3π', '(B) 5')
    """
    if "\\" not in text:
        return text
    text = _DEGREES.sub("°", _DRESSED.sub(r"\1", text))
    text = _ROOT.sub(_root, text)
    return _SPACING.sub(" ", _COMMAND.sub(lambda found: _COMMANDS[found.group(1)], text))


def _root(found: re.Match[str]) -> str:
    under = found.group(1) if found.group(1) is not None else found.group(2)
    return f"√{under}" if re.fullmatch(r"\d+|\w", under) else f"√({under})"


def formula(text: str) -> str | None:
    """Return a formula with its signs, without spaces and the brackets around all of it; None for other texts.

    Lower case is expected. A list of plain numbers is none: nothing in it hangs on a sign.

    >>> formula("x = -3 or x = 2"), formula("( -1, 2 )"), formula("semi-final"), formula("1, 2")
    ('x=-3,x=2', '-1,2', None, None)
    """
    if len(text) > MAX_FORMULA:
        return None
    written = text.translate(_SIGNS).rstrip(" .,;:")
    if not _FORMULA.fullmatch(written) or not any(character.isalnum() or character in "∞∅" for character in written):
        return None
    inner = within(written)
    if not _SIGN.search(inner):
        return None
    return _AROUND.sub(r"\1", _AND.sub(",", re.sub(r"\{(\w+)\}", r"\1", inner))).strip()


def within(text: str) -> str:
    """Return what stands in the brackets around a whole text, else the text; (0, 1] counts as brackets, too."""
    if text[:1] not in "([{" or text[-1:] not in ")]}" or len(text) < 2:
        return text
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return text[1:-1].strip() if position == len(text) - 1 else text
    return text
