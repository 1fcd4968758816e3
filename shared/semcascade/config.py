"""Members, tiers and the cascade: validated settings that load from TOML, JSON, mappings and keywords.

The same names serve everywhere. Unknown names are refused; secrets never stand in a repr or a dump.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator

from semcascade.complaints import config_error, unknown
from semcascade.decision import FALLBACK
from semcascade.decision_log import DecisionLog
from semcascade.errors import ConfigError
from semcascade.haste import HedgeAfter, Speculate
from semcascade.limits import Breaker, Budget
from semcascade.member import REQUEST_PARAMETERS, Member
from semcascade.merging import merge, two_tiers, with_rate
from semcascade.router import Router
from semcascade.validated import Count, Retries, Seconds, Settings, Share

__all__ = ["REQUEST_PARAMETERS", "CascadeConfig", "Member", "Tier", "load_config"]

Selection = Literal["auto", "central", "primary"]


class Tier(Settings):
    """Members asked together, and the rule by which their answers are accepted."""

    members: tuple[Member, ...] = Field(min_length=1)
    """Who is asked; the first listed is the primary member unless priorities say otherwise."""
    name: str = ""
    """How decisions call the tier."""
    threshold: Share | None = None
    """Least reliability, 0 to 1, at which the tier's answer is accepted."""
    escalation_rate: Share | None = None
    """Share of queries to defer, instead of a threshold; kept by a running quantile."""
    signal: str | None = None
    """What is scored; the cascade's unless given."""
    similarity: str | dict[str, Any] | None = None
    """How answers are compared; the cascade's unless given."""
    selection: Selection | None = None
    """Which answer is returned; the cascade's unless given."""
    quorum: Count | None = None
    """How many answers the tier needs to be scored; the cascade's unless given."""

    @field_validator("members", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Mapping | Member) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [member.name for member in self.members]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(
                f"members: {doubles[0]!r} stands here twice; use samples=2 for two answers of one model, "
                "or give each its own name"
            )
        if self.threshold is not None and self.escalation_rate is not None:
            raise ValueError("threshold: it and escalation_rate exclude each other; give one")
        if self.quorum is not None and self.quorum > self.answers:
            raise ValueError(f"quorum: {self.quorum} answers can never come from {self.answers}")
        return self

    @property
    def answers(self) -> int:
        """How many answers the tier asks for."""
        return sum(member.samples for member in self.members)

    @property
    def primary(self) -> Member:
        """The member of the highest priority, the first listed among equals."""
        return max(self.members, key=lambda member: member.priority)


