"""What cannot be answered is refused in LangChain's own errors, which say what to do."""

from __future__ import annotations

import re

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_semcascade import ChatInputError, ChatInvalidRequestError
from semcascade.errors import BadRequestError

CALLED = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}])


async def ask(model, how, messages, arguments):
    if how == "invoke":
        return model.invoke(messages, **arguments)
    return await model.ainvoke(messages, **arguments) if how == "ainvoke" else list(model.stream(messages, **arguments))


@pytest.mark.parametrize(
    ("messages", "arguments", "told"),
    [
        ("Hello", {"stop": ["a", "b", "c", "d", "e"]}, "4 stop texts at most, and more were given"),
        ([HumanMessage("Hello"), ToolMessage("4", tool_call_id="c1")], {}, "must follow a message with 'tool_calls'"),
        ([HumanMessage("Hello"), CALLED, HumanMessage("And?")], {}, "without a response: c1"),
    ],
)
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream"])
async def test_what_providers_refuse(server, over_http, messages, arguments, told, how):
    model = over_http()
    with pytest.raises(ModelInvalidRequestError, match=told) as caught:
        await ask(model, how, messages, arguments)
    error = caught.value
    assert isinstance(error, ChatInvalidRequestError)
    assert not error.is_retryable
    assert len(error.failures) == 4, "every member said so"
    assert isinstance(error.__cause__, BadRequestError)


def test_a_schema_that_providers_refuse(over_http):
    open_schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}
    broken = {"type": "json_schema", "json_schema": {"name": "not a name!", "strict": True, "schema": open_schema}}
    with pytest.raises(ModelInvalidRequestError, match=r"json_schema\.name"):
        over_http().invoke("Which city?", response_format=broken)


@pytest.mark.parametrize(
    ("call", "field", "told"),
    [
        (lambda model: model.invoke("Hello", model="openai/unheard-of"), "model", "members are openai/cheap-1"),
        (lambda model: model.bind_tools([object()]), r"tools\[0\]", "no tool with a schema"),
        (lambda model: model.bind_tools([{"name": None}]), r"tools\[0\]", "no tool with a schema|run"),
        (lambda model: model.invoke([HumanMessage([{"type": "smell", "smell": "rose"}])]), r"messages\[0\]", "smell"),
        (lambda model: model.invoke("Hello", tools=[{"type": "function"}]), r"tools\[0\]", "expected .*function"),
        (lambda model: model.invoke("Hello", response_format="json"), "response_format", "json_object"),
        (lambda model: model.invoke("Hello", n=2), "n", "batch several calls"),
    ],
)
def test_what_is_refused_before_anything_is_asked(server, over_http, call, field, told):
    with pytest.raises(ModelInvalidRequestError, match=told) as caught:
        call(over_http())
    assert isinstance(caught.value, ChatInputError)
    assert isinstance(caught.value, ValueError)
    assert re.fullmatch(field, caught.value.field)
    assert server.asked() == []
