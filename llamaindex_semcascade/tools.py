"""Tools and structured output: what LlamaIndex hands over, in OpenAI's shape, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic import BaseModel

from llamaindex_semcascade.messages import tool_calls_of
from semcascade.errors import InputError
from semcascade.messages import ToolCall

__all__ = ["first_call_only", "openai_response_format", "openai_tool_choice", "openai_tools", "tool_selections"]

ToolLike = BaseTool | Mapping[str, Any]


def openai_tools(tools: Sequence[ToolLike]) -> list[dict[str, Any]]:
    """Return tools in OpenAI's shape; mappings are taken to have it.

    Raises:
        InputError: If something is no tool, or has no name.
    """
    return [_openai_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _openai_tool(tool: ToolLike, where: str) -> dict[str, Any]:
    if isinstance(tool, Mapping):
        return dict(tool)
    if not isinstance(tool, BaseTool):
        raise InputError(
            f"expected a LlamaIndex tool or a mapping in OpenAI's shape, got {type(tool).__name__}; "
            "wrap a function as FunctionTool.from_defaults(fn)",
            field=where,
        )
    if not tool.metadata.name:
        raise InputError("the tool has no name; give its metadata one", field=f"{where}.metadata.name")
    return tool.metadata.to_openai_tool(skip_length_check=True)


def openai_tool_choice(
    choice: str | Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]], *, required: bool
) -> str | dict[str, Any] | None:
    """Return which tool must be called, in OpenAI's shape; None leaves it to the model.

    Args:
        choice: "auto", "none", "required", "any", a tool's name, or a mapping in OpenAI's shape.
        tools: The tools in OpenAI's shape.
        required: Whether some tool must be called, where `choice` does not say.

    Raises:
        InputError: If a tool of that name is not among the tools.
    """
    if choice is None:
        return "required" if required else None
    if not isinstance(choice, str):
        return dict(choice)
    if choice in {"auto", "none", "required", "any"}:
        return "required" if choice == "any" else choice
    names = [tool["function"]["name"] for tool in tools]
    if choice not in names:
        raise InputError(f"there is no tool {choice!r}; tools are {', '.join(names)}", field="tool_choice")
    return {"type": "function", "function": {"name": choice}}


def openai_response_format(given: object) -> Mapping[str, Any]:
    """Return OpenAI's `response_format`; a pydantic class stands for its JSON schema.

    Raises:
        InputError: If it is neither.
    """
    if isinstance(given, type) and issubclass(given, BaseModel):
        return {"type": "json_schema", "json_schema": {"name": given.__name__, "schema": given.model_json_schema()}}
    if not isinstance(given, Mapping):
        raise InputError(
            f"expected a pydantic class or a mapping in OpenAI's shape, got {type(given).__name__}",
            field="response_format",
        )
    return given


def tool_selections(message: ChatMessage) -> list[ToolSelection]:
    """Return the tool calls of a message; arguments that are no JSON object become empty ones, which tools refuse."""
    return [
        ToolSelection(tool_id=call["id"], tool_name=call["function"]["name"], tool_kwargs=_arguments(call["function"]))
        for call in tool_calls_of(message)
    ]


def _arguments(function: Mapping[str, Any]) -> dict[str, Any]:
    return ToolCall(function["name"], function["arguments"]).parsed() or {}


def first_call_only(response: ChatResponse) -> ChatResponse:
    """Return the response with its first tool call alone, for models that call several where one is allowed."""
    message = response.message
    places = [place for place, block in enumerate(message.blocks) if isinstance(block, ToolCallBlock)]
    if len(places) < 2:
        return response
    blocks = [block for place, block in enumerate(message.blocks) if place not in places[1:]]
    extra = dict(message.additional_kwargs)
    if "tool_calls" in extra:
        extra["tool_calls"] = extra["tool_calls"][:1]
    kept = message.model_copy(update={"blocks": blocks, "additional_kwargs": extra})
    return response.model_copy(update={"message": kept})
