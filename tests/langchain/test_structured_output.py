"""Tools and structured output: agreement on what would be done decides."""

from __future__ import annotations

import json
from typing import TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_semcascade.errors import ChatInputError
from semcascade import Candidate, ToolCall


class City(BaseModel):
    """A city."""

    name: str
    people: int | None = Field(default=None, description="how many live there")


class CityDict(TypedDict):
    """A city."""

    name: str


@tool
def weather(city: str, unit: str = "C") -> str:
    """Look up the weather."""
    return f"sunny in {city}, {unit}"


def call(name: str = "weather", **args):
    return ToolCall(name, json.dumps(args), "c1")


# --- agreement on calls


def test_the_same_call_in_other_words_is_accepted(scripted):
    one, other = ToolCall("weather", '{"city": "Bern", "unit": "C"}'), ToolCall("weather", '{"unit":"C","city":"Bern"}')
    message = scripted((one, other, one), "never").bind_tools([weather]).invoke("Weather in Bern?")
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("weather", {"city": "Bern", "unit": "C"})]
    assert message.response_metadata["semcascade"]["accepted"]
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_different_calls_are_deferred(scripted):
    cheap = (call(city="Bern"), call(city="Basel"), call(city="Biel"))
    message = scripted(cheap, call(city="Chur")).bind_tools([weather]).invoke("Weather?")
    assert message.tool_calls[0]["args"] == {"city": "Chur"}
    assert not message.response_metadata["semcascade"]["accepted"]


@pytest.mark.parametrize("cheap", [call(city="Bern"), (call(city="Bern"), call(city="Basel"), call(city="Biel"))])
async def test_calls_stream_to_the_same_result(scripted, cheap):
    model = scripted(cheap, call(city="Chur")).bind_tools([weather])
    whole = model.invoke("Weather?")
    chunks = [chunk async for chunk in model.astream("Weather?")]
    streamed = sum(chunks[1:], start=chunks[0])
    assert streamed.tool_calls == whole.tool_calls
    assert streamed.content == whole.content == ""


# --- binding


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
        ({"type": "function", "function": {"name": "City"}}, {"type": "function", "function": {"name": "City"}}),
    ],
)
def test_tool_choice(scripted, choice, sent):
    model = scripted()
    model.bind_tools([weather, City], tool_choice=choice, parallel_tool_calls=False).invoke("?")
    request = model.transport.requests[0][1]
    assert request.tool_choice == sent
    assert [t["function"]["name"] for t in request.tools] == ["weather", "City"]
    assert request.params == {"parallel_tool_calls": False}


def test_strict_closes_every_schema(scripted):
    model = scripted()
    model.bind_tools([City], strict=True).invoke("?")
    function = model.transport.requests[0][1].tools[0]["function"]
    assert function["strict"] is True
    assert function["parameters"]["additionalProperties"] is False
    assert function["parameters"]["required"] == ["name", "people"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"tools": [weather], "tool_choice": "wether"}, "tool_choice"),
        ({"tools": [{"type": "object", "properties": {}}]}, r"tools\[0\]"),
        ({"tools": [weather, {"type": "web_search"}]}, r"tools\[1\]"),
        ({"tools": [weather, 7]}, r"tools\[1\]"),
    ],
)
def test_bad_tools_are_refused_when_bound(scripted, arguments, field):
    with pytest.raises(ChatInputError, match=field):
        scripted().bind_tools(**arguments)


# --- structured output

ANSWERS = {
    "function_calling": ToolCall("City", '{"name": "Bern", "people": 134000}', "c1"),
    "json_schema": '{"name": "Bern", "people": 134000}',
    "json_mode": '```json\n{"name": "Bern", "people": 134000}\n```',
}


@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("strict", [None, False, True])
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_every_method(scripted, method, strict, include_raw):
    model = scripted(ANSWERS[method])
    if method == "json_mode" and strict is not None:
        with pytest.raises(ChatInputError, match="strict"):
            model.with_structured_output(City, method=method, strict=strict)
        return
    chain = model.with_structured_output(City, method=method, strict=strict, include_raw=include_raw)
    result = chain.invoke("Which city?")
    if include_raw:
        assert result["parsing_error"] is None
        assert result["raw"].response_metadata["semcascade"]["accepted"]
        result = result["parsed"]
    assert result == City(name="Bern", people=134000)
    request = model.transport.requests[0][1]
    sent = (request.response_format or {}).get("json_schema") or (request.tools[0]["function"] if request.tools else {})
    assert sent.get("strict") == strict


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_dictionaries(scripted, method):
    schemas = [CityDict, {"title": "CityDict", "type": "object", "properties": {"name": {"type": "string"}}}]
    answers = {"function_calling": ToolCall("CityDict", '{"name": "Bern"}'), "json_schema": '{"name": "Bern"}'}
    for schema in schemas:
        chain = scripted(answers[method]).with_structured_output(schema, method=method)
        assert chain.invoke("?") == {"name": "Bern"}
        assert list(chain.stream("?"))[-1] == {"name": "Bern"}


