"""OpenAI's wire format: checks of what a client sends, and the payloads and stream chunks of what it gets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.brain import Reply, text_of

CREATED = 1_700_000_000
PARTS = {"text", "image_url", "input_audio", "file", "video_url", "refusal"}
DIMENSIONS = 64


class RefusedError(Exception):
    """The request is not what OpenAI's API takes."""


def tokens(text: str) -> int:
    """Count words and signs."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def check(body: Mapping[str, Any]) -> None:
    """Refuse what the real API refuses with status 400."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError("'messages' is missing or empty")
    open_calls: set[str] = set()
    for message in messages:
        _check_message(message, open_calls)
    names = [_tool_name(tool) for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    if choice is not None and not names:
        raise RefusedError("'tool_choice' is only allowed when 'tools' are specified")
    if isinstance(choice, Mapping) and choice["function"]["name"] not in names:
        raise RefusedError(f"Tool choice {choice['function']['name']!r} is not among the tools")
    if isinstance(choice, str) and choice not in {"auto", "none", "required"}:
        raise RefusedError(f"Invalid value for tool_choice: {choice!r}")
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        definition = wanted["json_schema"]
        if not re.fullmatch(r"[\w-]{1,64}", definition.get("name", "")):
            raise RefusedError("Invalid 'response_format.json_schema.name'")
        if definition.get("strict"):
            _check_strict(definition["schema"], "response_format")
    if len(body["stop"] if isinstance(body.get("stop"), list) else []) > 4:
        raise RefusedError("Invalid 'stop': array too long, expected at most 4")


def _check_message(message: Mapping[str, Any], open_calls: set[str]) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in {"system", "developer", "user", "assistant", "tool"}:
        raise RefusedError(f"Invalid role {role!r}")
    if content is None and not (role == "assistant" and message.get("tool_calls")):
        raise RefusedError(f"Message of role {role!r} has no content")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type")
        if kind not in PARTS or kind not in part:
            raise RefusedError(f"Invalid content part of type {kind!r}")
    if role == "tool":
        if message.get("tool_call_id") not in open_calls:
            raise RefusedError("A message of role 'tool' must follow a message with 'tool_calls'")
        open_calls.discard(message["tool_call_id"])
    elif open_calls:
        raise RefusedError(f"tool_call_ids without a response: {', '.join(sorted(open_calls))}")
    for call in message.get("tool_calls") or ():
        json.loads(call["function"]["arguments"])
        open_calls.add(call["id"])


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function") if tool.get("type") == "function" else None
    name = (function or {}).get("name", "")
    if function is None or not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):
        raise RefusedError(f"Invalid tool {tool!r}")
    if function.get("strict"):
        _check_strict(function["parameters"], f"function {name!r}")
    return str(name)


def _check_strict(schema: Any, where: str) -> None:
    if isinstance(schema, list):
        for item in schema:
            _check_strict(item, where)
    if not isinstance(schema, Mapping):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise RefusedError(f"Invalid schema for {where}: 'additionalProperties' is required to be false")
        if set(schema.get("required", ())) != set(schema.get("properties", ())):
            raise RefusedError(f"Invalid schema for {where}: 'required' must include every key in properties")
    for value in schema.values():
        _check_strict(value, where)


