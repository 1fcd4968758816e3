"""The cascade's settings as they stand in the chat model's fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semcascade.config import CascadeConfig, Member, Tier, load_config

__all__ = ["SETTINGS", "normalised", "plain"]

SETTINGS = (
    "ensemble", "target", "tiers", "threshold", "escalation_rate", "similarity", "signal", "selection", "deadline",
    "on_target_failure", "unsupported", "quorum", "timeout", "max_retries", "policy",
    "budget", "on_budget", "breaker",
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
        built = fields["config"] = load_config(config, **settings)
    else:
        built = CascadeConfig.build(config, **settings)
        fields["config"] = None if config is None else built
    if data.get("policy") is not None:
        fields["policy"] = built.policy
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
