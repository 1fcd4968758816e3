"""Taking answers apart, however long or hostile they are."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semcascade.messages import Candidate
from semcascade.similarity.canonical import canonical, options
from semcascade.similarity.code import code_tokens
from semcascade.similarity.extract import MOST_AT_ONCE, final_answer, parse_python
from semcascade.similarity.kinds import classify

STATEMENTS = [
    "x = 1\n",
    "import os\n",
    "def f(a, b=2):\n    '''Say what.'''\n    return a + b\n",
    "@cached\ndef g():\n    return [\n1,\n2,\n]\n",
    "if x:\n    y = 1\nelif y:\n    z = 2\nelse:\n    z = 3\n",
    "try:\n    f()\nexcept ValueError as e:\n    raise\nfinally:\n    g()\n",
    'text = """\nimport this\ndef nothing():\n  """\n',
    "total = (\nx +\ny)\n",
    "z = 1 \\\n+ 2\n",
    "# a comment\n\n\n",
    "async def h():\n    await k()\n",
    "class C(D):\n    n: int = 0\n\n    def m(self):\n        return self.n\n",
]


@given(st.lists(st.sampled_from(STATEMENTS), max_size=20))
@settings(max_examples=10, deadline=None)
@example(STATEMENTS)
def test_long_python_is_parsed_in_pieces_to_the_same_tree(statements: list[str]):
    text = "".join(["x = 1\n", *statements])
    text *= 2 * MOST_AT_ONCE // len(text) + 1
    parsed = parse_python(text)
    assert parsed is not None
    assert ast.dump(parsed, include_attributes=True) == ast.dump(ast.parse(text), include_attributes=True)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 4_000 + "def f(:\n",
        "x = (\n" + "1 +\n" * 8_000,
        "else:\n    x = 1\n" + "x = 1\n" * 4_000,
        "x = 1\n" * 2_000 + "else:\n    x = 1\n" + "x = 1\n" * 2_000,
        '"""' + "x = 1\n" * 4_000,
        "x = 1\n" * 20_000,
    ],
)
def test_what_is_no_python_or_too_long_is_not_parsed(text: str):
    assert parse_python(text) is None


def test_code_that_is_too_long_for_the_parser_is_compared_by_its_tokens():
    one = "x = [" + ", ".join(f"f({i})" for i in range(5_000)) + "]"
    assert parse_python(one) is None
    assert code_tokens(one) == code_tokens(one.replace(" ", ""))
    assert code_tokens(one) != code_tokens(one.replace("f(7)", "f(8)"))


def test_a_comment_that_is_never_closed_is_none():
    assert code_tokens("```sh\nls /* && rm a\n```") != code_tokens("```sh\nls /* && rm a b\n```")
    assert code_tokens("```c\nint a; /* one // two */ int b;\n```") == code_tokens("```c\nint a; int b;\n```")


@pytest.mark.parametrize(
    ("take", "text"),
    [
        (final_answer, '"answer": x' + " " * 3_000),
        (final_answer, '"answer": "' + '\\"' * 10_000),
        (final_answer, '"answer": x,' * 1_500),
        (options, "A) x B) y" + "\t" * 30_000),
        (canonical, "$" + "…" * 20_000),
        (canonical, "\\sqrt{" + "\n" * 60_000 + "x"),
        (lambda text: classify(Candidate("m", text=text)), "```\n" + " " * 80_000 + "."),
        (code_tokens, "/*" * 40_000),
        (code_tokens, "\\'" * 15_000),
    ],
)
def test_no_text_takes_time_out_of_proportion(take: Callable[[str], object], text: str):
    start = time.process_time()
    take(text)
    assert time.process_time() - start < 1.5


def test_a_field_of_loose_json_is_found_behind_a_long_text():
    assert final_answer("word " * 3_000 + '{"reason": "so",\n "answer": 42 ,\n }') == "42"
    assert options("Which?\nA) one \nB) two words  (C) three  ") == {"a": "one", "b": "two words", "c": "three"}
