"""A chat model like those of LangChain's partner packages: its own clients, asked at the loopback service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, convert_to_openai_messages
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr


class HttpChat(BaseChatModel):
    """Its asynchronous client keeps a connection, which belongs to the event loop that opened it."""

    model: str
    base_url: str
    temperature: float | None = None
    max_retries: int = 0

    _client: httpx.Client = PrivateAttr(default_factory=lambda: httpx.Client(timeout=10))
    _aclient: httpx.AsyncClient = PrivateAttr(default_factory=lambda: httpx.AsyncClient(timeout=10))

    @property
    def _llm_type(self) -> str:
        return "http-chat"

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    def _get_ls_params(self, stop=None, **kwargs):
        return {**super()._get_ls_params(stop, **kwargs), "ls_provider": "openai"}

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        if tool_choice not in (None, "auto", "none"):
            named = {"type": "function", "function": {"name": tool_choice}}
            kwargs["tool_choice"] = "required" if tool_choice == "any" else named
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    async def aclose(self) -> None:
        self._client.close()
        await self._aclient.aclose()

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        reply = self._client.post(self._url, json=self._body(messages, stop, kwargs))
        return _result(reply.raise_for_status().json())

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        reply = await self._aclient.post(self._url, json=self._body(messages, stop, kwargs))
        return _result(reply.raise_for_status().json())

    def _stream(self, messages, stop=None, run_manager=None, **kwargs) -> Iterator[ChatGenerationChunk]:
        body = self._body(messages, stop, kwargs, stream=True, stream_options={"include_usage": True})
        with self._client.stream("POST", self._url, json=body) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                yield from _chunks(line)

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs) -> AsyncIterator[ChatGenerationChunk]:
        body = self._body(messages, stop, kwargs, stream=True, stream_options={"include_usage": True})
        async with self._aclient.stream("POST", self._url, json=body) as reply:
            reply.raise_for_status()
            async for line in reply.aiter_lines():
                for chunk in _chunks(line):
                    yield chunk

    @property
    def _url(self) -> str:
        return f"{self.base_url}/chat/completions"

    def _body(self, messages, stop, kwargs, **more) -> dict[str, Any]:
        body = {"model": self.model, "messages": convert_to_openai_messages(messages), "stop": stop, **kwargs, **more}
        body.setdefault("temperature", self.temperature)
        return {key: value for key, value in body.items() if value is not None}


def _result(reply: dict[str, Any]) -> ChatResult:
    (choice,) = reply["choices"]
    calls = [
        {"name": call["function"]["name"], "args": json.loads(call["function"]["arguments"]), "id": call["id"]}
        for call in choice["message"].get("tool_calls") or ()
    ]
    message = AIMessage(
        choice["message"]["content"] or "",
        tool_calls=calls,
        usage_metadata=_usage(reply["usage"]),
        response_metadata={"model_name": reply["model"], "finish_reason": choice["finish_reason"]},
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunks(line: str) -> Iterator[ChatGenerationChunk]:
    if not line.startswith("data: {"):
        return
    piece = json.loads(line.removeprefix("data: "))
    if piece.get("usage"):
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=_usage(piece["usage"])))
    for choice in piece["choices"]:
        calls = [
            tool_call_chunk(
                name=call["function"].get("name"), args=call["function"].get("arguments"), id=call.get("id"),
                index=call["index"],
            )
            for call in choice["delta"].get("tool_calls") or ()
        ]  # fmt: skip
        ended = {"finish_reason": choice["finish_reason"], "model_name": piece["model"]}
        message = AIMessageChunk(
            choice["delta"].get("content") or "",
            tool_call_chunks=calls,
            response_metadata=ended if choice["finish_reason"] else {},
        )
        yield ChatGenerationChunk(message=message)


def _usage(usage: dict[str, Any]) -> dict[str, int]:
    asked, said = usage["prompt_tokens"], usage["completion_tokens"]
    return {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said}
