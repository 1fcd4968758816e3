"""The chat model."""

from __future__ import annotations

import json
import operator
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils import secret_from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, field_serializer, model_validator

from langchain_semcascade.errors import translated
from langchain_semcascade.messages import PROVIDER, delta_chunk, last_chunk, to_message, to_openai
from langchain_semcascade.profile import combined_profile
from langchain_semcascade.settings import SETTINGS, normalised, plain
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
)
from semcascade.complaints import config_error
from semcascade.config import CascadeConfig, Member, Selection
from semcascade.decision import Result
from semcascade.errors import InputError
from semcascade.limits import Breaker, Budget
from semcascade.redaction import is_secret_key
from semcascade.transport.base import Delta, Transport

if TYPE_CHECKING:
    from semcascade.engine.cascade import Cascade

__all__ = ["ChatSemCascade"]

_BUILT_FROM = (*SETTINGS, "config", "api_key", "transport", "transports")
"""The fields that the engine is made from; the others are read at each call."""

_STREAM_SWITCHES = ("stream", "stream_options", "stream_usage")
"""Arguments by which other chat models are told to stream; here the method that is called says it."""

_NOT_PER_CALL = {
    "n": "one call gives one answer; batch several calls, or give members samples",
    **dict.fromkeys(("timeout", "max_retries"), "set it on the model, or on a member"),
    **dict.fromkeys(("api_key", "api_base", "base_url"), "set it on a member"),
}
"""Arguments that a call does not take, and what to do instead."""


