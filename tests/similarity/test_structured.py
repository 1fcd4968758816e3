"""Tool calls, JSON and code."""

from __future__ import annotations

import itertools
import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.messages import Candidate, ToolCall
from semcascade.similarity import Query, get_similarity
from semcascade.similarity.code import Code, code_tokens
from semcascade.similarity.fields import leaves, match
from semcascade.similarity.structured import _assigned

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(["x", "X", "y", "one two", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def calling(*calls: tuple[str, Any], text: str = "") -> Candidate:
    tool_calls = tuple(ToolCall(name, args if isinstance(args, str) else json.dumps(args)) for name, args in calls)
    return Candidate("m", text=text, tool_calls=tool_calls)


def alike(first: Candidate, second: Candidate, query: Query | None = None) -> float:
    matrix = get_similarity("tool_calls").compare(query or Query(), [first, second]).matrix
    assert matrix[0, 1] == matrix[1, 0]
    return float(matrix[0, 1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1.0}),
        ({"a": 1}, {"a": "1"}),
        ({"a": True}, {"a": "true"}),
        ({"city": "Paris"}, {"city": " paris "}),
        ({"day": "2024-03-05"}, {"day": "March 5, 2024"}),
        ({"a": 1, "b": None}, {"a": 1}),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1.0, 2.0]}}),
        ({}, "{}"),
        ({}, ""),
        ({"a": 1000}, {"a": "1,000"}),
    ],
)
def test_calls_that_say_the_same(first: Any, second: Any):
    assert alike(calling(("f", first)), calling(("f", second))) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 0.4 * 1 / 2),
        ({"a": 1}, {"a": 1, "b": 3}, 0.4 * 1 / 2),
        ({"a": 1}, {"a": True}, 0.0),
        ({"a": [1, 2]}, {"a": [2, 1]}, 0.0),
        ({"a": "x"}, {"a": "y"}, 0.0),
        ({"a": "x"}, "no json", 0.0),
        ({"a": []}, {"a": [1]}, 0.0),
    ],
)
def test_calls_that_differ(first: Any, second: Any, expected: float):
    assert alike(calling(("f", first)), calling(("f", second))) == pytest.approx(expected)


def test_names_of_tools_decide():
    assert alike(calling(("f", {"a": 1})), calling(("g", {"a": 1}))) == 0.0


def test_parallel_calls_are_matched_whatever_their_order():
    one, two, three = ("f", {"a": 1}), ("f", {"a": 2}), ("g", {})
    assert alike(calling(one, two, three), calling(three, one, two)) == 1.0
    # Two of three calls are there: capped like any conflict.
    assert alike(calling(one, two), calling(one, two, three)) == pytest.approx(0.4)
    assert alike(calling(one), calling(one, two, three)) == pytest.approx(1 / 3)
    many = [("f", {"a": index}) for index in range(14)]
    assert alike(calling(*many), calling(*reversed(many))) == 1.0


def test_an_argument_left_out_equals_its_default():
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"unit": {"type": "string", "default": "km"}}}},
    }
    first, second = calling(("f", {"a": 1})), calling(("f", {"a": 1, "unit": "km"}))
    assert alike(first, second) < 0.5
    assert alike(first, second, Query("q", tools=(tool,))) == 1.0


def test_a_call_and_a_text_are_not_alike():
    assert alike(calling(("f", {})), Candidate("m", text="f()")) == 0.0
    assert alike(Candidate("m", text="Paris."), Candidate("m", text="paris")) == 1.0


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_assignment_equals_brute_force(scores: list[list[float]]):
    rows, columns = len(scores), 3
    short, long = sorted((rows, columns))
    table = scores if rows <= columns else [list(column) for column in zip(*scores, strict=True)]
    best = max(sum(table[i][chosen[i]] for i in range(short)) for chosen in itertools.permutations(range(long), short))
    pairs = _assigned(scores)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs) == short
    assert sum(scores[i][j] for i, j in pairs) == pytest.approx(best)


def test_a_key_that_reads_like_a_path_is_none():
    assert alike(calling(("f", {"a.b": 1})), calling(("f", {"a": {"b": 1}}))) == 0.0
    assert alike(calling(("f", {"a[0]": 1})), calling(("f", {"a": [1]}))) == 0.0
    assert alike(calling(("f", {"a.b": 1})), calling(("f", {"a.b": 1.0}))) == 1.0


def compared(*texts: str) -> Any:
    return get_similarity("json").compare(Query(), [Candidate("m", text=text) for text in texts])


def test_json_names_the_fields_that_disagree():
    found = compared('{"a": 1, "b": {"c": "x", "d": [1]}}', '{"b": {"d": [2], "c": "y"}, "a": 1.0}', '{"a": 2}')
    assert found.matrix[0, 1] == pytest.approx(0.4 / 3)
    assert found.notes == ("fields that disagree: b.c, b.d[0], a",)
    assert compared('{"a": 1}', '```json\n{"a": 1}\n```').notes == ()