class Answer:
    """A reply as the API would send it: cut at `stop` and `max_tokens`, counted, with ids."""

    def __init__(self, body: Mapping[str, Any], reply: Reply) -> None:
        self.body, self.reply = body, reply
        self.id, self.copies = f"chatcmpl-{uuid.uuid4().hex[:12]}", int(body.get("n") or 1)
        self.others = list(reply.others)[: self.copies - 1]
        self.text, cut = _cut(reply.text, body)
        self.calls = [_call(name, arguments) for name, arguments in reply.tool_calls]
        self.finish_reason = reply.finish_reason or cut or ("tool_calls" if self.calls else "stop")

    @property
    def usage(self) -> dict[str, Any]:
        if self.reply.usage is not None:
            return dict(self.reply.usage)
        asked = sum(3 + tokens(text_of(message)) for message in self.body["messages"])
        asked += sum(tokens(json.dumps(tool)) for tool in self.body.get("tools") or ())
        thought = tokens(self.reply.reasoning)
        said = thought + tokens(self.text or "")
        said += sum(1 + tokens(call["function"]["arguments"]) for call in self.calls)
        said = said * (self.copies - len(self.others)) + sum(map(tokens, self.others))
        return {
            "prompt_tokens": asked,
            "completion_tokens": said,
            "total_tokens": asked + said,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }

    def payload(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.calls:
            message["tool_calls"] = self.calls
        if self.reply.reasoning:
            message["reasoning_content"] = self.reply.reasoning
        choice = {"message": message, "finish_reason": self.finish_reason, "logprobs": self._logprobs(self._pieces())}
        choices = [{"index": index, **choice} for index in range(self.copies)]
        for one, text in zip(choices[1:], self.others, strict=False):
            one["message"] = {**message, "content": text}
        return {
            **self._head("chat.completion"),
            "choices": choices,
            "usage": self.usage,
        }

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a stream; the caller adds [DONE]."""
        for index in range(self.copies):
            yield self._chunk(index, {"role": "assistant", "content": ""})
            if self.reply.reasoning:
                yield self._chunk(index, {"reasoning_content": self.reply.reasoning})
            for place, piece in enumerate(self._pieces()):
                yield self._chunk(index, {"content": piece}, logprobs=self._logprobs([piece], place))
            for place, call in enumerate(self.calls):
                yield from self._call_chunks(index, place, call)
            yield self._chunk(index, {}, finish_reason=self.finish_reason)
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def _call_chunks(self, index: int, place: int, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
        arguments = call["function"]["arguments"]
        opening = {**call, "index": place, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield self._chunk(index, {"tool_calls": [opening]})
        for start in range(0, len(arguments), 8):
            piece = {"index": place, "function": {"arguments": arguments[start : start + 8]}}
            yield self._chunk(index, {"tool_calls": [piece]})

    def _pieces(self) -> list[str]:
        if self.reply.chunks is not None and "".join(self.reply.chunks) == self.text:
            return list(self.reply.chunks)
        return re.findall(r"\S+\s*|\s+", self.text or "")

    def _logprobs(self, pieces: list[str], first: int = 0) -> dict[str, Any] | None:
        if not self.body.get("logprobs"):
            return None
        given = self.reply.logprobs
        values = [-0.1 if given is None else given[(first + i) % len(given)] for i in range(len(pieces))]
        return {
            "content": [
                {"token": piece, "logprob": value, "bytes": list(piece.encode()), "top_logprobs": []}
                for piece, value in zip(pieces, values, strict=True)
            ]
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": CREATED, "model": self.body["model"]}

    def _chunk(self, index: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": None, "logprobs": None, **more}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}


def _call(name: str, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {
        "id": f"call_{uuid.uuid4().hex[:12]}", "type": "function", "function": {"name": name, "arguments": written},
    }  # fmt: skip


def _cut(text: str | None, body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    if not text:
        return text, None
    stops = body.get("stop") or ()
    places = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop in text]
    if places:
        text = text[: min(places)]
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    words = list(re.finditer(r"\w+|[^\w\s]", text))
    if most is not None and len(words) > most:
        return text[: words[most].start()], "length"
    return text, None


def embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Embed texts as hashed bags of words, of length one."""
    texts = [body["input"]] if isinstance(body["input"], str) else list(body["input"])
    data = []
    for index, text in enumerate(texts):
        vector = _embed(str(text))
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        value = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    count = sum(tokens(str(text)) for text in texts)
    return {
        "object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": count, "total_tokens": count},
    }  # fmt: skip


def _embed(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()) or [""]:
        vector[hashlib.md5(word.encode()).digest()[0] % DIMENSIONS] += 1.0
    length = sum(value * value for value in vector) ** 0.5
    return [value / length for value in vector]
