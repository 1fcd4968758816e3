"""Values read by their JSON schema: what says the same, what does not, and schemas that are odd."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.errors import ConfigError
from semcascade.messages import Candidate, ToolCall
from semcascade.similarity import Query, get_similarity
from semcascade.similarity.fields import leaves, match
from semcascade.similarity.schemas import normalised

UNIT = {"type": "string", "enum": ["Celsius", "Fahrenheit"]}
REUSED = {
    "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"$ref": "#/$defs/Unit"}}},
              "Unit": {**UNIT, "default": "Celsius"}},
    "type": "object",
    "properties": {"place": {"$ref": "#/$defs/Place"}},
}  # fmt: skip


def alike(first: Any, second: Any, schema: Any) -> float:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    answers = [Candidate("m", tool_calls=(ToolCall("f", json.dumps(value)),)) for value in (first, second)]
    matrix = get_similarity("tool_calls").compare(Query("q", tools=(tool,)), answers).matrix
    assert matrix[0, 1] == matrix[1, 0]
    return float(matrix[0, 1])


def props(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


SHAPES = [
    props(kind={"const": "Square"}, side={"type": "integer"}),
    props(kind={"const": "Circle"}, r={"type": "integer", "default": 3}),
]


@pytest.mark.parametrize(
    ("first", "second", "schema"),
    [
        ({"u": "celsius"}, {"u": " CELSIUS "}, props(u=UNIT)),
        ({"n": 5}, {"n": "5"}, props(n={"type": "integer"})),
        ({"n": 5.0}, {"n": "5"}, props(n={"type": "number"})),
        ({"n": 1000}, {"n": "1,000"}, props(n={"type": "number"})),
        ({"n": 0.5}, {"n": "1/2"}, props(n={"type": "number"})),
        ({"b": True}, {"b": "true"}, props(b={"type": "boolean"})),
        ({"b": False}, {"b": "No"}, props(b={"type": "boolean"})),
        ({"b": True}, {"b": 1}, props(b={"type": "boolean"})),
        ({"z": "12345"}, {"z": 12345}, props(z={"type": "string"})),
        ({"d": "2024-03-05"}, {"d": "March 5, 2024"}, props(d={"type": "string", "format": "date"})),
        ({"t": ["a", "b"]}, {"t": ["b", "a"]}, props(t={"type": "array", "uniqueItems": True})),
        ({"t": ["b", "A"]}, {"t": ["a", "b", "b"]}, props(t={"type": "array", "uniqueItems": True})),
        ({"t": [{"x": 1}, {"x": 2}]}, {"t": [{"x": 2.0}, {"x": "1"}]},
         props(t={"type": "array", "uniqueItems": True, "items": props(x={"type": "integer"})})),
        ({}, {"u": "Celsius"}, props(u={**UNIT, "default": "Celsius"})),
        ({"u": None}, {"u": "celsius"}, props(u={**UNIT, "default": "Celsius"})),
        ({"o": {}}, {"o": {"k": 3}}, props(o=props(k={"type": "integer", "default": 3}))),
        ({"place": {"city": "Bonn"}}, {"place": {"city": "bonn", "unit": "celsius"}}, REUSED),
        ({"v": "7"}, {"v": 7}, props(v={"anyOf": [{"type": "integer"}, {"type": "null"}]})),
        ({"v": None}, {}, props(v={"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None})),
        ({"v": "x"}, {"v": " X"}, props(v={"oneOf": [{"type": "integer"}, {"type": "string"}]})),
        ({"v": "7"}, {"v": 7}, props(v={"allOf": [{"type": "integer"}]})),
        ({"v": "7"}, {"v": 7}, props(v={"type": ["integer", "null"]})),
        ({"m": {"a": "1"}}, {"m": {"a": 1}}, props(m={"type": "object", "additionalProperties": {"type": "integer"}})),
        ({"c": "ON"}, {"c": "on"}, props(c={"const": "on"})),
        ({"n": "2"}, {"n": 2}, props(n={"enum": [1, 2]})),
        ({"s": {"kind": "Circle"}}, {"s": {"kind": "circle", "r": 3}}, props(s={"oneOf": SHAPES})),
        ({"s": {"kind": "Square", "side": "2"}}, {"s": {"kind": "Square", "side": 2}}, props(s={"oneOf": SHAPES})),
    ],
)  # fmt: skip
def test_what_says_the_same_by_its_schema(first: Any, second: Any, schema: Any):
    assert alike(first, second, schema) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "schema"),
    [
        ({"u": "celsius"}, {"u": "kelvin"}, props(u=UNIT)),
        ({"n": 5}, {"n": "six"}, props(n={"type": "integer"})),
        ({"n": -1}, {"n": "1"}, props(n={"enum": [-1, 1]})),
        ({"b": True}, {"b": "maybe"}, props(b={"type": "boolean"})),
        ({"b": True}, {"b": False}, props(b={"type": "boolean"})),
        # An id is a text: its zeros count, and its digits are no number.
        ({"z": "007"}, {"z": "7"}, props(z={"type": "string"})),
        ({"z": "1,000"}, {"z": "1000"}, props(z={"type": "string"})),
        ({"z": "2024-03-05"}, {"z": "March 5, 2024"}, props(z={"type": "string"})),
        ({"t": ["a", "b"]}, {"t": ["b", "a"]}, props(t={"type": "array"})),
        ({"t": ["a", "b"]}, {"t": ["a", "c"]}, props(t={"type": "array", "uniqueItems": True})),
        ({}, {"u": "Fahrenheit"}, props(u={**UNIT, "default": "Celsius"})),
        ({"x": 1}, {"x": 1, "more": 2}, props(x={"type": "integer"})),
        ({"mode": "r"}, {"mode": "R"}, props(mode={"enum": ["r", "R"]})),
    ],
)
def test_what_does_not(first: Any, second: Any, schema: Any):
    assert alike(first, second, schema) <= 0.4


def test_without_a_schema_numbers_are_compared_by_value():
    assert alike({"z": "1,000"}, {"z": 1000}, None) == 1.0
    assert alike({"z": "1,000"}, {"z": 1000}, props()) == 1.0


@pytest.mark.parametrize(
    "schema",
    [
        None, True, [], "object", {"properties": 3}, {"properties": {"a": None}}, {"properties": {"a": {"enum": 3}}},
        {"properties": {"a": {"type": 7}}}, {"properties": {"a": {"type": ["no-such"]}}}, {"$ref": "#/nowhere"},
        {"properties": {"a": {"$ref": "https://example.org/schema.json"}}}, {"allOf": [None]}, {"anyOf": [None, 3]},
        {"$defs": {"A": {"$ref": "#/$defs/A"}}, "properties": {"a": {"$ref": "#/$defs/A"}}},
    ],
)  # fmt: skip
def test_odd_schemas_change_nothing(schema: Any):
    assert alike({"a": "x", "b": [1]}, {"b": [1.0], "a": "X"}, schema) == 1.0
    assert alike({"a": "x"}, {"a": "y"}, schema) < 1.0


def test_schemas_that_hold_themselves_end():
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "n": {"type": "integer", "default": 0}},
    }
    schema["properties"]["next"]["default"] = {}
    start = time.perf_counter()
    assert alike({"n": "1"}, {"n": 1}, schema) == 1.0
    assert alike({"next": {"next": {"n": "1"}}}, {"next": {"next": {"n": 1}}}, schema) == 1.0
    assert time.perf_counter() - start < 5


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["x", "X", "5", "true", "", "red"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
SCHEMAS = st.recursive(
    st.sampled_from([
        {}, {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"enum": ["red", "X", 5]}, {"const": True},
        {"type": "integer", "default": 5}, {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    ]),
    lambda inner: st.builds(lambda part: {"type": "array", "items": part}, inner)
    | st.builds(lambda part: {"type": "array", "items": part, "uniqueItems": True}, inner)
    | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda parts: {"type": "object", "properties": parts}),
    max_leaves=6,
)  # fmt: skip


@given(VALUES, VALUES, SCHEMAS)
def test_laws(first: Any, second: Any, schema: Any):
    one, other = (leaves({"v": normalised(value, schema)}) for value in (first, second))
    assert match(one, one).score == 1.0
    there, back = match(one, other), match(other, one)
    assert there == back
    assert 0 <= there.score <= 1


def test_answers_are_read_by_the_schema_that_was_asked_for():
    schema = props(city={"type": "string"}, tags={"type": "array", "uniqueItems": True}, n={"type": "integer"})
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answers = [
        Candidate("a", text='{"city": "Bonn", "tags": ["x", "y"], "n": 3}'),
        Candidate("b", text='```json\n{"n": "3", "tags": ["y", "x"], "city": "bonn"}\n```'),
        Candidate("c", text='{"city": "Bonn", "tags": ["x", "z"], "n": 3}'),
    ]
    found = get_similarity("json").compare(Query("q", response_format=wanted), answers)
    assert found.matrix[0, 1] == 1.0
    assert found.matrix[0, 2] == pytest.approx(0.4 * 3 / 5)
    assert found.notes == ('fields that disagree: tags."y", tags."z"',)
    assert get_similarity("json").compare(Query("q"), answers).matrix[0, 1] < 1.0


def test_arguments_that_disagree_are_named():
    answers = [
        Candidate("m", tool_calls=(ToolCall("f", json.dumps({"city": city, "days": days})),))
        for city, days in (("Bonn", 1), ("Bonn", 2), ("Rome", 2))
    ]
    assert get_similarity("tool_calls").compare(Query(), answers).notes == ("arguments that disagree: city, days",)


def test_arguments_of_parallel_calls_that_disagree_are_named():
    first, second = (
        Candidate("m", tool_calls=(ToolCall("g", "{}"), ToolCall("f", json.dumps({"city": "Bonn", "days": days}))))
        for days in (1, 2)
    )
    assert get_similarity("tool_calls").compare(Query(), [first, second]).notes == ("arguments that disagree: days",)


FIRST = "The river carries its sediment slowly down to the sea."
SECOND = "Down to the sea the river slowly carries its sediment."


def test_free_texts_are_compared_as_the_setting_says():
    def score(**settings: Any) -> float:
        answers = [Candidate("m", tool_calls=(ToolCall("f", json.dumps({"why": why})),)) for why in (FIRST, SECOND)]
        return float(get_similarity({"name": "tool_calls", **settings}).compare(Query(), answers).matrix[0, 1])

    for name in ("chrf", "rouge_l"):
        expected = get_similarity(name).matrix([FIRST, SECOND])[0, 1]  # type: ignore[attr-defined]
        assert score(text=name) == pytest.approx(expected)
    assert score() == score(text="chrf") < score(text="token_f1") == 1.0
    assert score(long_words=20) == 0.0
    short = [Candidate("m", tool_calls=(ToolCall("f", json.dumps({"q": q})),)) for q in ("New York", "New York City")]
    found = get_similarity({"name": "tool_calls", "long_words": 0}).compare(Query(), short).matrix[0, 1]
    assert 0.5 < found < 1.0


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"text": "exact"}, "similarity.text"),
        ({"text": "nonsense"}, "similarity"),
        ({"long_words": -1}, "similarity.long_words"),
    ],
)
@pytest.mark.parametrize("name", ["tool_calls", "json"])
def test_wrong_settings_are_refused_by_name(name: str, settings: dict[str, Any], field: str):
    with pytest.raises(ConfigError) as caught:
        get_similarity({"name": name, **settings})
    assert caught.value.field == field
