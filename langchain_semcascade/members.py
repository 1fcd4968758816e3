"""Existing LangChain chat models as members of a cascade, with their own settings and clients."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.utils import convert_to_messages
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_function

from langchain_semcascade.crossing import asked, in_pieces
from langchain_semcascade.errors import member_error
from langchain_semcascade.profile import abilities_in
from langchain_semcascade.replies import cost_told, deltas, to_candidate
from semcascade.abilities import Ability
from semcascade.config import Member
from semcascade.errors import ConfigError, MalformedReplyError, MemberError
from semcascade.messages import Candidate, Request, Usage
from semcascade.model_table import known_of
from semcascade.transport.base import Delta, Transport, configured_price
from semcascade.transport.litellm import LiteLLMTransport
from semcascade.transport.recorded import whole

__all__ = ["ChatModelTransport", "as_member"]

_PROVIDERS = {
    "google_genai": "gemini", "google_vertexai": "vertex_ai", "amazon_bedrock": "bedrock", "together": "together_ai",
    "fireworks": "fireworks_ai", "mistralai": "mistral",
}  # fmt: skip
"""LangChain's names of providers that LiteLLM calls otherwise."""


def as_member(value: object) -> tuple[dict[str, Any], Transport] | None:
    """Return a chat model's settings as a member, and what asks it; None for what is no chat model.

    It is known by the id that LiteLLM has for its model, so that prices and windows are found. A model that repeats
    failed requests by itself is not made to do so twice.

    Raises:
        ConfigError: If it is made of a chat model (bound arguments, retries, fallbacks), but is none itself.
    """
    if not isinstance(value, BaseChatModel):
        if isinstance(value, Runnable):
            raise ConfigError(
                f"a {type(value).__name__} is no chat model; give the model itself, what was bound to it beside it: "
                "{'model': ..., 'params': {...}}; retries and fallbacks are settings of the cascade"
            )
        return None
    said = value._get_ls_params()
    provider = str(said.get("ls_provider") or "langchain")
    name = str(said.get("ls_model_name") or type(value).__name__)
    repeats = {"max_retries": 0} if isinstance(getattr(value, "max_retries", None), int) else {}
    return {"model": f"{_PROVIDERS.get(provider, provider)}/{name}", **repeats}, ChatModelTransport(value)


