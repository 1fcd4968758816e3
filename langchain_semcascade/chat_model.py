"""The chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

from langchain_semcascade.base import CascadeModel
from langchain_semcascade.errors import translated
from langchain_semcascade.messages import PROVIDER, delta_chunk, last_chunk, to_message, to_openai
from langchain_semcascade.runs import current_run
from langchain_semcascade.structured_output import (
    Method,
    Schema,
    Tool,
    openai_tool_choice,
    openai_tools,
    parser_for,
    response_format,
    structured_arguments,
    with_parser,
    with_tools,
)
from langchain_semcascade.tracing import atelling_failures, atold, member_runs, telling_failures, told
from semcascade.config import Member
from semcascade.decision import FALLBACK, Result
from semcascade.errors import InputError
from semcascade.transport.base import Delta
from semcascade.transport.crossing import asked_from_here, from_here

__all__ = ["ChatSemCascade"]

_STREAM_SWITCHES = ("stream", "stream_options", "stream_usage")
"""Arguments by which other chat models are told to stream; here the method that is called says it."""

_NOT_PER_CALL = {
    "n": "one call gives one answer; batch several calls, or give members samples",
    **dict.fromkeys(("timeout", "max_retries"), "set it on the model, or on a member"),
    **dict.fromkeys(("api_key", "api_base", "base_url"), "set it on a member"),
}
"""Arguments that a call does not take, and what to do instead."""


class ChatSemCascade(CascadeModel):
    """A chat model that asks an ensemble of cheap models, returns their consensus, or defers to a target.

    Settings of the cascade are those of `semcascade.CascadeConfig`; parameters of the request (`temperature`, ...)
    go to every member and win over the member's own.

    Raises:
        ConfigError: If a setting is wrong; its `field` names it.

    >>> from semcascade import ScriptedTransport
    >>> script = ScriptedTransport({"openai/a": "Paris", "openai/b": "Paris", "openai/big": "It is Paris."})
    >>> model = ChatSemCascade(ensemble=["openai/a", "openai/b"], target="openai/big", transport=script)
    >>> message = model.invoke("What is the capital of France?")
    >>> message.text, message.response_metadata["semcascade"]["accepted"]
    ('Paris', True)
    """

    # --- one call

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with translated(), telling_failures(run_manager):
            result = self.cascade.complete(to_openai(messages), **self._options(stop, kwargs, run_manager))
        told(run_manager, result.decision)
        return self._chat_result(result)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with translated():
            async with atelling_failures(run_manager):
                options = self._options(stop, kwargs, run_manager)
                with asked_from_here():
                    result = await self.cascade.acomplete(to_openai(messages), **options)
        await atold(run_manager, result.decision)
        return self._chat_result(result)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        run = current_run(run_manager, CallbackManagerForLLMRun)
        with translated(), telling_failures(run):
            options = self._options(stop, kwargs, run)
            with closing(self.cascade.stream(to_openai(messages), **options)) as items:
                for item in items:
                    if isinstance(item, Result):
                        told(run, item.decision)
                    chunk = self._chunk(item)
                    if chunk is None:
                        continue
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        run = current_run(run_manager, AsyncCallbackManagerForLLMRun)
        with translated():
            async with atelling_failures(run):
                options = self._options(stop, kwargs, run)
                async with aclosing(from_here(self.cascade.astream(to_openai(messages), **options))) as items:
                    async for item in items:
                        if isinstance(item, Result):
                            await atold(run, item.decision)
                        chunk = self._chunk(item)
                        if chunk is None:
                            continue
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _options(
        self, stop: list[str] | None, kwargs: dict[str, Any], run_manager: BaseRunManager | None = None
    ) -> dict[str, Any]:
        """Return the options of one call: the model's own under those of the call."""
        call = {key: value for key, value in kwargs.items() if key not in _STREAM_SWITCHES}
        options = {"temperature": self.temperature, "max_tokens": self.max_tokens, **self.model_kwargs, **call}
        options["stop"] = stop or self.stop or None
        options["member"], options["watcher"] = options.pop("model", None), member_runs(run_manager)
        if options["member"] is not None:
            self.cascade.find(options["member"], field="model")
        for name in _NOT_PER_CALL.keys() & options.keys():
            raise InputError(f"not an argument of a call; {_NOT_PER_CALL[name]}", field=name)
        if isinstance(options.get("response_format"), type):
            options["response_format"] = response_format(options["response_format"])
        return options

    def _chat_result(self, result: Result) -> ChatResult:
        message = to_message(result.candidate, self._metadata(result))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _chunk(self, item: Delta | Result) -> ChatGenerationChunk | None:
        return last_chunk(item.candidate, self._metadata(item)) if isinstance(item, Result) else delta_chunk(item)

    def _metadata(self, result: Result) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "model_name": self._member(result).model,
            "model_provider": PROVIDER,
            "finish_reason": result.candidate.finish_reason,
            "semcascade": result.decision.to_dict(),
        }
        if result.candidate.tokens:
            metadata["logprobs"] = {"content": [dict(token) for token in result.candidate.tokens]}
        return metadata

    def _member(self, result: Result) -> Member:
        """Return the member that answered: of the tier that answered, as two tiers may share a name."""
        config = self.cascade.config
        ranked = sorted(config.tiers, key=lambda tier: tier.name != result.decision.tier)
        places = [*(tier.members for tier in ranked), config.fallback]
        if result.decision.tier == FALLBACK:
            places.reverse()
        return next(member for place in places for member in place if member.name == result.candidate.member)

    # --- tools and schemas

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools; members that agree on the calls are believed.

        Args:
            tools: Functions, Pydantic classes, tools of LangChain, or mappings in OpenAI's or Anthropic's shape.
            tool_choice: "auto", "none", "any" (or "required", True), or the name of the tool that must be called.
            strict: Whether the provider must hold arguments to the schema.
            parallel_tool_calls: Whether one answer may hold several calls.
            **kwargs: Further arguments of each call.

        Raises:
            ChatInputError: If something is no tool, `tool_choice` names none of them, or no member can call tools.
        """
        with translated():
            written = openai_tools(tools, strict=strict)
            choice = openai_tool_choice(tool_choice, written)
            self.cascade.check(tools=written, tool_choice=choice)
        given = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        return self.bind(tools=written, **{key: value for key, value in given.items() if value is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[Tool] = (),
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return answers as objects of a schema.

        Args:
            schema: A Pydantic class, a TypedDict, or a JSON schema with a title; may be None for "json_mode".
            method: "function_calling" (a tool that must be called; the widest support), "json_schema" (the
                provider's structured output), or "json_mode" (any JSON; the prompt must say which).
            include_raw: Whether to return a dict of `raw`, `parsed` and `parsing_error` instead, and not to raise
                where an answer does not parse.
            strict: Whether the provider must hold the answer to the schema; not with "json_mode".
            tools: What the model may call instead of answering, not with "function_calling"; `include_raw` shows calls.
            **kwargs: Further arguments of each call.

        Raises:
            ChatInputError: If the schema, the method, or their combination is wrong, or no member can answer so.
        """
        with translated():
            arguments = structured_arguments(schema, method, strict=strict)
            arguments = with_tools(arguments, tools, strict=strict) if tools else arguments
            self.cascade.check(**arguments)
        noted = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        model = self.bind(**arguments, **kwargs, ls_structured_output_format=noted)
        return with_parser(model, parser_for(schema, method), include_raw=include_raw)
