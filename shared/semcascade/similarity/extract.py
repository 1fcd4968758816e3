"""Taking answers apart: JSON, code and final answers that stand inside a longer text."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from semcascade.locks import ForkLock

__all__ = ["as_json", "code_of", "final_answer", "is_code", "parse_python", "without_thoughts"]

MAX_FINAL_ANSWER = 120
"""A longer text is no final answer but the discussion itself."""

MAX_LINE = 1_000
"""A longer last line is no conclusion."""

LOOSE_CHARACTERS = 4_000
"""How much of a text's end is searched for a JSON field in what is no JSON."""

MAX_CODE = 30_000
"""Longer code is compared by its tokens only."""

LEAST_AT_ONCE, MOST_AT_ONCE = 6_000, 12_000
"""How many characters of Python are parsed at a time."""

_FURTHER = (1, 1, 1, 100, 1_000, 3_000)
"""How far behind a cut that turns out to be none the next one is looked for."""

# Filters of warnings belong to the whole process; two threads that change them at once would not restore them.
_WARNINGS = ForkLock()

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL | re.MULTILINE)
_THOUGHTS = re.compile(r"\s*<(think|thinking|reasoning)>.*?(?:</\1>\s*|\Z)", re.DOTALL)
_ANSWER_KEYS = ("final_answer", "finalanswer", "answer", "result")
_REASON_KEYS = frozenset(
    {"reasoning", "reason", "explanation", "thought", "thoughts", "rationale", "steps", "analysis", "confidence"}
)
# Answers are strangers' texts: whatever repeats in a pattern is counted, or one that almost fits would take for ever.
_LOOSE_ANSWER = re.compile(
    r'"(?:final_?answer|answer)"\s{0,9}:\s{0,9}("(?:[^"\\]|\\.){0,400}"|[^\s,}"][^\n}]{0,200}?)\s{0,40}(?:,\s{0,40})?\}'
)
_MARKER = re.compile(
    r"(?:####\s*|(?:final\s+|correct\s+|right\s+)?answer\s*(?:is|was|:|=)\s*:?|(?:antwort|respuesta|réponse|risposta|resposta)"
    r"\s*(?:ist|es|est|è|é|:)\s*:?|(?:答案|答)\s*(?:是|为|為|[:：])\s*[:：]?|答え\s*(?:は|[:：])|ответ\s*[:—-])"
    r"[ \t]*(?:\n[ \t]*)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])[.!?](?=\s|$)|[。！？]|\s(?:because|since|as)\s|,\s(?:which|so|because|since)\s"
)
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_EQUALS = re.compile(r"=\s*([^\s=]*\d[^\s=]*(?: \w+){0,2})$")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|in total|altogether|in all|finally|consequently)\b", re.IGNORECASE
)
_NUMBER = re.compile(r"[$€£¥]?\s?-?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?\s?%?")
_CALCULATES = re.compile(r"\d\s?[-+*/×÷=]\s?[$€£]?\d")
_CODE_LINE = re.compile(
    r"^\s*(?:def \w+\s*\(|class \w+|import \w|from [\w.]+ import |async def |@\w|#include\b|#!/|package \w|"
    r"(?:public|private|protected|static)\s+\w|(?:export |async )*function\b|(?:const|let|var)\s+\w+\s*=|fn \w+|"
    r"(?:select|insert into|create table|update|delete from)\s.+\b(?:from|values|set|\()|return\b.*;?$|"
    r"func \w+|using [\w.]+;|"
    r"(?:for|while|if)\s*[(\w].*[:{]\s*$)",
    re.IGNORECASE,
)

_STATEMENT = re.compile(r"(?<=\n)(?=[^\W\d])(?!(?:else|elif|except|finally)\b)|(?<=\n)(?=@)")


def without_thoughts(text: str) -> str:
    """Drop the `<think>` block that reasoning models write before their answer.

    Of some the opening tag belongs to the prompt, so that the closing one stands alone; a block that is never closed
    leaves no answer.

    >>> [without_thoughts(text) for text in ("<think>4 or 5?</think> 4", "4 or 5?</think>4", "<think>4 or")]
    ['4', '4', '']
    """
    if "<" not in text:
        return text
    if found := _THOUGHTS.match(text):
        return text[found.end() :]
    before, closing, answer = text.partition("</think>")
    return answer.lstrip() if closing and "<think>" not in before else text


def as_json(text: str) -> Any | None:
    r"""Return the object or list that a text is, fenced or bare; None where it is neither.

    >>> as_json('```json\n{"a": 1}\n```')
    {'a': 1}
    >>> as_json("42") is None
    True
    """
    body = text.strip()
    if body.startswith("```"):
        fence = _FENCE.fullmatch(body)
        body = fence.group(2).strip() if fence else body
    if body[:1] not in {"{", "["} or body[-1:] not in {"}", "]"}:
        return None
    try:
        value = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def code_of(text: str) -> tuple[str, str]:
    r"""Return the code in a text and its language, "" where unsaid.

    All fenced blocks together; the whole text where there are none.

    >>> code_of("Here:\n```python\nx = 1\n```")
    ('x = 1\n', 'python')
    """
    blocks = _FENCE.findall(text)
    if not blocks:
        return text, ""
    return "\n".join(body for _, body in blocks), blocks[0][0].lower()


