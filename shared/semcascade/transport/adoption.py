"""Models of a framework's own as members of a cascade: each is served by a transport that knows it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from semcascade.errors import ConfigError
from semcascade.transport.base import Transport

__all__ = ["Adopt", "with_models_as_members"]

_PLACES = frozenset({"ensemble", "target", "tiers", "fallback"})

Adopt: TypeAlias = Callable[[object], tuple[dict[str, Any], Transport] | None]
"""Returns a model's settings as a member and the transport that asks it; None for what is no such model."""


def with_models_as_members(
    settings: Mapping[str, Any], adopt: Adopt, *, prefix: str, taken: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Transport]]:
    """Replace a framework's own models among the members of `ensemble`, `target`, `tiers` and `fallback`.

    Args:
        settings: Settings of a cascade.
        adopt: Knows the framework's models.
        prefix: What the names of their transports begin with.
        taken: Names of transports that are given away.

    Returns:
        The settings, where each such model is a member that names a transport, and these transports by their names.

    Raises:
        ConfigError: If `adopt` refuses one; `field` says where it stands.
    """
    transports: dict[str, Transport] = {}

    def free_name() -> str:
        number = 1
        while (name := f"{prefix}-{number}") in transports or name in taken:
            number += 1
        return name

    def replaced(value: Any, where: str) -> Any:
        try:
            found = adopt(value)
        except ConfigError as error:
            raise ConfigError(str(error), field=where) from None
        if found is not None:
            name = free_name()
            member, transports[name] = found
            return {**member, "transport": name}
        if isinstance(value, Mapping):
            model = replaced(value["model"], f"{where}.model") if "model" in value else None
            if isinstance(model, Mapping):
                return {**model, **{key: given for key, given in value.items() if key != "model"}}
            return {
                key: replaced(given, f"{where}.{key}") if key == "members" else given for key, given in value.items()
            }
        if isinstance(value, list | tuple):
            return [replaced(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return value

    members = {key: replaced(value, key) for key, value in settings.items() if key in _PLACES}
    return {**settings, **members}, transports
