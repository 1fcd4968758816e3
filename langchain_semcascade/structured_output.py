"""Tools and schemas in OpenAI's shape, and the parsers that read the answers back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, TypeAlias, get_args

from langchain_core.language_models import LanguageModelInput
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from semcascade.errors import InputError

__all__ = [
    "Method",
    "Schema",
    "Tool",
    "openai_tool_choice",
    "openai_tools",
    "parser_for",
    "response_format",
    "structured_arguments",
    "with_parser",
    "with_tools",
]

Schema: TypeAlias = dict[str, Any] | type
Tool: TypeAlias = dict[str, Any] | type | Callable[..., Any] | BaseTool
Method: TypeAlias = Literal["function_calling", "json_schema", "json_mode"]


def openai_tools(tools: Sequence[Tool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return tools in OpenAI's shape.

    Raises:
        InputError: If something is no tool, or a tool that only one provider's own service runs.
    """
    converted = []
    for index, tool in enumerate(tools):
        try:
            written = convert_to_openai_tool(tool, strict=strict)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"this is no tool with a schema: {error}", field=f"tools[{index}]") from error
        function = written.get("function")
        if not isinstance(function, Mapping) or not function.get("name"):
            raise InputError(
                f"a tool of type {written.get('type')!r} runs at one provider only; the members of a cascade can "
                "share functions: {'type': 'function', 'function': {'name': ..., 'parameters': ...}}",
                field=f"tools[{index}]",
            )
        converted.append(written)
    return converted


def openai_tool_choice(choice: str | bool | Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]]) -> Any:
    """Return a tool choice in OpenAI's shape.

    Args:
        choice: "auto", "none", "required" or "any" (or True), the name of a tool, or OpenAI's own shape.
        tools: The tools, in OpenAI's shape.

    Raises:
        InputError: If no tool has that name.

    >>> openai_tool_choice("any", [])
    'required'
    """
    if not choice:
        return None
    if choice is True or choice == "any":
        return "required"
    if isinstance(choice, Mapping) or choice in {"auto", "none", "required"}:
        return choice
    names = [tool["function"]["name"] for tool in tools]
    if choice not in names:
        known = ", ".join(names) or "none"
        raise InputError(f"{choice!r} is neither a tool nor auto, none, any; tools are {known}", field="tool_choice")
    return {"type": "function", "function": {"name": choice}}


def response_format(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Return OpenAI's `response_format` for a schema.

    Args:
        schema: A Pydantic class, a TypedDict, or a JSON schema with a title; or a response format, returned as it is.
        strict: Whether the provider must hold the answer to the schema; not sent if None.

    Raises:
        InputError: If it is no schema.
    """
    if isinstance(schema, dict) and schema.get("type") in {"json_schema", "json_object", "text"}:
        return schema
    try:
        written = convert_to_json_schema(schema, strict=strict)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"this is no schema: {error}", field="schema") from error
    definition = {"name": written.pop("title"), "schema": written}
    if "description" in written:
        definition["description"] = written.pop("description")
    if strict is not None:
        definition["strict"] = strict
    return {"type": "json_schema", "json_schema": definition}


def structured_arguments(schema: Schema | None, method: Method, *, strict: bool | None) -> dict[str, Any]:
    """Return the arguments of a call whose answer must fit a schema.

    Raises:
        InputError: If the schema, the method, or their combination is wrong.
    """
    if method not in get_args(Method):
        raise InputError(f"unknown method {method!r}; use {', '.join(get_args(Method))}", field="method")
    if method == "json_mode":
        if strict is not None:
            raise InputError("json_mode knows no schema to be strict about", field="strict")
        return {"response_format": {"type": "json_object"}}
    if schema is None:
        raise InputError(f"method {method!r} needs a schema", field="schema")
    if method == "json_schema":
        return {"response_format": response_format(schema, strict=strict)}
    tools = openai_tools([schema], strict=strict)
    choice = openai_tool_choice(tools[0]["function"]["name"], tools)
    return {"tools": tools, "tool_choice": choice, "parallel_tool_calls": False}


def with_tools(arguments: dict[str, Any], tools: Sequence[Tool], *, strict: bool | None) -> dict[str, Any]:
    """Return the arguments of a call that may also answer by calling one of these tools.

    Raises:
        InputError: If something is no tool, or the schema itself is sent as the one tool to call.
    """
    if "tools" in arguments:
        raise InputError("method 'function_calling' sends the schema as a tool; use 'json_schema'", field="tools")
    return {**arguments, "tools": openai_tools(tools, strict=strict)}


def parser_for(schema: Schema | None, method: Method) -> BaseOutputParser[Any]:
    """Return the parser that reads an answer back into what the schema says."""
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method == "function_calling":
        assert schema is not None  # noqa: S101 - `with_structured_output` has checked it
        if is_class:
            return PydanticToolsParser(tools=[schema], first_tool_only=True)  # type: ignore[list-item]
        name = convert_to_openai_tool(schema)["function"]["name"]
        return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    if is_class:
        return PydanticOutputParser(pydantic_object=schema)  # type: ignore[arg-type]
    return JsonOutputParser()


def with_parser(
    model: Runnable[LanguageModelInput, Any], parser: BaseOutputParser[Any], *, include_raw: bool
) -> Runnable[LanguageModelInput, Any]:
    """Put the parser behind the model; with `include_raw`, beside the message and the parser's error."""
    if not include_raw:
        return model | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")
