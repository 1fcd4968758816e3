"""Existing LlamaIndex LLMs as members of a cascade, with their own settings and clients."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from contextvars import copy_context
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, ThinkingBlock
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.tools.types import AsyncBaseTool, ToolMetadata, ToolOutput

from llamaindex_semcascade.conversations import from_conversation
from llamaindex_semcascade.messages import tool_calls_of
from semcascade.abilities import Ability
from semcascade.config import Member
from semcascade.errors import BadRequestError
from semcascade.messages import Candidate, Request, ToolCall, Usage
from semcascade.transport.adoption import with_models_as_members
from semcascade.transport.base import Delta, Transport
from semcascade.transport.crossing import asked, in_pieces
from semcascade.transport.recorded import whole

__all__ = ["LLMTransport", "with_llms_as_members"]


def with_llms_as_members(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Transport]]:
    """Replace the LLMs among the members by members that ask them; see `with_models_as_members`."""
    return with_models_as_members(settings, _as_member, prefix="llamaindex")


def _as_member(value: object) -> tuple[dict[str, Any], Transport] | None:
    if not isinstance(value, LLM):
        return None
    name = _name(value)
    return {"model": f"llamaindex/{name}", "name": name}, LLMTransport(value)


def _name(llm: LLM) -> str:
    """Return the LLM's model; its metadata come last, since for some they take a table of models to load."""
    return str(getattr(llm, "model_name", None) or getattr(llm, "model", None) or llm.metadata.model_name)


class LLMTransport(Transport):
    """Asks one LlamaIndex LLM.

    Args:
        llm: The LLM; its settings are left as they are, parameters of a request are given with the call.
    """

    def __init__(self, llm: LLM) -> None:
        self.llm = llm

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for one whole answer.

        Raises:
            BadRequestError: If it asks for what a LlamaIndex LLM cannot be asked for.
        """
        arguments = self._arguments(member, request)

        def chat() -> ChatResponse:
            return self.llm.chat(**arguments)

        async def achat() -> ChatResponse:
            return await self.llm.achat(**arguments)

        # The asynchronous methods of a CustomLLM hold up the loop.
        awaiting = None if isinstance(self.llm, CustomLLM) else achat
        return self._candidate(member, await asked(chat, awaiting, context=copy_context()))

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Ask for one answer in pieces; tool calls come whole, with the last one.

        Raises:
            BadRequestError: If it asks for what a LlamaIndex LLM cannot be asked for.
        """
        if isinstance(self.llm, CustomLLM):
            yield whole(await self.complete(member, request, timeout=timeout))
            return
        arguments = self._arguments(member, request)

        def stream_chat() -> Iterator[ChatResponse]:
            with closing(self.llm.stream_chat(**arguments)) as stream:
                yield from stream

        async def astream_chat() -> AsyncIterator[ChatResponse]:
            async with aclosing(await self.llm.astream_chat(**arguments)) as stream:
                async for response in stream:
                    yield response

        response, shown = None, 0
        async with aclosing(in_pieces(stream_chat, astream_chat, context=copy_context())) as responses:
            async for response in responses:
                text = response.message.content or ""
                if len(text) > shown:
                    yield Delta(text=text[shown:])
                    shown = len(text)
        if response is not None:
            yield dataclasses.replace(whole(self._candidate(member, response)), text="")

    def context_window(self, member: Member) -> int | None:
        """Return the member's setting, else what the LLM says of itself."""
        return member.context_window or self.llm.metadata.context_window

    def abilities(self, member: Member) -> Mapping[Ability, bool]:
        """Return what the LLM says of itself; a schema to hold answers to it has no common way to be given."""
        return {"tools": self.llm.metadata.is_function_calling_model, "structured_output": False}

    def _arguments(self, member: Member, request: Request) -> dict[str, Any]:
        if request.response_format is not None:
            raise BadRequestError(
                "a LlamaIndex LLM has no common way to be given a response_format; offer a tool instead",
                member=member.name,
            )
        params = {**member.params, **{key: value for key, value in request.params.items() if value is not None}}
        messages = from_conversation(request.messages)
        if not request.tools:
            return {"messages": messages, **params}
        if not isinstance(self.llm, FunctionCallingLLM):
            raise BadRequestError(f"{type(self.llm).__name__} takes no tools", member=member.name)
        parallel = params.pop("parallel_tool_calls", True)
        return self.llm._prepare_chat_with_tools_compat(
            [_Offered(tool["function"]) for tool in request.tools],
            chat_history=messages,
            allow_parallel_tool_calls=parallel,
            **_choice(request.tool_choice),
            **params,
        )

    def _candidate(self, member: Member, response: ChatResponse) -> Candidate:
        message = response.message
        thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock) and block.content]
        calls = (call["function"] | {"id": call["id"]} for call in tool_calls_of(message))
        asked, answered = _tokens(response)
        usage = Usage(asked, answered) if asked or answered else None
        return Candidate(
            member=member.name,
            text=message.content or "",
            tool_calls=tuple(ToolCall(call["name"], call["arguments"], call["id"]) for call in calls),
            reasoning="\n".join(thoughts),
            usage=usage,
            cost=None if usage is None else self.price(member, usage),
            model=self.llm.metadata.model_name,
        )


class _Offered(AsyncBaseTool):
    """A tool that is offered to a model, and never run here."""

    def __init__(self, function: Mapping[str, Any]) -> None:
        self._metadata = _OfferedMetadata(description=function.get("description") or "", name=function["name"])
        self._metadata.parameters = dict(function.get("parameters") or {"type": "object", "properties": {}})

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def call(self, input: Any) -> ToolOutput:  # noqa: A002 - LlamaIndex's own name
        raise NotImplementedError

    async def acall(self, input: Any) -> ToolOutput:  # noqa: A002 - LlamaIndex's own name
        raise NotImplementedError


class _OfferedMetadata(ToolMetadata):
    """Tells the schema that the tool came with, which has no class any more."""

    parameters: dict[str, Any]

    def get_parameters_dict(self) -> dict[str, Any]:
        return self.parameters


def _choice(choice: str | Mapping[str, Any] | None) -> dict[str, Any]:
    if choice is None or choice == "auto":
        return {}
    if choice == "required":
        return {"tool_required": True}
    return {"tool_choice": choice if isinstance(choice, str) else choice["function"]["name"]}


def _tokens(response: ChatResponse) -> Sequence[int]:
    extra = response.additional_kwargs
    if "prompt_tokens" in extra:
        return extra["prompt_tokens"], extra.get("completion_tokens", 0)
    try:
        return get_tokens_from_response(response)
    except (TypeError, ValueError, AttributeError):
        return 0, 0
