"""One model that may be asked, and how."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import Field, SecretStr, field_serializer, model_validator

from semcascade.abilities import Ability
from semcascade.errors import InputError
from semcascade.messages import as_conversation
from semcascade.redaction import is_secret_key, secret_values, without_secrets
from semcascade.validated import Count, Price, Retries, Seconds, Settings, Whole

__all__ = ["REQUEST_PARAMETERS", "Member", "unsendable"]

REQUEST_PARAMETERS = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "seed", "stop",
        "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort",
        "thinking", "verbosity", "service_tier", "user", "metadata", "parallel_tool_calls", "modalities",
        "extra_headers", "extra_body", "api_version", "organization", "drop_params", "custom_llm_provider",
    }
)  # fmt: skip
"""Request parameters that may stand beside a member's own settings; others go under `params`."""

_UNPRINTED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters, which no header can hold."""


class Member(Settings):
    """One model that may be asked."""

    model: str
    """Provider and model, e.g. `"openai/gpt-5-mini"`, `"local/smollm2"`."""
    name: str = ""
    """How decisions call it; the model's id unless given. Two members of a tier need two names."""
    transport: str | None = None
    """`"litellm"` (the default), `"openai"` (the same by HTTP alone, much faster, for services with OpenAI's chat
    interface), `"local"`, or the name of a transport of the user's own."""
    api_base: str | None = None
    """Address of an OpenAI-compatible service of one's own."""
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    """The key itself. Never dumped and never pickled; `api_key_env` survives both."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""
    priority: Whole = 0
    """Higher wins ties; among equals the member listed first."""
    samples: Count = Field(default=1, le=64)
    """How many answers to ask of it: by one request where its provider takes `n`, else by one for each; at
    temperature 1.0 unless it or the request sets temperature, top_p, top_k or min_p."""
    initial_samples: Count | None = Field(default=None, le=64)
    """How many of them to ask for at first; then one after the other until they leave no doubt which answer leads (95 %
    sure by the two largest clusters), or there are `samples`. None: all at once."""
    preamble: tuple[dict[str, Any], ...] = ()
    """Messages put before the conversation, behind its system message: few-shot examples, another prompt."""
    timeout: Seconds | None = None
    """Seconds for one attempt."""
    max_retries: Retries | None = None
    """How often a failed attempt is repeated."""
    input_cost_per_token: Price | None = None
    """US dollars; used where neither the provider nor the price table knows."""
    output_cost_per_token: Price | None = None
    """US dollars; used where neither the provider nor the price table knows."""
    cached_input_cost_per_token: Price | None = None
    """US dollars for what the provider read from its cache; the price of other input unless given."""
    reasoning_cost_per_token: Price | None = None
    """US dollars for hidden reasoning; the price of other output unless given."""
    context_window: Count | None = None
    """Tokens that the model takes in and gives out together."""
    abilities: dict[Ability, bool] = Field(default_factory=dict)
    """What the model can do, where what is known of it is wrong or nothing is: e.g. `{"tools": True}`."""
    params: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Parameters of every request to this member."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"model": data}
        if not isinstance(data, Mapping):
            return data
        given = data.get("params") or {}
        if not isinstance(given, Mapping):
            raise ValueError("params: expected a mapping of request parameters")  # noqa: TRY004 - pydantic passes it on
        known, params = {}, dict(given)
        for key, value in data.items():
            if key in REQUEST_PARAMETERS:
                params[key] = value
            elif key != "params":
                known[key] = value
        return {**known, "params": params}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.model.strip():
            raise ValueError("model: it is empty; give a provider id such as 'openai/gpt-5-mini'")
        if self.initial_samples is not None and self.initial_samples > self.samples:
            raise ValueError(f"initial_samples: {self.initial_samples} is more than samples, {self.samples}")
        if not self.name:
            object.__setattr__(self, "name", self.model)
        wrong = unsendable(self.params)
        if wrong is not None:
            raise ValueError(": ".join(wrong))
        address = _address(self.api_base or "")
        if "@" in address.netloc or any(is_secret_key(key) for key, _ in parse_qsl(address.query)):
            raise ValueError("api_base: it carries a password or key; give that as api_key_env")
        for index, message in enumerate(self.preamble):
            try:
                as_conversation([message])
            except InputError as error:
                raise ValueError(str(error).replace("prompt[0]", f"preamble[{index}]", 1)) from None
        return self

    @property
    def provider(self) -> str:
        """The part of the model id before the first slash, or ""."""
        return self.model.partition("/")[0] if "/" in self.model else ""

    def key(self) -> str | None:
        """Return the key that was given here, or that the named environment variable holds; None where it is blank.

        Keys are read from files, and no header can hold the line break at a file's end.
        """
        if self.api_key is not None:
            return self.api_key.get_secret_value().strip() or None
        return os.environ.get(self.api_key_env, "").strip() or None if self.api_key_env else None

    def secrets(self) -> tuple[str, ...]:
        """Return every secret among the settings, so that it can be kept out of what is shown."""
        return tuple(filter(None, [self.key(), *secret_values(self.params)]))

    @field_serializer("params")
    def _safe_params(self, params: dict[str, Any]) -> dict[str, Any]:
        return without_secrets(params)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults, without any secret."""
        data = self.model_dump(exclude_defaults=True, exclude={"params", "name"}, mode="json")
        if self.name != self.model:
            data["name"] = self.name
        params = self._safe_params(self.params)
        return {**data, **({"params": params} if params else {})}

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        params = self._safe_params(self.params)
        return {**state, "__dict__": {**state["__dict__"], "api_key": None, "params": params}}


def unsendable(params: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the name of a request parameter that no client can send, and why; None where all can be sent.

    >>> unsendable({"extra_headers": {"X-Team": 5}})
    ('extra_headers', "expected a text for 'X-Team', got int")
    """
    for name in ("extra_headers", "extra_body"):
        given = params.get(name)
        if given is not None and not isinstance(given, Mapping):
            return name, f"expected a mapping, got {type(given).__name__}"
    for header, value in (params.get("extra_headers") or {}).items():
        if not isinstance(value, str):
            return "extra_headers", f"expected a text for {header!r}, got {type(value).__name__}"
        if _UNPRINTED.search(f"{header}{value}"):
            return "extra_headers", f"{header!r} holds a line break or another control character"
    return None


def _address(text: str) -> SplitResult:
    try:
        address = urlsplit(text)
        address.port  # noqa: B018 - it is read when it is asked for
    except ValueError as error:
        raise ValueError(f"api_base: it is no address: {error}") from None
    if re.search(r"\s", text) or _UNPRINTED.search(text):
        raise ValueError("api_base: it is no address: it holds a space or a line break")
    return address
