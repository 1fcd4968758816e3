"""The cascade's settings as they stand in the chat model's fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_semcascade.engines import Engine
from langchain_semcascade.members import ChatModelTransport, as_member
from langchain_semcascade.profile import Combined
from semcascade.config import CascadeConfig, Member, Tier, load_config
from semcascade.transport.adoption import with_models_as_members
from semcascade.transport.base import Transport

__all__ = ["SETTINGS", "normalised", "plain"]

SETTINGS = (
    "ensemble", "target", "tiers", "threshold", "escalation_rate", "similarity", "signal", "selection", "deadline",
    "on_target_failure", "unsupported", "quorum", "timeout", "max_retries", "policy", "router", "log",
    "budget", "on_budget", "breaker", "fallback", "sticky", "early_exit",
    "speculate", "drop_slow", "hedge_after",
)  # fmt: skip
"""Fields of the chat model that are settings of the cascade, under the same names."""


def normalised(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings, and return the fields with their members as `Member` and `Tier`, which hide secrets.

    Chat models among the members become members, too, each with a transport that asks it.

    Raises:
        ConfigError: If a setting is wrong; its `field` names it.
    """
    fields = _adopted(data)
    if isinstance(fields.get("profile"), Combined):  # LangChain hands it on when it configures a model
        del fields["profile"]
    settings = {name: fields[name] for name in SETTINGS if fields.get(name) is not None}
    config = fields.get("config")
    if isinstance(config, str | Path):
        fields["config"] = built = load_config(config, **settings)
    else:
        built = CascadeConfig.build(config, **settings)
        fields["config"] = None if config is None else built
    if fields.get("policy") is not None:  # a path or a policy, as plain data
        fields["policy"] = built.policy
    for name in ("ensemble", "target", "fallback"):
        if fields.get(name) is not None:
            fields[name] = _members(fields[name])
    if fields.get("tiers") is not None:
        fields["tiers"] = tuple(Tier.model_validate(tier) for tier in fields["tiers"])
    return fields


def _adopted(data: Mapping[str, Any]) -> dict[str, Any]:
    """Put transports in the place of chat models."""
    given = data.get("transports") or {}
    fields, found = with_models_as_members(data, as_member, prefix="langchain", taken=given)
    if isinstance(data.get("config"), Mapping):
        taken = {**given, **found}
        fields["config"], more = with_models_as_members(data["config"], as_member, prefix="langchain", taken=taken)
        found |= more
    return {**fields, "transports": {**found, **given}} if found else fields


def _members(value: Any) -> Tier | tuple[Member, ...]:
    if isinstance(value, Tier) or (isinstance(value, Mapping) and "members" in value):
        return Tier.model_validate(value)
    listed = [value] if isinstance(value, str | Mapping | Member) else value
    return tuple(Member.model_validate(member) for member in listed)


def plain(value: Any, transports: Mapping[str, Transport] | None = None) -> Any:
    """Return members, tiers and configurations as plain data without secrets; other values as they are.

    Args:
        value: What is written out.
        transports: Members that one of these asks, a chat model's, are written as that chat model.
    """
    if isinstance(value, Tier):
        own = value.model_dump(exclude={"members"}, exclude_defaults=True, mode="json")
        return {**own, "members": plain(value.members, transports)}
    if isinstance(value, CascadeConfig):
        places = {name: plain(getattr(value, name), transports) for name in ("tiers", "fallback")}
        return {**value.to_dict(), **{name: members for name, members in places.items() if members}}
    if isinstance(value, Member):
        asked = (transports or {}).get(value.transport or "")
        if not isinstance(asked, ChatModelTransport):
            return value.to_dict()
        own = {key: said for key, said in value.to_dict().items() if key not in {"model", "transport"}}
        return {"model": asked.model, **own} if own else asked.model
    return [plain(item, transports) for item in value] if isinstance(value, tuple) else value


def cache_key(engine: Engine) -> dict[str, str]:
    """Return what tells a cascade's answers from those of another with the same configuration.

    Chat models are told apart as they tell themselves; a transport of the user's own may answer anything.
    """
    return {
        name: asks.model._get_llm_string() if isinstance(asks, ChatModelTransport) else engine.token
        for name, asks in engine.transports.items()
    }
