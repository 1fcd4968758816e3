"""A stand-in for a model: deterministic, and sensible enough that applications run on it.

It calls the tool that fits the question, fills arguments and schemas from the question's own words, repeats what
tools returned, and otherwise says back what it was asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What a model answers."""

    text: str | None = ""
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    """Name and arguments; arguments that are a text are sent as they are, valid JSON or not."""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    """Replaces the server's own count."""
    logprobs: Sequence[float] | None = None
    """One for each piece of the text; unless given, -0.1 each."""
    others: Sequence[str] = ()
    """Texts of the further choices of a request for several; unless given, the same text."""
    chunks: Sequence[str] | None = None
    """How the text is cut in a stream; unless given, behind each space."""


def text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, Mapping))


def question_of(body: Mapping[str, Any]) -> str:
    said = [text_of(message) for message in body["messages"] if message["role"] == "user"]
    return said[-1] if said else ""


def brain(body: Mapping[str, Any]) -> Reply:
    """Answer a chat request."""
    question, last = question_of(body), body["messages"][-1]
    chosen = _tools_to_call(body, question, answered=last["role"] == "tool")
    if chosen:
        calls = [(tool["name"], fill(tool.get("parameters") or {}, question)) for tool in chosen]
        return Reply(text=None, tool_calls=calls)
    schema = schema_of(body)
    if schema is not None:
        return Reply(json.dumps(fill(schema, question), ensure_ascii=False))
    if last["role"] == "tool":
        results = [text_of(message) for message in body["messages"] if message["role"] == "tool"]
        return Reply(f"The tool returned: {results[-1]}")
    if question.lower().strip(" !.") in {"hi", "hey", "hello"}:
        return Reply("Hello! How can I help you today?")
    return Reply(f"You asked: {question}")


def schema_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema that the answer must fit; JSON mode takes its keys from the quoted words of the question."""
    wanted = body.get("response_format") or {"type": "text"}
    if wanted["type"] == "json_schema":
        schema: Mapping[str, Any] = wanted["json_schema"].get("schema") or {}
        return schema
    if wanted["type"] == "json_object":
        keys = re.findall(r"['\"`](\w+)['\"`]", question_of(body)) or ["answer"]
        return {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
    return None


def _tools_to_call(body: Mapping[str, Any], question: str, *, answered: bool) -> list[Mapping[str, Any]]:
    tools = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return []
    if isinstance(choice, Mapping):
        return [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    named = [tool for tool in tools if re.search(rf"\b{re.escape(tool['name'])}\b", question)]
    if not named:
        ranked = sorted(tools, key=lambda tool: -_overlap(tool["name"], question))
        named = ranked[:1] if choice == "required" or _overlap(ranked[0]["name"], question) else []
    if answered and choice != "required":
        return []
    return named[:1] if body.get("parallel_tool_calls") is False else named


def _overlap(name: str, question: str) -> int:
    words = {word for word in re.split(r"[_\W]+", name.lower()) if len(word) > 2} - {"get", "tool", "the", "function"}
    return sum(word in question.lower() for word in words)


def fill(schema: Mapping[str, Any], question: str) -> Any:
    """Return a value that fits a JSON schema, made of the question's numbers and words."""
    return _Filler(schema, question).value(schema, "")


class _Filler:
    def __init__(self, root: Mapping[str, Any], question: str) -> None:
        self.root, self.question = root, question
        self.numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", question)]
        quoted = re.findall(r"['\"“‘]([^'\"”’]{2,})['\"”’]", question)
        capitalised = re.findall(r"(?<=[a-z] )[A-Z][\w'-]+(?: [A-Z][\w'-]+)*(?:, [A-Z]{2})?", question)
        self.phrases = [*quoted, *capitalised]

    def value(self, schema: Mapping[str, Any], name: str) -> Any:
        if "$ref" in schema:
            node: Any = self.root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                node = node[step]
            return self.value(node, name)
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                return self.value(schema[key][0], name)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return next(
                (item for item in schema["enum"] if str(item).lower() in self.question.lower()), schema["enum"][0]
            )
        kind = schema.get("type", "object" if "properties" in schema else "string")
        return self._of_type(kind[0] if isinstance(kind, list) else kind, schema, name)

    def _of_type(self, kind: str, schema: Mapping[str, Any], name: str) -> Any:
        if kind == "object":
            wanted = schema.get("required", schema.get("properties", {}))
            return {key: self.value(schema["properties"][key], key) for key in wanted}
        if kind == "array":
            return [self.value(schema.get("items") or {"type": "string"}, name)]
        if kind in {"integer", "number"}:
            number = self.numbers.pop(0) if self.numbers else schema.get("minimum", 1)
            return int(number) if kind == "integer" else number
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return self.phrases.pop(0) if self.phrases else f"{name or 'text'}: {self.question}"[:200]
