"""Where the shell's cascade comes from: a file, a preset, flags; what the flags say wins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from semcascade.cli import terminal
from semcascade.errors import ConfigError

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig, Member, Tier

__all__ = ["HOW_TO_START", "cascade_options", "find_config", "need_config", "router_of"]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_FILE = "semcascade.toml"
FILE_VARIABLE = "SEMCASCADE_CONFIG"

HOW_TO_START = """no models are configured; any of these does it:
  semcascade ask --preset local "What is the capital of Japan?"          offline, no key; fetches small models once
  semcascade ask --ensemble PROVIDER/A,PROVIDER/B --target PROVIDER/C "..."
  semcascade ask -c FILE "..."          or ./semcascade.toml, or SEMCASCADE_CONFIG=FILE"""


def _number_or_word(_: click.Context, __: click.Parameter, value: str | None) -> str | float | None:
    """Read a number of seconds, or a word; which of them is right the configuration says."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return value


def router_of(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, float] | bool | None:
    """Read a complexity, or "off"; whether the number is right the configuration says."""
    if value is None:
        return None
    if value == "off":
        return False
    try:
        return {"complexity": float(value)}
    except ValueError:
        raise click.BadParameter("expected a complexity from 0 to 1, or off") from None


_OPTIONS = (
    click.option("-c", "--config", "file", type=click.Path(path_type=Path), metavar="FILE",
                 help=f"TOML or JSON file  [else: ${FILE_VARIABLE}, ./{DEFAULT_FILE}]."),
    click.option("--preset", metavar="NAME", help="Ready-made cascade; 'local' runs offline and needs no key."),
    click.option("--ensemble", multiple=True, metavar="A,B,...", help="Members to ask first, as provider/model."),
    click.option("--target", metavar="MODEL", help="Member that answers what the ensemble cannot."),
    click.option("--threshold", type=float, metavar="0..1", help="Least score at which the ensemble is trusted."),
    click.option("--escalation-rate", type=float, metavar="0..1",
                 help="Share of questions to defer, instead of a threshold. It is learnt from many questions in one "
                      "process: a single one is held against the default threshold, save for 0 and 1."),
    click.option("--similarity", metavar="NAME", help="How answers are compared."),
    click.option("--signal", metavar="NAME", help="What is scored."),
    click.option("--selection", metavar="WAY", help="Which answer is returned: auto, central or primary."),
    click.option("--policy", type=click.Path(dir_okay=False), metavar="FILE",
                 help="Fitted policy that decides, a JSON file."),
    click.option("--router", callback=router_of, metavar="C",
                 help="Complexity, 0 to 1, from which on questions go straight to the target; off: nor by a policy."),
    click.option("--early-exit", type=click.Choice(["answer", "verdict", "off"]),
                 help="When to stop waiting for members that can change nothing  [answer]."),
    click.option("--speculate", callback=_number_or_word, metavar="WHEN",
                 help="Ask the target early: always, likely, or after so many seconds  [off]."),
    click.option("--drop-slow", type=float, metavar="0..1",
                 help="Leave out members that take longer than this share of their latest answers, once there are "
                      "answers enough. It is learnt from many questions in one process  [never]."),
    click.option("--hedge-after", callback=_number_or_word, metavar="WHEN",
                 help="Ask a slow member once more: after so many seconds, or p95 of its own  [never]."),
    click.option("--timeout", type=float, metavar="SECONDS", help="For one attempt at one member."),
    click.option("--deadline", type=float, metavar="SECONDS", help="For the whole question."),
    click.option("--max-calls", type=int, metavar="N", help="Most requests for a question, repeated ones included."),
    click.option("--max-cost", type=float, metavar="DOLLARS", help="Most that a question may cost."),
)  # fmt: skip


def cascade_options(command: F) -> F:
    """Give a command the options that say which models are asked, and how."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def need_config(**options: Any) -> CascadeConfig:
    """Return the configuration that the options ask for.

    Raises:
        ConfigError: If there is none, or it is wrong.
    """
    config = find_config(**options)
    if config is None:
        raise ConfigError(HOW_TO_START)
    return config


def find_config(
    *,
    file: Path | None,
    preset: str | None,
    max_calls: int | None = None,
    max_cost: float | None = None,
    **settings: Any,
) -> CascadeConfig | None:
    """Return the configuration that the options ask for, or None where nothing is configured.

    A file or preset comes first, settings replace what it says, also where it says so for a single tier or member.
    Without either, and unless ensemble and target are both given, the file that the environment names is taken,
    else `./semcascade.toml`.

    Raises:
        ConfigError: If the configuration is wrong.
    """
    settings = {name: value for name, value in settings.items() if value is not None and value != ()}
    if "ensemble" in settings:
        settings["ensemble"] = _split(settings["ensemble"])
    if file is not None and preset is not None:
        raise ConfigError("--config and --preset exclude each other; give one")
    if file is None and preset is None and not {"ensemble", "target"} <= settings.keys():
        file = _implicit_file()
        if file is None and not {"ensemble", "target"} & settings.keys():
            return None
    config = _override(_build(file, preset, settings), settings)
    return _capped(config, calls=max_calls, cost=max_cost)


def _build(file: Path | None, preset: str | None, settings: Mapping[str, Any]) -> CascadeConfig:
    from semcascade.config import CascadeConfig, load_config

    if file is not None:
        return load_config(file, **settings)
    if preset is not None:
        from semcascade.presets import preset as find_preset

        return CascadeConfig.build(find_preset(preset), **settings)
    return CascadeConfig.build(**settings)


def _capped(config: CascadeConfig, **caps: float | None) -> CascadeConfig:
    """Let caps on a question take the place of the configuration's."""
    caps = {name: cap for name, cap in caps.items() if cap is not None}
    if not caps:
        return config
    budget = config.budget.model_dump(exclude_none=True) if config.budget else {}
    return type(config).build(config, budget={**budget, "query": {**budget.get("query", {}), **caps}})


def _implicit_file() -> Path | None:
    named = os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    if not Path(DEFAULT_FILE).is_file():
        return None
    if terminal.interactive():
        # A file that merely lies about decides where questions and keys go: say that it is used.
        terminal.note(f"using ./{DEFAULT_FILE}")
    return Path(DEFAULT_FILE)


def _split(values: tuple[str, ...]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _override(config: CascadeConfig, settings: Mapping[str, Any]) -> CascadeConfig:
    """Take out of tiers and members what the settings, which are the cascade's, replace."""
    tiers = tuple(_without(tier, settings) for tier in config.tiers)
    fallback = config.fallback
    if "timeout" in settings:
        fallback = tuple(member.model_copy(update={"timeout": None}) for member in fallback)
    return config.model_copy(update={"tiers": tiers, "fallback": fallback})


def _without(tier: Tier, settings: Mapping[str, Any]) -> Tier:
    replaced = dict.fromkeys(settings.keys() & {"signal", "similarity", "selection"})
    if "threshold" in settings:
        replaced |= {"threshold": None, "escalation_rate": None}
    members: tuple[Member, ...] = tier.members
    if "timeout" in settings:
        members = tuple(member.model_copy(update={"timeout": None}) for member in members)
    return tier.model_copy(update={**replaced, "members": members})
