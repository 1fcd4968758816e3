"""Policies on disk, and whether a policy is for the cascade at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from semcascade.config import CascadeConfig, Tier
from semcascade.deferral.policy import MAX_BYTES, Policy, TierPolicy
from semcascade.errors import ConfigError
from semcascade.files import replacing

__all__ = ["load_policy", "policy_of", "save_policy"]


def load_policy(path: str | Path) -> Policy:
    """Read a policy from its file.

    Args:
        path: A JSON file, as `save_policy` writes it.

    Raises:
        ConfigError: If it cannot be read, is too long, corrupt, or no policy of a known version.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            written = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", field="policy") from error
    try:
        return Policy.from_json(written.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}", field="policy") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).removeprefix('policy: ')}", field="policy") from None


def save_policy(policy: Policy, path: str | Path) -> None:
    """Write a policy to a file, whole or not at all.

    Raises:
        ConfigError: If it cannot be written.
    """
    path = Path(path)
    try:
        with replacing(path) as file:
            file.write(policy.to_json().encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}", field="policy") from error


def policy_of(config: CascadeConfig) -> Policy | None:
    """Return the policy that a configuration names, once it is sure to be for it.

    Raises:
        ConfigError: If it cannot be read, or was fitted for other tiers, members or another similarity, or a
            setting that it replaces is given beside it.
    """
    if config.policy is None:
        return None
    policy = Policy.from_dict(config.policy) if isinstance(config.policy, Mapping) else load_policy(config.policy)
    _check(policy, config)
    return policy


def _check(policy: Policy, config: CascadeConfig) -> None:
    if len(policy.tiers) != len(config.tiers) - 1:
        raise _differs("tiers before the target", len(policy.tiers), len(config.tiers) - 1)
    target = config.tiers[-1].members[0]
    if policy.target not in (target.name, target.model):
        raise _differs("target", policy.target, target.name)
    for fitted, tier in zip(policy.tiers, config.tiers, strict=False):
        _check_members(fitted, tier)
        for name in ("similarity", "signal", "selection"):
            given = getattr(tier, name) or (getattr(config, name) if name in config.model_fields_set else None)
            if given is not None and given != getattr(fitted, name):
                raise _differs(name, getattr(fitted, name), given)
        for name in ("threshold", "escalation_rate"):
            if getattr(tier, name) is not None:
                raise ConfigError("a fitted policy decides by its own thresholds; give one or the other", field=name)
    if "threshold" in config.model_fields_set:
        raise ConfigError("a fitted policy decides by its own thresholds; give one or the other", field="threshold")


def _check_members(fitted: TierPolicy, tier: Tier) -> None:
    asked = [member for member in tier.members for _ in range(member.samples)]
    same = len(asked) == len(fitted.members) and all(
        name in (member.name, member.model) for name, member in zip(fitted.members, asked, strict=True)
    )
    if not same:
        raise _differs(f"members of tier {tier.name!r}", fitted.members, [member.name for member in asked])


def _differs(what: str, fitted: object, given: object) -> ConfigError:
    written = [json.dumps(value, ensure_ascii=False, default=str)[:300] for value in (fitted, given)]
    return ConfigError(
        f"it was fitted for other {what}: {written[0]}, but this cascade has {written[1]}; fit it anew, or change that",
        field="policy",
    )