def test_json_mode_needs_no_schema(scripted):
    assert scripted('{"a": 1}').with_structured_output(method="json_mode").invoke("JSON please") == {"a": 1}


def test_tools_beside_a_schema(scripted):
    settings = {"tools": [weather], "include_raw": True}
    answered = scripted(call(city="Bern")).with_structured_output(City, method="json_schema", **settings).invoke("?")
    assert answered["raw"].tool_calls[0]["args"] == {"city": "Bern"}
    assert answered["parsed"] is None
    with pytest.raises(ChatInputError, match=r"^tools: .*use 'json_schema'"):
        scripted("4").with_structured_output(City, **settings)


def test_answers_are_compared_by_field(scripted):
    same = ('{"name": "Bern", "people": 1}', '{"people": 1, "name": "Bern"}', '{ "name":"Bern","people":1 }')
    raw = scripted(same).with_structured_output(City, method="json_schema", include_raw=True).invoke("?")["raw"]
    assert raw.response_metadata["semcascade"]["score"] == 1.0


def test_an_answer_that_does_not_parse(scripted):
    model = scripted("no JSON at all", "no JSON at all")
    with pytest.raises(OutputParserException):
        model.with_structured_output(City, method="json_schema").invoke("?")
    result = model.with_structured_output(City, method="json_schema", include_raw=True).invoke("?")
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], OutputParserException)


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_the_next_best_answer_that_parses_is_used(scripted, method, how):
    good, bad = (
        ('{"name": "Bern", "people": 1}', '{"people": 1}')
        if method != "json_mode"
        else ('{"name": "Bern"}', '{"name": "Bern')
    )
    wrap = (lambda text: ToolCall("City", text, "c1")) if method == "function_calling" else str
    model = scripted((wrap(bad), wrap(good), wrap(good)), "never", threshold=0.3)
    chain = model.with_structured_output(City, method=method, include_raw=True)
    result = chain.invoke("Which city?") if how == "invoke" else _last(chain.stream("Which city?"))
    assert result["parsed"].name == "Bern"
    decision = result["raw"].response_metadata["semcascade"]
    assert decision["accepted"]
    assert "m/cheap-1's answer was not to choose from" in str(decision["tiers"][0]["notes"])


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_where_no_cheap_answer_parses_the_target_is_asked(scripted, method):
    wrap = (lambda text: ToolCall("City", text, "c1")) if method == "function_calling" else str
    model = scripted(wrap('{"people": 1}'), wrap('{"name": "Bern"}'))
    result = model.with_structured_output(City, method=method, include_raw=True).invoke("Which city?")
    assert result["parsed"] == City(name="Bern")
    assert "no answer can be read as what was asked for" in result["raw"].response_metadata["semcascade"]["reason"]


def _last(chunks):
    chunks = list(chunks)
    return sum(chunks[1:], start=chunks[0])


def test_a_class_as_response_format_is_written_out(scripted):
    model = scripted('{"name": "Bern"}')
    model.invoke("?", response_format=City)
    definition = model.transport.requests[0][1].response_format["json_schema"]
    assert definition["name"] == "City"
    assert set(definition["schema"]["properties"]) == {"name", "people"}


@pytest.mark.parametrize(
    ("schema", "settings", "field"),
    [
        (None, {}, "schema"),
        (City, {"method": "telepathy"}, "method"),
        ({"type": "object"}, {"method": "json_schema"}, "schema"),
        ({"type": "object"}, {}, "tools"),
    ],
)
def test_bad_schemas_are_refused_at_once(scripted, schema, settings, field):
    with pytest.raises(ChatInputError, match=field):
        scripted().with_structured_output(schema, **settings)


def test_text_beside_calls_is_kept(scripted):
    both = Candidate("", text="Let me look.", tool_calls=(call(city="Bern"),), finish_reason="tool_calls")
    message = scripted(both).bind_tools([weather]).invoke("?")
    assert (message.text, len(message.tool_calls)) == ("Let me look.", 1)