class CascadeConfig(Settings):
    """A whole cascade: `ensemble` and `target` in short, or `tiers` in full.

    >>> config = CascadeConfig.build(ensemble=["openai/gpt-5-nano", "gemini/flash"], target="openai/gpt-5")
    >>> [tier.name for tier in config.tiers]
    ['ensemble', 'target']
    """

    tiers: tuple[Tier, ...] = Field(min_length=1)
    """Asked in order; the last one always answers."""
    similarity: str | dict[str, Any] = "auto"
    """How answers are compared: a similarity's name, or a mapping with its `name` and settings."""
    signal: str = "agreement"
    """What is scored."""
    selection: Selection = "auto"
    """Which answer is returned: `central`, `primary`, or `auto`: the primary's unless it is outvoted."""
    threshold: Share = 0.6
    """Least reliability at which a tier's answer is accepted, for tiers that set none."""
    quorum: Count = 2
    """How many answers a tier needs to be scored, for tiers that set none; a tier of fewer needs all."""
    timeout: Seconds = 60.0
    """Seconds for one attempt at one member."""
    deadline: Seconds | None = None
    """Seconds for the whole query; None: the attempts' own limits."""
    max_retries: Retries = 2
    """How often a failed attempt at a member is repeated."""
    early_exit: Literal["answer", "verdict", "off"] = "answer"
    """When a tier stops waiting, as the missing answers can change nothing: once it is sure whether it is accepted and
    which answer is returned (`answer`), once the first is sure (`verdict`), or never."""
    speculate: Speculate = "off"
    """When the target is asked before it is known to be needed: never, `always` (at once), when the answers so far make
    it `likely`, or after so many seconds. If it was not needed, it is cancelled, and charged by an estimate."""
    drop_slow: Share | None = None
    """Once there are enough answers (`quorum`), do not wait for a member that takes longer than this share of its own
    latest answers, e.g. 0.95; None: wait for all."""
    hedge_after: HedgeAfter = None
    """Ask a member once more for an answer that takes longer than so many seconds, or than a quantile of its own latest
    answers, e.g. "p95"; the first to come counts, both are charged. None: never."""
    on_target_failure: Literal["raise", "ensemble"] = "raise"
    """What happens when target and fallback fail: raise, or return the best rejected answer, marked as such."""
    fallback: tuple[Member, ...] = ()
    """Who is asked, one after the other, when the target fails, before `on_target_failure` rules."""
    sticky: bool = False
    """Whether a conversation stays on the tier that its earlier turns needed."""
    budget: Budget | None = None
    """Hard caps on requests, tokens and US dollars: `query` for each query, `period` for all in a stretch of time."""
    on_budget: Literal["raise", "ensemble"] = "raise"
    """What happens when a cap leaves no room for the target: raise, or return the best rejected answer, marked."""
    breaker: Breaker = Breaker()
    """After how many failures in a row a member is left alone, and for how long; False: never."""
    unsupported: Literal["route", "raise"] = "route"
    """What happens to a query that a member cannot answer (tools, images, ...): those who can are asked without it,
    or it is refused."""
    policy: str | dict[str, Any] | None = Field(default=None, repr=False)
    """A fitted policy that decides instead of signal, selection and threshold: its file, or the policy itself."""
    router: Router | None = None
    """Where queries start, by themselves alone: `{complexity = 0.8}` sends those that ask for so much or more straight
    to the target. False: all start at the first tier, also where the policy has a router; unless given, it decides."""
    log: DecisionLog | None = None
    """Where decisions are logged, by path or with `shadow` and `redact`; nowhere unless given."""

    @field_validator("policy", mode="before")
    @classmethod
    def _as_data(cls, value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        return value.to_dict() if isinstance(value, BaseModel) and hasattr(value, "to_dict") else value

    @field_validator("fallback", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Mapping | Member) else value

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        known = {*cls.model_fields, "ensemble", "target", "escalation_rate"}
        for key in data.keys() - known:
            raise ValueError(f"{key}: {unknown(str(key), known)}")
        short = {key: data.pop(key) for key in ("ensemble", "target", "escalation_rate") if key in data}
        if data.get("tiers") is not None:
            if short.get("ensemble") is not None or short.get("target") is not None:
                raise ValueError("tiers: give either tiers, or ensemble and target")
        else:
            data["tiers"] = two_tiers(short.get("ensemble"), short.get("target"))
        if short.get("escalation_rate") is not None:
            if data.get("threshold") is not None:
                raise ValueError("threshold: it and escalation_rate exclude each other; give one")
            if type(short["escalation_rate"]) not in (int, float) or not 0 <= short["escalation_rate"] <= 1:
                raise ValueError("escalation_rate: expected the share of queries to defer, from 0 to 1")
            if isinstance(data["tiers"], list | tuple):  # what else it may be is refused with the tiers themselves
                data["tiers"] = with_rate(data["tiers"], short["escalation_rate"])
        return {key: value for key, value in data.items() if value is not None}

    @model_validator(mode="after")
    def _check(self) -> Self:
        last = len(self.tiers) - 1
        named = []
        for index, tier in enumerate(self.tiers):
            default = "target" if index == last else "ensemble" if last <= 1 else f"tier-{index + 1}"
            named.append(tier if tier.name else tier.model_copy(update={"name": default}))
            if index == 0 < last and tier.answers < 2:
                raise ValueError(
                    "tiers[0].members: one answer has nothing to agree with; add a second member or samples=2"
                )
        if self.tiers[last].answers != 1 and last > 0:
            raise ValueError("target: the last tier always answers, so it is one member with one sample")
        names = [tier.name for tier in named]
        if len(set(names)) < len(names):
            raise ValueError(f"tiers: two tiers have the same name among {names}")
        if self.fallback and FALLBACK in names:
            raise ValueError(f"tiers: none can be called {FALLBACK!r} where others may answer in the target's place")
        if self.router is not None and len(self.router.thresholds) not in {0, 1, last}:
            raise ValueError(f"router: complexity takes one number, or {last}, one for each tier after the first")
        if self.router is not None and self.router.thresholds and not last:
            raise ValueError("router: there is one tier only, at which every query starts")
        if any(member.samples > 1 for member in self.fallback):
            raise ValueError("fallback: it answers in the target's place, so each is one member with one sample")
        object.__setattr__(self, "tiers", tuple(named))
        return self

    @classmethod
    def build(cls, config: Mapping[str, Any] | CascadeConfig | None = None, /, **settings: Any) -> Self:
        """Validate settings and return the configuration.

        Args:
            config: A configuration or a mapping to start from.
            **settings: Settings that replace those of `config`; None means not given.

        Raises:
            ConfigError: If a setting is missing, unknown or out of range; its `field` names it.
        """
        if config is not None and not isinstance(config, Mapping | CascadeConfig):
            raise ConfigError(f"expected a mapping of settings, got {type(config).__name__}", field="config")
        given = {key: value for key, value in settings.items() if value is not None}
        if isinstance(config, CascadeConfig):
            base: dict[str, Any] = {key: getattr(config, key) for key in config.model_fields_set | {"tiers"}}
        else:
            base = {key: value for key, value in (config or {}).items() if value is not None}
        merged = merge(base, given)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            names = {*cls.model_fields, *Tier.model_fields, "ensemble", "target"}
            members = {*Member.model_fields, *REQUEST_PARAMETERS}
            raise config_error(error, names=names, member_names=members, short="tiers" not in merged) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data without any secret; `build` takes it back."""
        unwritten = {"tiers", "fallback"}
        if self.log is not None and self.log.redact is not None:
            unwritten.add("log")
        data = self.model_dump(exclude=unwritten, exclude_defaults=True, mode="json")
        if self.fallback:
            data["fallback"] = [member.to_dict() for member in self.fallback]
        data["tiers"] = [
            {
                **tier.model_dump(exclude={"members"}, exclude_defaults=True, mode="json"),
                "members": [member.to_dict() for member in tier.members],
            }
            for tier in self.tiers
        ]
        return data

    def with_key(self, key: str | SecretStr) -> Self:
        """Return the configuration with this key for every member that has none of its own.

        Raises:
            ConfigError: If these members are of several services: a key must not go to a stranger.
        """
        keyless = [member for member in self.members() if member.api_key is None and member.api_key_env is None]
        services = sorted({member.api_base or member.provider or member.model for member in keyless})
        if len(services) > 1:
            raise ConfigError(
                f"one key would go to {', '.join(services)}; give each member its own api_key or api_key_env",
                field="api_key",
            )
        secret = key if isinstance(key, SecretStr) else SecretStr(key)

        def keyed(members: tuple[Member, ...]) -> tuple[Member, ...]:
            return tuple(
                member.model_copy(update={"api_key": secret}) if member in keyless else member for member in members
            )

        tiers = tuple(tier.model_copy(update={"members": keyed(tier.members)}) for tier in self.tiers)
        return self.model_copy(update={"tiers": tiers, "fallback": keyed(self.fallback)})

    def members(self) -> tuple[Member, ...]:
        """Return every member of every tier, in order, and those that answer in the target's place."""
        return (*(member for tier in self.tiers for member in tier.members), *self.fallback)

    def without_fallback(self) -> Self:
        """Return the configuration without those that answer in the target's place."""
        return self.model_copy(update={"fallback": ()})


def load_config(path: str | Path, **settings: Any) -> CascadeConfig:
    """Read a configuration from a TOML or JSON file.

    Args:
        path: The file; its ending says which of the two it is. The paths of a policy and a log in it start from
            its folder.
        **settings: Settings that replace those of the file.

    Raises:
        ConfigError: If the file cannot be read, or a setting in it is wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", field="config") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid {path.suffix.lstrip('.') or 'TOML'}: {error}", field="config") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds a {type(data).__name__}, not a table of settings", field="config")
    for name in ("policy", "log"):
        given = data.get(name)
        if isinstance(given, str):
            data[name] = str(path.parent / given)
        elif isinstance(given, dict) and isinstance(given.get("path"), str):
            data[name] = {**given, "path": str(path.parent / given["path"])}
    return CascadeConfig.build(data, **settings)
