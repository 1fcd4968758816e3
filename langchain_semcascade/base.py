"""What the chat model is: its fields, the cascade behind them, and what LangChain asks about it."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.utils import secret_from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, field_serializer, model_validator

from langchain_semcascade.engines import Engine, Engines
from langchain_semcascade.messages import PROVIDER
from langchain_semcascade.profile import combined_profile
from langchain_semcascade.runs import RunAware
from langchain_semcascade.settings import SETTINGS, cache_key, normalised, plain
from semcascade.complaints import config_error
from semcascade.config import CascadeConfig, Selection
from semcascade.decision_log import DecisionLog
from semcascade.limits import Breaker, Budget
from semcascade.redaction import is_secret_key
from semcascade.router import Router
from semcascade.transport.base import Transport

if TYPE_CHECKING:
    from semcascade.engine.cascade import Cascade

__all__ = ["CascadeModel"]

_BUILT_FROM = (*SETTINGS, "config", "api_key", "transport", "transports")
"""The fields that the engine is made from; the others are read at each call."""


class CascadeModel(RunAware):
    """A chat model with the settings of a cascade."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    ensemble: Any = None
    """The cheap members: provider ids (`"openai/gpt-5-mini"`), chat models, or mappings of a member's settings."""
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
    sticky: bool | None = None
    """Whether a conversation stays on the tier that its earlier turns needed."""
    fallback: Any = None
    """Who is asked when the target fails, one after the other, before `on_target_failure` rules."""
    on_budget: Literal["raise", "ensemble"] | None = None
    """What happens when a cap leaves no room for the target."""
    early_exit: Literal["answer", "verdict", "off"] | None = None
    """When a tier stops waiting, as the missing answers can change nothing."""
    speculate: str | float | None = None
    """When the target is asked before it is known to be needed."""
    drop_slow: float | None = None
    """Once there are enough answers, do not wait for a member that takes longer than this share of its own."""
    hedge_after: str | float | None = None
    """After how many seconds, or which quantile of its latencies, a member is asked once more."""
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
    router: Router | None = None
    """Where queries start, by themselves alone: straight at the target from which complexity on; False: never."""
    log: DecisionLog | None = Field(default=None, exclude=True)
    """Where decisions are logged: a file, or a `semcascade.DecisionLog`; nowhere unless given. No dump holds it:
    what is loaded elsewhere does not log."""
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
    engines: Engines = Field(default_factory=Engines, exclude=True, repr=False)
    """The cascades behind this model and those derived from it, made by themselves."""

    _current: Engine | None = PrivateAttr(default=None)
    _built_from: tuple[Any, ...] = PrivateAttr(default=())

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
        return self._engine().cascade

    def warmup(self) -> None:
        """Do now what the first call would wait for: imports, and the start of local models."""
        self.cascade.warmup()

    async def awarmup(self) -> None:
        """Do now what the first call would wait for, asynchronously."""
        await self.cascade.awarmup()

    def _engine(self) -> Engine:
        """Return the engine; another one where a setting has been changed since."""
        given = tuple(getattr(self, name) for name in _BUILT_FROM)
        if self._current is None or not all(map(operator.is_, given, self._built_from)):
            self._current = self.engines.of(self._config(), self.transport, self.transports)
            self._built_from = given
        return self._current

    def _config(self) -> CascadeConfig:
        settings = {name: getattr(self, name) for name in SETTINGS}
        config = CascadeConfig.build(self.config, **settings)
        return config if self.api_key is None else config.with_key(self.api_key)

    # --- what LangChain asks about a model

    @property
    def _llm_type(self) -> str:
        return PROVIDER

    @property
    def model_name(self) -> str:
        """All members in one text, tier after tier."""
        return "->".join("+".join(member.name for member in tier.members) for tier in self.cascade.config.tiers)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that changes an answer, and no secret; caches and traces use it."""
        given = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            **self._safe_kwargs(),
        }
        engine = self.cascade
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
        params = {**self.asdict(), "call": {**kwargs, "stop": stop}, "engine": cache_key(self._engine())}
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
        return combined_profile(self.cascade) or None

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
        names = ("ensemble", "target", "tiers", "fallback", "config")
        members = {name: plain(getattr(self, name), self.transports) for name in names}
        attributes = {**members, "model_kwargs": self._safe_kwargs() if self.model_kwargs else None}
        return {name: value for name, value in attributes.items() if value is not None}

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        fields = {**state["__dict__"], "api_key": None, "model_kwargs": self._safe_kwargs()}
        fields.pop("_serialized", None)
        return {
            **state,
            "__dict__": fields,
            "__pydantic_private__": {"_current": None, "_built_from": ()},
        }