def test_free_text_fields_are_compared_by_wording():
    first = "The river carries its sediment slowly down to the sea."
    second = "The river carries sediment down to the open sea slowly."
    found = compared(json.dumps({"id": 1, "why": first}), json.dumps({"id": 1, "why": second}))
    wording = get_similarity("chrf").matrix([first, second])[0, 1]  # type: ignore[attr-defined]
    assert found.matrix[0, 1] == pytest.approx((1 + wording) / 2)
    assert found.notes == ("fields that disagree: why",)
    conflict = compared(json.dumps({"id": 1, "why": first}), json.dumps({"id": 2, "why": first}))
    assert conflict.matrix[0, 1] == pytest.approx(0.4 / 2)


def test_json_of_another_shape_and_no_json_at_all():
    found = compared("{}", "[]", "Paris", "paris.", '{"a": 1}')
    assert found.matrix[0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert found.matrix[2, 3] == 1.0


@given(VALUES)
def test_a_value_equals_itself_written_anew(value: Any):
    again = json.loads(json.dumps(value))
    assert match(leaves({"v": value}), leaves({"v": again})).score == 1.0


@given(VALUES, VALUES)
def test_fields_are_compared_alike_both_ways(first: Any, second: Any):
    one, other = leaves({"v": first}), leaves({"v": second})
    there, back = match(one, other), match(other, one)
    assert there == back
    assert 0 <= there.score <= 1
    assert (there.score == 1) == (there.disagree == ())
    assert there.score == 1 or there.score <= 0.4


def test_deeply_nested_values_are_no_trap():
    deep = "[" * 500 + "]" * 500
    assert compared(deep, deep + " ").matrix[0, 1] == 1.0
    assert np.isfinite(compared("[" * 100_000, "{" * 100_000).matrix).all()


PYTHON = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result\n"


@pytest.mark.parametrize(
    "other",
    [
        PYTHON.replace("result", "s").replace("value", "v"),
        PYTHON.replace("total", "add_up"),
        PYTHON.replace("    ", "\t"),
        "# sums up\n" + PYTHON.replace("result = 0", "result = 0  # start"),
        PYTHON.replace(":\n    result = 0", ':\n    """Add up."""\n    result = 0'),
        "def total(values: list[int]) -> int:\n" + PYTHON.split("\n", 1)[1],
        "Here you are:\n```python\n" + PYTHON + "```\nHope it helps!",
        "```\n" + PYTHON + "```",
    ],
)
def test_python_up_to_names_comments_and_formatting(other: str):
    assert Code().matrix([PYTHON, other])[0, 1] == 1.0


@pytest.mark.parametrize(
    "other",
    [
        PYTHON.replace("+=", "-="),
        PYTHON.replace("result = 0", "result = 1"),
        PYTHON.replace("return result", "return value"),
        PYTHON.replace("for value in values", "for value in sorted(values)"),
    ],
)
def test_python_that_does_something_else(other: str):
    assert 0.5 < Code().matrix([PYTHON, other])[0, 1] < 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x = 1", "x: int = 1"),
        ("import numpy as np\nnp.zeros(3)", "import numpy as n\nn.zeros(3)"),
        ("try:\n    f()\nexcept E as e:\n    print(e)", "try:\n    f()\nexcept E as error:\n    print(error)"),
        ("x = 1\nprint('x')", "y = 1\nprint('x')"),
    ],
)
def test_every_name_that_python_binds_is_free(first: str, second: str):
    assert Code().matrix([first, second])[0, 1] == 1.0


@pytest.mark.parametrize(
    ("first", "second"), [("s = '1'", "s = 1"), ("s = 'None'", "s = None"), ("s = b'a'", "s = 'a'")]
)
def test_a_text_is_not_the_value_that_it_spells(first: str, second: str):
    assert Code().matrix([first, second])[0, 1] < 1.0


def test_other_languages_by_tokens():
    first = "function add(a, b) {\n  // sum\n  return a + b;\n}"
    second = "function add(x, y) { return x + y; /* sum */ }"
    assert Code().matrix([first, second])[0, 1] == 1.0
    assert Code().matrix([first, first.replace("+", "-")])[0, 1] < 1.0
    assert code_tokens("printf('hi')") == code_tokens('printf("hi")')
    # Names of what is called and of members say what the code does.
    assert code_tokens("fetch(url);") != code_tokens("remove(url);")
    assert code_tokens("a.length;") != code_tokens("a.name;")


def test_code_is_read_and_never_run(tmp_path: Any):
    target = tmp_path / "made"
    code = f"import pathlib\npathlib.Path({str(target)!r}).write_text('x')\nraise SystemExit(1)\n"
    Code().matrix([code, code + "\n\n"])
    assert not target.exists()


def test_code_that_python_warns_about_stays_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Code().matrix(["x = '\\d'\ny = 1 is 1", "x = '\\d'"])[0, 1] < 1.0


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_any_text_can_be_compared_as_code(texts: list[str]):
    matrix = Code().matrix(texts)
    assert np.allclose(matrix, matrix.T)
    assert ((matrix >= 0) & (matrix <= 1)).all()


def test_hostile_code_is_no_trap():
    nested = "(" * 5_000 + ")" * 5_000
    assert np.isfinite(Code().matrix([nested, "x = " + nested, "x = 1" + " + 1" * 20_000, "-" * 50_000 + "1"])).all()
