"""Short and long forms of settings, and how settings that are given replace those of a base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from semcascade.errors import ConfigError

__all__ = ["merge", "two_tiers", "with_rate"]


def two_tiers(ensemble: Any, target: Any) -> list[Any]:
    """Return the two tiers that the short form stands for.

    Raises:
        ValueError: If one of them is missing.
    """
    if isinstance(ensemble, set | frozenset):
        raise ValueError("ensemble: a set has no order, and the first member is the primary; give a list")  # noqa: TRY004
    if not ensemble:
        raise ValueError("ensemble: no members; name two or more models, e.g. ['openai/gpt-5-nano', 'gemini/flash']")
    if not target:
        raise ValueError("target: no member; name the model that answers what the ensemble cannot")
    return [_as_tier(ensemble, "ensemble"), _as_tier(target, "target")]


def _is_tier(value: Any) -> bool:
    return isinstance(value, BaseModel) and "members" in type(value).model_fields


def _as_tier(value: Any, name: str) -> Any:
    if _is_tier(value) or (isinstance(value, Mapping) and "members" in value):
        return value
    return {"members": value, "name": name}


def merge(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Let given settings replace those of a base, also where the one names tiers and the other does not."""
    base = dict(base)
    if "tiers" in given:
        base.pop("ensemble", None)
        base.pop("target", None)
    elif "tiers" in base and {"ensemble", "target", "threshold", "escalation_rate"} & given.keys():
        tiers = list(base.pop("tiers"))
        if len(tiers) == 2:
            base["ensemble"], base["target"] = tiers
        elif "ensemble" in given or "target" in given:
            raise ConfigError("the configuration has its own tiers; change them there", field="tiers")
        else:
            base["tiers"] = tiers
    if "threshold" in given or "escalation_rate" in given:
        for key in ("threshold", "escalation_rate"):
            base.pop(key, None)
        base = {key: _without_rule(value) if key in {"ensemble", "tiers"} else value for key, value in base.items()}
    return {**base, **given}


def _without_rule(value: Any) -> Any:
    """Drop a tier's own threshold or rate, which the cascade's now replaces."""
    if _is_tier(value):
        return value.model_copy(update={"threshold": None, "escalation_rate": None})
    if isinstance(value, Mapping):
        return {key: part for key, part in value.items() if key not in {"threshold", "escalation_rate"}}
    return [_without_rule(part) for part in value] if isinstance(value, list | tuple) else value


def with_rate(tiers: Any, rate: Any) -> list[Any]:
    """Give the rate to every tier but the last."""
    tiers = [
        tier.model_dump(exclude={"members"}) | {"members": tier.members} if _is_tier(tier) else tier for tier in tiers
    ]
    ruled = [
        {**tier, "threshold": None, "escalation_rate": rate} if isinstance(tier, Mapping) else tier
        for tier in tiers[:-1]
    ]
    return [*ruled, *tiers[-1:]]