def is_code(text: str) -> bool:
    r"""Say whether a text is code, or a fenced block of code with few words around it.

    >>> is_code("def f(x):\n    return x + 1"), is_code("Import taxes rise from May.")
    (True, False)
    """
    blocks = _FENCE.findall(text) if "```" in text else ()
    if blocks:
        fenced = sum(len(body) for language, body in blocks if not _is_data(language, body))
        return fenced >= 20 and 2 * fenced >= len(text.strip())
    lines = [line for line in text[:20_000].splitlines() if line.strip()]
    if not any(_CODE_LINE.match(line) for line in lines):
        return False
    if any(line.startswith(("def ", "class ", "import ", "from ", "async def ", "@")) for line in lines):
        return _is_python(text)
    codelike = sum(bool(_CODE_LINE.match(line)) or line.rstrip().endswith((";", "{", "}", ");")) for line in lines)
    return 2 * codelike >= len(lines) and re.search(r"[;{}()=]", text) is not None


def _is_data(language: str, body: str) -> bool:
    return language.lower() in {"json", "text", "txt", "markdown", "md", "latex"} or body.lstrip()[:1] in {"{", "["}


def _is_python(text: str) -> bool:
    tree = parse_python(text)
    if tree is None:
        return re.search(r":[ \t]*\n\s+\S", text) is not None
    return bool(tree.body)


def parse_python(text: str) -> ast.Module | None:
    """Parse Python, never running it; None where it is none, or too long to be worth it.

    Long code is parsed some statements at a time: while the parser runs, no other thread does. So one statement of
    more than 12,000 characters is too long, too.
    """
    if len(text) > MAX_CODE:
        return None
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _parsed(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _parsed(text: str) -> ast.Module:
    body: list[ast.stmt] = []
    start = 0
    while start < len(text):
        tree, end = _statements(text, start)
        body.extend(ast.increment_lineno(tree, text.count("\n", 0, start)).body)
        start = end
    return ast.Module(body=body, type_ignores=[])


def _statements(text: str, start: int) -> tuple[ast.Module, int]:
    """Parse the next statements; return them and where they end.

    They are cut off where a line may begin a statement that stands by itself. What parses ends outside of every string
    and bracket, so that the rest means the same without it.
    """
    if len(text) - start <= MOST_AT_ONCE:
        return ast.parse(text[start:]), len(text)
    least = start + LEAST_AT_ONCE
    for further in _FURTHER:
        cut = _STATEMENT.search(text, least, start + MOST_AT_ONCE)
        if cut is None:
            break
        with contextlib.suppress(SyntaxError):
            return ast.parse(text[start : cut.start()]), cut.start()
        least = cut.start() + further
    raise SyntaxError("no statement ends in time")


@functools.lru_cache(maxsize=16)  # one answer is looked at from several sides
def final_answer(text: str) -> str | None:
    r"""Return the answer that a worked solution states at its end, as written; None where it states none.

    In this order: ``\boxed{...}``, a JSON answer field, "#### 42", "the answer is 42", the last line's one
    bold piece, the last line's "= 42", the last number of a concluding sentence of a calculation. Of several
    the last one counts.

    >>> final_answer("3 + 4 = 7, and 7 * 6 = 42. The answer is **42**.")
    '42'
    >>> final_answer("It depends.") is None
    True
    """
    text = text[-20_000:]
    for find in (_boxed, _json_answer, _marked, _bold, _equation, _conclusion):
        found = find(text)
        if found is not None:
            found = _BOLD.sub(r"\2", found).strip().strip("*_`").strip().rstrip(".。,;")
            # Only a JSON field can say that the answer is the empty text.
            if len(found) <= MAX_FINAL_ANSWER and (found or find is _json_answer):
                return found
    return None


def _boxed(text: str) -> str | None:
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    opening = text.index("{", start)
    depth = 0
    for position in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[opening + 1 : position]
    return None


def _json_answer(text: str) -> str | None:
    value = as_json(text)
    if isinstance(value, Mapping):
        fields = {str(key).lower().replace(" ", "_"): field for key, field in value.items()}
        key = next((key for key in _ANSWER_KEYS if key in fields), None)
        if key is None or not fields.keys() <= {key, *_REASON_KEYS}:
            return None
        found = fields[key]
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    # Small models put line breaks, words or stray quotes around their JSON; the field is still plain to see.
    loose = list(_LOOSE_ANSWER.finditer(text[-LOOSE_CHARACTERS:]))
    return loose[-1].group(1).strip().strip('"') if value is None and loose else None


def _marked(text: str) -> str | None:
    marks = list(_MARKER.finditer(text))
    if not marks:
        return None
    sentence = text[marks[-1].end() :].partition("\n")[0].strip()
    end = _SENTENCE_END.search(sentence)
    return sentence[: end.start()] if end else sentence


def _last_line(text: str) -> str:
    """Return the last line that is not empty; nothing where it is too long to state one answer."""
    line = text.strip().rpartition("\n")[2].strip()
    return line if len(line) <= MAX_LINE else ""


def _bold(text: str) -> str | None:
    pieces = _BOLD.findall(_last_line(text))
    if len(pieces) != 1 or len(pieces[0][1].split()) > 6:
        return None
    return str(pieces[0][1]).rstrip(":")


def _equation(text: str) -> str | None:
    found = _EQUALS.search(_last_line(text).rstrip(". $*`\\])"))
    return found.group(1) if found else None


def _conclusion(text: str) -> str | None:
    if not _CALCULATES.search(text):
        return None
    last = re.split(r"(?<=[.!?])\s+", _last_line(text))[-1]
    numbers = _NUMBER.findall(last)
    return str(numbers[-1]) if numbers and _CONCLUDES.search(last) else None
