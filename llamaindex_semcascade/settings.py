"""What the constructor and each call are given, made into the core's configuration and options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from llamaindex_semcascade.tools import openai_response_format, openai_tool_choice, openai_tools
from semcascade.config import CascadeConfig, load_config
from semcascade.errors import ConfigError, InputError

__all__ = ["ASSUMED_CONTEXT_WINDOW", "build_config", "request_options"]

ASSUMED_CONTEXT_WINDOW = 8192
"""Tokens, for members of which neither their settings nor LiteLLM's table tell the context window."""

_NOT_PER_CALL = (frozenset(CascadeConfig.model_fields) - {"deadline"}) | {
    "api_base", "api_key", "ensemble", "escalation_rate", "messages", "prompt", "stream", "target", "transport",
}  # fmt: skip


def build_config(
    config: CascadeConfig | Mapping[str, Any] | str | Path | None,
    *,
    preset: str | None,
    api_key: str | SecretStr | None,
    settings: Mapping[str, Any],
) -> CascadeConfig:
    """Return the cascade's configuration.

    Raises:
        ConfigError: If a setting is missing, unknown or out of range; its `field` names it.
    """
    if preset is not None:
        if config is not None:
            raise ConfigError("it and config exclude each other; give one", field="preset")
        from semcascade.presets import preset as find_preset

        config = find_preset(preset)
    if isinstance(config, str | Path):
        built = load_config(config, **settings)
    else:
        built = CascadeConfig.build(config, **settings)
    return built if api_key is None else built.with_key(api_key)


def request_options(given: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
    """Return the options of one call as the core takes them.

    Raises:
        InputError: If something is a setting of the cascade, not of one call, or has the wrong shape.
    """
    options = {key: value for key, value in given.items() if value is not None}
    for name in options.keys() & _NOT_PER_CALL:
        field = f"{where}.{name}" if where else name
        raise InputError("it cannot be given per call; give it to SemCascade(...)", field=field)
    if "model" in options:
        options["member"] = options.pop("model")
    if "response_format" in options:
        options["response_format"] = openai_response_format(options["response_format"])
    tools = openai_tools(options.pop("tools", ()))
    if tools:
        options["tools"] = tools
        options["tool_choice"] = openai_tool_choice(options.get("tool_choice"), tools, required=False)
    return options
