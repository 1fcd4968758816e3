"""The cascade's settings as they stand in the chat model's fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from semcascade.config import CascadeConfig, Member, Tier, load_config
from semcascade.errors import ConfigError

__all__ = ["SETTINGS", "normalised", "plain", "with_key"]

SETTINGS = (
    "ensemble", "target", "tiers", "threshold", "escalation_rate", "similarity", "signal", "selection", "deadline",
    "on_target_failure", "timeout", "max_retries",
)  # fmt: skip
"""Fields of the chat model that are settings of the cascade, under the same names."""


def normalised(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings, and return the fields with their members as `Member` and `Tier`, which hide secrets.

    Raises:
        ConfigError: If a setting is wrong; its `field` names it.
    """
    fields = dict(data)
    settings = {name: data[name] for name in SETTINGS if data.get(name) is not None}
    config = data.get("config")
    if isinstance(config, str | Path):
        fields["config"] = load_config(config, **settings)
    else:
        built = CascadeConfig.build(config, **settings)
        fields["config"] = None if config is None else built
    for name in ("ensemble", "target"):
        if fields.get(name) is not None:
            fields[name] = _members(fields[name])
    if fields.get("tiers") is not None:
        fields["tiers"] = tuple(Tier.model_validate(tier) for tier in fields["tiers"])
    return fields


def _members(value: Any) -> Tier | tuple[Member, ...]:
    if isinstance(value, Tier) or (isinstance(value, Mapping) and "members" in value):
        return Tier.model_validate(value)
    listed = [value] if isinstance(value, str | Mapping | Member) else value
    return tuple(Member.model_validate(member) for member in listed)


def plain(value: Any) -> Any:
    """Return members, tiers and configurations as plain data without secrets; other values as they are."""
    if isinstance(value, Tier):
        own = value.model_dump(exclude={"members"}, exclude_defaults=True, mode="json")
        return {**own, "members": plain(value.members)}
    if isinstance(value, Member | CascadeConfig):
        return value.to_dict()
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def with_key(config: CascadeConfig, key: SecretStr | None) -> CascadeConfig:
    """Give the key to every member that has none of its own.

    Raises:
        ConfigError: If these members are of several providers: a key must not go to a stranger.
    """
    keyless = [member for member in config.members() if member.api_key is None and member.api_key_env is None]
    if key is None or not keyless:
        return config
    homes = sorted({member.api_base or member.provider or member.model for member in keyless})
    if len(homes) > 1:
        raise ConfigError(
            f"one key would go to {', '.join(homes)}; give each member its own api_key or api_key_env", field="api_key"
        )
    tiers = [tier.model_copy(update={"members": tuple(_keyed(m, key) for m in tier.members)}) for tier in config.tiers]
    return config.model_copy(update={"tiers": tuple(tiers)})


def _keyed(member: Member, key: SecretStr) -> Member:
    own = member.api_key is not None or member.api_key_env is not None
    return member if own else member.model_copy(update={"api_key": key})
