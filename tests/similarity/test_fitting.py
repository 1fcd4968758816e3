"""Whether an answer can be read as what was asked for."""

import pytest
from pydantic import BaseModel, Field

from semcascade import Candidate, ToolCall
from semcascade.similarity import Query, misfit


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(gt=0)
    kind: str | None = None
    mayors: list["Mayor"] = []


class Mayor(BaseModel):
    """A mayor."""

    name: str


SCHEMA = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}


def of_text(text, wanted=SCHEMA, **more):
    return misfit(Query("?", response_format=wanted, **more), Candidate("m", text=text))


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Oslo", "people": 700000}', '```json\n{"name": "Oslo", "people": 1}\n```',
        '<think>{</think> {"name": "Oslo", "people": 1}',
        '{"name": "Oslo", "people": "700000"}', '{"name": 5, "people": 1}', '{"name": "Oslo", "people": 1, "more": []}',
        '{"name": "Oslo", "people": 1, "kind": null}', '{"name": "Oslo", "people": 1, "kind": 3}',
        '{"name": "Oslo", "people": 1, "mayors": [{"name": "Anne"}]}',
    ],
)  # fmt: skip
def test_answers_that_applications_can_read(text):
    assert of_text(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"name": "Oslo", "people": 1', "it is no JSON"), ("Oslo has 700000 people.", "it is no JSON"), ("7", "it is no JSON"),
        ('{"name": "Oslo"}', "at $ it breaks the schema's 'required'"),
        ('[{"name": "Oslo", "people": 1}]', "at $ it breaks the schema's 'type'"),
        ('{"name": "Oslo", "people": -1}', "at $.people it breaks the schema's 'exclusiveMinimum'"),
        ('{"name": "Oslo", "people": 1, "mayors": [{}]}', "at $.mayors[0] it breaks the schema's 'required'"),
        ('{"name": null, "people": 1}', "at $.name it breaks the schema's 'type'"),
        ('{"name": "Oslo", "people": 1, "mayors": {}}', "at $.mayors it breaks the schema's 'type'"),
    ],
)  # fmt: skip
def test_answers_that_they_cannot(text, why):
    assert of_text(text) == why


def test_json_mode_asks_for_any_json():
    assert of_text('{"a": [1]}', {"type": "json_object"}) is None
    assert of_text("no", {"type": "json_object"}) == "it is no JSON"


@pytest.mark.parametrize("wanted", [None, {}, {"type": "text"}])
def test_plain_text_is_anything(wanted):
    assert of_text("{", wanted) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strange"}, {"$ref": "https://example.com/schema.json"}, {"$ref": "#/nowhere"}, None, "x", {},
        {"$ref": "#"},
    ],
)  # fmt: skip
def test_a_schema_that_is_none_is_not_held_to(schema):
    assert of_text('{"a": 1}', {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}) is None


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now"}},
)


def of_calls(*calls, tools=TOOLS, text="", **more):
    return misfit(Query("?", tools=tools, **more), Candidate("m", text=text, tool_calls=calls))


def test_calls_that_can_be_made():
    assert of_calls(ToolCall("weather", '{"city": "Oslo"}'), ToolCall("now", "{}"), ToolCall("now", "")) is None
    assert of_calls(ToolCall("provider_search", "{}"), tools=()) is None


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (ToolCall("weather", '{"city": "Os'), "the arguments of a tool call are no JSON object"),
        (ToolCall("weather", '"Oslo"'), "the arguments of a tool call are no JSON object"),
        (ToolCall("weather", "{}"), "weather: at $ it breaks the schema's 'required'"),
        (ToolCall("wether", '{"city": "Oslo"}'), "it calls a tool that was not offered"),
    ],
)
def test_calls_that_cannot(call, why):
    assert of_calls(ToolCall("now"), call) == why


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (None, None), ("auto", None), ("none", None), ("required", "it calls no tool, though one was required"),
        ({"type": "function", "function": {"name": "now"}}, "it calls no tool, though one was required"),
    ],
)  # fmt: skip
def test_words_instead_of_a_call(choice, why):
    assert of_calls(tool_choice=choice, text="Sunny.") == why


def test_a_call_is_not_held_to_the_form_of_the_final_answer():
    assert of_calls(ToolCall("now"), response_format=SCHEMA) is None


def test_long_paths_are_cut():
    schema, value = {"type": "object", "required": ["x"]}, {}
    for _ in range(20):
        schema, value = {"type": "object", "properties": {"deeper": schema}}, {"deeper": value}
    why = misfit(
        Query("?", response_format={"type": "json_schema", "json_schema": {"schema": schema}}),
        Candidate("m", text=__import__("json").dumps(value)),
    )
    assert why == "at $" + ".deeper" * 8 + ".de… it breaks the schema's 'required'"