class ChatSemCascade(BaseChatModel):
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

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    ensemble: Any = None
    """The cheap members: provider ids (`"openai/gpt-5-mini"`), mappings of a member's settings, or `Member`s."""
    target: Any = None
    """The member that answers what the ensemble cannot."""
    tiers: Any = None
    """The long form, instead of ensemble and target: tiers in the order they are asked."""
    config: Any = None
    """A TOML or JSON file, or a mapping, with these settings; the ones given here win over it."""
    threshold: float | None = None
    """Least reliability, 0 to 1, at which the ensemble's answer is accepted."""
    escalation_rate: float | None = None
    """Share of queries to defer, instead of a threshold."""
    similarity: str | dict[str, Any] | None = None
    """How answers are compared."""
    signal: str | None = None
    """What is scored."""
    selection: Selection | None = None
    """Which answer is returned."""
    deadline: float | None = None
    """Seconds for the whole query."""
    quorum: int | None = None
    """How many answers a tier needs to be scored."""
    on_target_failure: Literal["raise", "ensemble"] | None = None
    """What happens when the target fails."""
    budget: Budget | None = None
    """Hard caps on requests, tokens and US dollars, for each query and for all in a stretch of time."""
    on_budget: Literal["raise", "ensemble"] | None = None
    """What happens when a cap leaves no room for the target."""
    breaker: Breaker | None = None
    """After how many failures in a row a member is left alone, and for how long; False: never."""
    unsupported: Literal["route", "raise"] | None = None
    """What happens to a query that a member cannot answer: it goes to those who can, or is refused when bound."""
    timeout: float | None = None
    """Seconds for one attempt at one member."""
    max_retries: int | None = None
    """How often a failed attempt at a member is repeated."""
    policy: str | dict[str, Any] | None = Field(default=None, repr=False)
    """A fitted policy that decides instead of signal, selection and threshold: its file, or the policy itself."""
    api_key: SecretStr | None = Field(default_factory=secret_from_env("SEMCASCADE_API_KEY", default=None))
    """The key of all members that have none of their own; they must then be of one provider."""

    temperature: float | None = None
    """Sampling temperature of every member."""
    max_tokens: int | None = None
    """Most tokens of an answer."""
    stop: list[str] | str | None = None
    """Texts at which an answer ends."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further request parameters, e.g. `{"top_p": 0.9}`."""
    streaming: bool = False
    """Whether `invoke` streams inside, for the sake of callbacks."""

    transport: Transport | None = Field(default=None, exclude=True, repr=False)
    """Serves every member that names no transport; LiteLLM unless given."""
    transports: dict[str, Transport] | None = Field(default=None, exclude=True, repr=False)
    """Further transports, by the names that members call them."""

    _cascade: Cascade | None = PrivateAttr(default=None)
    _built_from: tuple[Any, ...] = PrivateAttr(default=())
    _token: str = PrivateAttr(default="")

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise config_error(error, names=type(self).model_fields, member_names=(), short=False) from None

    @model_validator(mode="before")
    @classmethod
    def _normalise(cls, data: Any) -> Any:
        return normalised(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _build(self) -> Self:
        self._engine()
        return self

    # --- the engine

    @property
    def cascade(self) -> Cascade:
        """The cascade behind the model: its `config`, its `ledger`, and its own methods."""
        return self._engine()

    def warmup(self) -> None:
        """Do now what the first call would wait for: imports, and the start of local models."""
        self._engine().warmup()

    async def awarmup(self) -> None:
        """Do now what the first call would wait for, asynchronously."""
        await self._engine().awarmup()

    def _engine(self) -> Cascade:
        """Return the engine; make it anew where a setting has been changed since."""
        current = tuple(getattr(self, name) for name in _BUILT_FROM)
        if self._cascade is None or not all(map(operator.is_, current, self._built_from)):
            from semcascade.engine.cascade import Cascade

            self._cascade = Cascade(self._config(), transport=self.transport, transports=self.transports)
            self._built_from, self._token = current, uuid.uuid4().hex
        return self._cascade

    def _config(self) -> CascadeConfig:
        settings = {name: getattr(self, name) for name in SETTINGS}
        config = CascadeConfig.build(self.config, **settings)
        return config if self.api_key is None else config.with_key(self.api_key)

    # --- one call

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with translated():
            result = self._engine().complete(to_openai(messages), **self._options(stop, kwargs))
        return self._chat_result(result)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with translated():
            result = await self._engine().acomplete(to_openai(messages), **self._options(stop, kwargs))
        return self._chat_result(result)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with translated(), closing(self._engine().stream(to_openai(messages), **self._options(stop, kwargs))) as items:
            for item in items:
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
        with translated():
            options = self._options(stop, kwargs)
            async with aclosing(self._engine().astream(to_openai(messages), **options)) as items:
                async for item in items:
                    chunk = self._chunk(item)
                    if chunk is None:
                        continue
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _options(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the options of one call: the model's own under those of the call."""
        call = {key: value for key, value in kwargs.items() if key not in _STREAM_SWITCHES}
        options = {"temperature": self.temperature, "max_tokens": self.max_tokens, **self.model_kwargs, **call}
        options["stop"] = stop or self.stop or None
        options["member"] = options.pop("model", None)
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
        return {
            "model_name": self._member(result).model,
            "model_provider": PROVIDER,
            "finish_reason": result.candidate.finish_reason,
            "semcascade": result.decision.to_dict(),
        }

    def _member(self, result: Result) -> Member:
        """Return the member that answered: of the tier that answered, as two tiers may share a name."""
        tiers = self._engine().config.tiers
        ranked = sorted(tiers, key=lambda tier: tier.name != result.decision.tier)
        return next(member for tier in ranked for member in tier.members if member.name == result.candidate.member)

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
            self._engine().check(tools=written, tool_choice=choice)
        given = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        return self.bind(tools=written, **{key: value for key, value in given.items() if value is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
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
            **kwargs: Further arguments of each call.

        Raises:
            ChatInputError: If the schema, the method, or their combination is wrong, or no member can answer so.
        """
        with translated():
            arguments = structured_arguments(schema, method, strict=strict)
            self._engine().check(**arguments)
        noted = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        model = self.bind(**arguments, **kwargs, ls_structured_output_format=noted)
        return with_parser(model, parser_for(schema, method), include_raw=include_raw)

    # --- what LangChain asks about a model

    @property
    def _llm_type(self) -> str:
        return PROVIDER

    @property
    def model_name(self) -> str:
        """All members in one text, tier after tier."""
        return "->".join("+".join(member.name for member in tier.members) for tier in self._engine().config.tiers)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that changes an answer, and no secret; caches and traces use it."""
        given = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            **self._safe_kwargs(),
        }
        engine = self._engine()
        decided_by = {"policy": engine.policy.digest} if engine.policy else {}
        return {
            "model_name": self.model_name,
            "cascade": {**engine.config.to_dict(), **decided_by},
            **{key: value for key, value in given.items() if value is not None},
        }

    @field_serializer("model_kwargs")
    def _dumped_kwargs(self, _: dict[str, Any]) -> dict[str, Any]:
        return self._safe_kwargs()

    def _safe_kwargs(self) -> dict[str, Any]:
        return {key: value for key, value in self.model_kwargs.items() if not is_secret_key(key)}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the key under which caches keep answers; a transport of the user's own may answer anything."""
        params = {**self.asdict(), "call": {**kwargs, "stop": stop}}
        if self.transport is not None or self.transports:
            params["engine"] = self._token
        return json.dumps(params, sort_keys=True, default=repr)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=PROVIDER, ls_model_name=kwargs.get("model") or self.model_name, ls_model_type="chat"
        )
        temperature = kwargs.get("temperature", self.temperature)
        if temperature is not None:
            params["ls_temperature"] = temperature
        max_tokens = kwargs.get("max_tokens", self.max_tokens)
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        stops = stop or self.stop
        if stops:
            params["ls_stop"] = [stops] if isinstance(stops, str) else stops
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return combined_profile(self._engine()) or None

    def get_num_tokens(self, text: str) -> int:
        """Count tokens approximately, four characters each: every member has a tokenizer of its own."""
        return -(-len(text) // 4)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None) -> int:
        """Count tokens approximately: every member has a tokenizer of its own."""
        return count_tokens_approximately(messages, tools=tools)

    # --- serialising

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Say that `langchain_core.load.dumps` writes the model's settings."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variables that dumps name instead of secrets."""
        return {"api_key": "SEMCASCADE_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The members as plain data, without secrets."""
        members = {name: plain(getattr(self, name)) for name in ("ensemble", "target", "tiers", "config")}
        attributes = {**members, "model_kwargs": self._safe_kwargs() if self.model_kwargs else None}
        return {name: value for name, value in attributes.items() if value is not None}

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        fields = {**state["__dict__"], "api_key": None, "model_kwargs": self._safe_kwargs()}
        fields.pop("_serialized", None)
        return {
            **state,
            "__dict__": fields,
            "__pydantic_private__": {"_cascade": None, "_built_from": (), "_token": ""},
        }
