"""The cascade as one LlamaIndex LLM."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.program.utils import get_program_for_llm
from pydantic import Field, PrivateAttr, ValidationError, field_serializer

from llamaindex_semcascade.events import reported, reporting_failure
from llamaindex_semcascade.members import with_llms_as_members
from llamaindex_semcascade.messages import to_conversation
from llamaindex_semcascade.responses import to_chat_response, to_completion_response
from llamaindex_semcascade.settings import ASSUMED_CONTEXT_WINDOW, build_config, request_options
from llamaindex_semcascade.streams import acompletions, aresponses, completions, responses
from llamaindex_semcascade.tools import first_call_only, openai_tool_choice, openai_tools, tool_selections
from semcascade.complaints import config_error
from semcascade.config import CascadeConfig
from semcascade.engine.cascade import Cascade
from semcascade.redaction import is_secret_key
from semcascade.transport.base import Transport
from semcascade.transport.crossing import asked_from_here, from_here

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

__all__ = ["SemCascade"]

_logger = logging.getLogger(__name__)


class SemCascade(FunctionCallingLLM):
    """Asks cheap models first, returns their consensus, and asks a large model where they scatter.

    Stands wherever LlamaIndex takes an LLM: `Settings.llm`, query and chat engines, agents, structured prediction.

    Args:
        ensemble: The cheap members: model ids, mappings with a member's settings, or LlamaIndex LLMs.
        target: The member that answers what the ensemble cannot.
        tiers: The long form of both.
        config: A configuration, a mapping of settings, or the path of a TOML or JSON file; keyword settings win.
        preset: Name of a preset to start from instead, e.g. `"local"`: offline models, no key.
        transport: Serves every member that names no transport; LiteLLM unless given.
        transports: Further transports, by the names that members call them.
        api_key: Key of the members that have none of their own, where all of these are of one provider.
        **kwargs: Settings of the cascade (`threshold`, `escalation_rate`, `similarity`, `signal`, `selection`,
            `timeout`, `deadline`, `max_retries`, `on_target_failure`, `unsupported`, `policy`, `router`, `budget`,
            `on_budget`, `breaker`, `fallback`, `sticky`, `early_exit`, `speculate`, `drop_slow`, `hedge_after`), the
            fields below, and those of every LlamaIndex LLM (`system_prompt`, `callback_manager`, ...).

    Raises:
        ConfigError: If a setting is wrong; its `field` names it.

    >>> from semcascade import ScriptedTransport
    >>> script = ScriptedTransport({"a": "4", "b": "four", "c": "5", "big": "4"})
    >>> llm = SemCascade(ensemble=["a", "b", "c"], target="big", threshold=0.5, transport=script)
    >>> response = llm.complete("What is 2 + 2?")
    >>> response.text, response.additional_kwargs["semcascade"]["accepted"]
    ('4', True)
    """

    config: CascadeConfig
    """The cascade's settings; dumped without secrets."""
    temperature: float | None = None
    """Sampling temperature of every member; None leaves it to the members' own settings."""
    max_tokens: int | None = Field(default=None, gt=0)
    """Most tokens of an answer; None leaves it to the members' own settings."""
    additional_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further request parameters of every call."""
    context_window: int | None = Field(default=None, gt=0)
    """Tokens that a prompt and its answer may take; None: the least of the members that may answer."""
    is_function_calling_model: bool | None = None
    """Whether tools may be given; None: whether every member that may answer takes them."""

    _cascade: Cascade = PrivateAttr()
    _transport: Transport | None = PrivateAttr(default=None)
    _transports: dict[str, Transport] = PrivateAttr(default_factory=dict)
    _known_window: int | None = PrivateAttr(default=None)
    _tools_known: bool | None = PrivateAttr(default=None)

    def __init__(
        self,
        *,
        ensemble: Sequence[Any] | Mapping[str, Any] | None = None,
        target: Any | None = None,
        tiers: Sequence[Any] | None = None,
        config: CascadeConfig | Mapping[str, Any] | str | Path | None = None,
        preset: str | None = None,
        transport: Transport | None = None,
        transports: Mapping[str, Transport] | None = None,
        api_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        fields = {key: kwargs.pop(key) for key in tuple(kwargs) if key in type(self).model_fields}
        given = {"ensemble": ensemble, "target": target, "tiers": tiers, **kwargs}
        settings, of_llms = with_llms_as_members(given)
        built = build_config(config, preset=preset, api_key=api_key, settings=settings)
        try:
            super().__init__(config=built, **{key: value for key, value in fields.items() if value is not None})
        except ValidationError as error:
            raise config_error(error, names=type(self).model_fields, member_names=(), short=False) from None
        request_options(self.additional_kwargs, where="additional_kwargs")
        self._transport, self._transports = transport, {**of_llms, **(transports or {})}
        self._cascade = Cascade(built, transport=transport, transports=self._transports)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that stands for this class in dumps."""
        return "SemCascade"

    # --- what it is

    @property
    def cascade(self) -> Cascade:
        """The core's cascade behind this LLM; its `ledger` adds up what was spent."""
        return self._cascade

    @property
    def model_name(self) -> str:
        """The members, tier after tier; for people and traces."""
        tiers = ("+".join(member.name for member in tier.members) for tier in self.config.tiers)
        return f"semcascade({' -> '.join(tiers)})"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex packs prompts and chooses agents by: what every member that may answer can do."""
        return LLMMetadata(
            context_window=self._window(),
            num_output=self.max_tokens or -1,
            is_chat_model=True,
            is_function_calling_model=self._takes_tools(),
            model_name=self.model_name,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return what traces say about this LLM; never a secret, and never a wait for the table of models."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "is_chat_model": True,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _window(self) -> int:
        if self.context_window is not None:
            return self.context_window
        if self._known_window is None:
            windows = self._cascade.context_windows()
            unknown = [name for name, window in windows.items() if window is None]
            if unknown:
                _logger.warning(
                    "context window of %s is unknown, assuming %d tokens; set context_window",
                    ", ".join(unknown),
                    ASSUMED_CONTEXT_WINDOW,
                )
            self._known_window = min(window or ASSUMED_CONTEXT_WINDOW for window in windows.values())
        return self._known_window

    def _takes_tools(self) -> bool:
        if self.is_function_calling_model is not None:
            return self.is_function_calling_model
        if self._tools_known is None:
            self._tools_known = self._cascade.abilities().get("tools") is not False
        return self._tools_known

    def warmup(self) -> None:
        """Do now what the first query would wait for: imports, and the start of local models."""
        self._cascade.warmup()

    async def awarmup(self) -> None:
        """Do now what the first query would wait for, asynchronously."""
        await self._cascade.awarmup()

    # --- chat

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation.

        Args:
            messages: The conversation.
            **kwargs: `model`, to ask only the member of this name or model id; `tools`, `tool_choice`,
                `response_format`; and any request parameter.

        Raises:
            InputError: If a message or an argument is wrong; a ValueError.
            CascadeError: If no path led to an answer.
        """
        return self._chat(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation, asynchronously; see `chat`."""
        return await self._achat(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Yield the one answer in pieces, each with the message so far; see `chat`."""
        return self._stream_chat(messages, kwargs)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Yield the one answer in pieces, each with the message so far; see `chat`."""
        return self._astream_chat(messages, kwargs)

    # --- completion

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt; see `chat`."""
        return to_completion_response(self._chat(self._as_messages(prompt, formatted=formatted), kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt, asynchronously; see `chat`."""
        return to_completion_response(await self._achat(self._as_messages(prompt, formatted=formatted), kwargs))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Yield the one answer in pieces, each with the text so far; see `chat`."""
        return completions(self._stream_chat(self._as_messages(prompt, formatted=formatted), kwargs))

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Yield the one answer in pieces, each with the text so far; see `chat`."""
        return acompletions(self._astream_chat(self._as_messages(prompt, formatted=formatted), kwargs))

    # --- tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of `chat` for a turn with tools; the history is copied."""
        messages = list(chat_history or ())
        if user_msg is not None:
            asked = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
            messages.append(asked)
        if not tools:
            return {"messages": messages, **kwargs}
        offered = openai_tools(tools)
        return {
            "messages": messages,
            "tools": offered,
            "tool_choice": openai_tool_choice(tool_choice, offered, required=tool_required),
            "parallel_tool_calls": None if allow_parallel_tool_calls else False,
            **kwargs,
        }

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Keep one tool call where more are not allowed."""
        return response if allow_parallel_tool_calls else first_call_only(response)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response.

        Raises:
            ValueError: If there is none and `error_on_no_tool_call` is set.
        """
        calls = tool_selections(response.message)
        if not calls and error_on_no_tool_call:
            raise ValueError(f"expected a tool call, but the model answered in words: {response.message.content!r}")
        return calls

    # --- structured output

    def _structured_stream_call(
        self,
        output_cls: type[Any],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        pieces = self._program(output_cls, prompt).stream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return cast("Generator[Any, None, None]", pieces)

    async def _structured_astream_call(
        self,
        output_cls: type[Any],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        pieces = await self._program(output_cls, prompt).astream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return cast("AsyncGenerator[Any, None]", pieces)

    def _program(self, output_cls: type[Any], prompt: Any) -> Any:
        """Return what predicts a structure from a stream; it must force the tool, which the default one forgets."""
        return get_program_for_llm(
            output_cls, prompt, self, pydantic_program_mode=self.pydantic_program_mode, tool_choice="required"
        )

    # --- the one way to the core

    def _chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponse:
        span = active_span_id.get()
        with reporting_failure(span):
            result = self._cascade.complete(to_conversation(messages), **self._options(kwargs))
        return to_chat_response(reported(result, span))

    async def _achat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponse:
        span = active_span_id.get()
        with reporting_failure(span), asked_from_here():
            result = await self._cascade.acomplete(to_conversation(messages), **self._options(kwargs))
        return to_chat_response(reported(result, span))

    def _stream_chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponseGen:
        pieces = self._cascade.stream(to_conversation(messages), **self._options(kwargs))
        return responses(pieces, active_span_id.get())

    def _astream_chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponseAsyncGen:
        pieces = self._cascade.astream(to_conversation(messages), **self._options(kwargs))
        return aresponses(from_here(pieces), active_span_id.get())

    def _options(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, **self.additional_kwargs}
        options = request_options({**own, **kwargs})
        if "member" in options:
            self._cascade.find(options["member"], field="model")
        return options

    def _as_messages(self, prompt: str, *, formatted: bool) -> list[ChatMessage]:
        text = prompt if formatted or self.completion_to_prompt is None else self.completion_to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=text)]

    # --- dumps and copies

    @field_serializer("config")
    def _plain_config(self, config: CascadeConfig) -> dict[str, Any]:
        return config.to_dict()

    @field_serializer("additional_kwargs")
    def _without_secrets(self, given: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in given.items() if not is_secret_key(key)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings without secrets, and the transports; handlers and limiters belong to a process."""
        left_out = {"callback_manager", "rate_limiter"}
        fields = {name: value for name, value in self.__dict__.items() if name not in left_out}
        fields["additional_kwargs"] = self._without_secrets(self.additional_kwargs)
        return _restore, (type(self), fields | {"transport": self._transport, "transports": self._transports})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy for use in the same process: keys are kept, handlers and transports shared, the ledger starts anew."""
        fresh = self.model_copy(update={"additional_kwargs": copy.deepcopy(self.additional_kwargs, memo)})
        fresh._cascade = Cascade(self.config, transport=self._transport, transports=self._transports)
        return fresh


def _restore(cls: type[SemCascade], settings: dict[str, Any]) -> SemCascade:
    return cls(**settings)