class ChatModelTransport(Transport):
    """Asks one LangChain chat model.

    Its handlers, tags and cache are its own: those of the cascade's run hear of that one run, not of its members.

    Args:
        model: The chat model; its settings are left as they are, parameters of a request are given with the call.
    """

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self._prices = LiteLLMTransport()

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for one whole answer."""
        try:
            model = self._bound(request)
            reply = await asked(model, _messages(request), **_parameters(member, request))
        except MemberError:
            raise
        except Exception as error:
            raise member_error(error, member) from error
        if isinstance(reply, Mapping):  # with_structured_output(include_raw=True)
            reply = _as_text(reply["raw"])
        if not isinstance(reply, AIMessage):
            raise MalformedReplyError(f"its answer is a {type(reply).__name__}, no AIMessage", member=member.name)
        return self._candidate(member, reply)

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Ask for one answer in pieces; one that is held to a schema comes in one."""
        if _held_to_schema(request):
            yield whole(await self.complete(member, request, timeout=timeout))
            return
        try:
            chunks = in_pieces(self._bound(request), _messages(request), **_parameters(member, request))
            async with aclosing(chunks), aclosing(deltas(chunks)) as pieces:
                async for piece in pieces:
                    yield piece if isinstance(piece, Delta) else self._last(member, piece)
        except MemberError:
            raise
        except Exception as error:
            raise member_error(error, member) from error

    async def prepare(self, member: Member) -> None:
        """Load LiteLLM's prices where they will be needed."""
        if known_of(member.model) and configured_price(member, Usage()) is None:
            await self._prices.prepare(member)

    def price(self, member: Member, usage: Usage) -> float | None:
        """Return the price by the member's settings, else by LiteLLM's table, else None."""
        configured = configured_price(member, usage)
        return configured if configured is not None or not known_of(member.model) else self._prices.price(member, usage)

    def context_window(self, member: Member) -> int | None:
        """Return the member's setting, else what the model's profile says, else LiteLLM's table, else None."""
        said = (self.model.profile or {}).get("max_input_tokens")
        return member.context_window or said or self._prices.context_window(member)

    def abilities(self, member: Member) -> dict[Ability, bool]:
        """Return what the model's profile says, over LiteLLM's table; a model that cannot bind tools has none."""
        known = {**self._prices.abilities(member), **abilities_in(self.model.profile or {})}
        if type(self.model).bind_tools is BaseChatModel.bind_tools:
            known |= {"tools": False, "tool_choice": False, "structured_output": False}
        return known

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Ask the same chat model from a copy of the cascade: many cannot be copied, as they keep connections."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the chat model as it pickles itself, keys included.

        Raises:
            PicklingError: If it cannot be pickled.
        """
        try:
            pickle.dumps(self.model)
        except Exception as error:
            kind = type(self.model).__name__
            raise pickle.PicklingError(
                f"the member {kind} cannot be pickled ({error}); give its model id instead, e.g. 'openai/gpt-5-mini'"
            ) from error
        return self.__dict__

    def _bound(self, request: Request) -> Runnable[Any, Any]:
        """Return the model with the request's tools and schema; beside tools, the schema goes as agents give it."""
        if _held_to_schema(request) and not request.tools:
            held, schema = _titled(request)
            strict = {"strict": held["strict"]} if held.get("strict") is not None else {}
            return self.model.with_structured_output(schema, method="json_schema", include_raw=True, **strict)
        bound: dict[str, Any] = {}
        if request.response_format is not None:
            bound["response_format"] = request.response_format
        if request.tools and request.tool_choice != "none":
            tools = [dict(tool) for tool in request.tools]
            options: dict[str, Any] = {"tool_choice": _choice(request.tool_choice)} if request.tool_choice else {}
            parallel, taken = (
                request.params.get("parallel_tool_calls"),
                inspect.signature(self.model.bind_tools).parameters,
            )
            if parallel is not None and "parallel_tool_calls" in taken:
                options["parallel_tool_calls"] = parallel
            if _held_to_schema(request):
                held, schema = _titled(request)
                bound["response_format"] = {"type": "json_schema", "json_schema": {**held, "schema": schema}}
                if {"strict", "response_format"} <= taken.keys():  # OpenAI's, which takes no others beside a schema
                    tools = [_strict(tool) for tool in tools]
            return self.model.bind_tools(tools, **options, **bound)
        return self.model.bind(**bound) if bound else self.model

    def _candidate(self, member: Member, message: AIMessage) -> Candidate:
        candidate = to_candidate(member.name, message)
        told, cost = cost_told(message)
        if not told and candidate.usage is not None:
            cost = self.price(member, candidate.usage)
        return dataclasses.replace(candidate, cost=cost)

    def _last(self, member: Member, message: AIMessage) -> Delta:
        """Return the piece that ends a stream: what is known only of the whole answer."""
        end = whole(self._candidate(member, message))
        return dataclasses.replace(end, text="", reasoning="", tool_calls=())


def _messages(request: Request) -> list[Any]:
    return convert_to_messages([dict(message) for message in request.messages])


def _parameters(member: Member, request: Request) -> dict[str, Any]:
    """Return what is given with the call: the member's parameters under those of the request."""
    given = {**member.params, **{key: value for key, value in request.params.items() if value is not None}}
    given.pop("parallel_tool_calls", None)
    stop = given.get("stop")
    return {**given, "stop": [stop]} if isinstance(stop, str) else given


def _held_to_schema(request: Request) -> bool:
    return (request.response_format or {}).get("type") == "json_schema"


def _strict(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": convert_to_openai_function(dict(tool["function"]), strict=True)}


def _titled(request: Request) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return what the answer is held to, and its schema with the title that LangChain's chat models look for."""
    held = (request.response_format or {})["json_schema"]
    return held, {"title": held["name"], "description": held.get("description", ""), **held.get("schema", {})}


def _choice(choice: str | Mapping[str, Any]) -> str:
    """Return a tool choice in the words that LangChain's chat models share."""
    if isinstance(choice, Mapping):
        return str(choice["function"]["name"])
    return "any" if choice == "required" else choice


def _as_text(message: Any) -> Any:
    """Return a structured answer as JSON text, also where the model gave it as the arguments of a tool call."""
    if isinstance(message, AIMessage) and message.tool_calls and not message.text:
        text = json.dumps(message.tool_calls[0]["args"], ensure_ascii=False)
        return message.model_copy(update={"content": text, "tool_calls": [], "response_metadata": {
            **message.response_metadata, "finish_reason": "stop"}})  # fmt: skip
    return message
