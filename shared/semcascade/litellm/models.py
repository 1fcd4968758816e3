"""Which cascades go by which names."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcascade._litellm import litellm
from semcascade.config import CascadeConfig, load_config
from semcascade.engine.cascade import Cascade
from semcascade.errors import ConfigError
from semcascade.registry import Registry

if TYPE_CHECKING:
    from semcascade.litellm.handler import CascadeProvider

__all__ = ["PROVIDER", "provider", "register", "registered", "unregister"]

PROVIDER = "semcascade"
"""What stands before the slash in the model's name."""

_CASCADES: Registry[Cascade] = Registry("cascade", {}, group="semcascade.cascades")


def register(
    name: str,
    cascade: Cascade | CascadeConfig | Mapping[str, Any] | str | Path | None = None,
    **settings: Any,
) -> Cascade:
    """Make a cascade known to LiteLLM as the model `semcascade/NAME`.

    Registering the same again changes nothing, so that a module that does it may be imported twice.

    Args:
        name: The model's name behind `semcascade/`.
        cascade: A cascade, a configuration, a mapping of settings, or the path of a TOML or JSON file.
        **settings: Settings and transports of a cascade, as `Cascade` takes them; they win over a configuration.

    Returns:
        The cascade; its `ledger` adds up what was spent.

    Raises:
        ConfigError: If a setting is wrong, the name is taken or a known model's, or the cascade would ask itself.

    >>> register("mine", ensemble=["openai/gpt-5-nano", "mistral/mistral-small-latest"], target="semcascade/mine")
    Traceback (most recent call last):
    semcascade.errors.ConfigError: cascade: it would ask itself: mine → mine
    """
    built = _built(cascade, settings)
    if name in _CASCADES.names() and built is not cascade and not settings.keys() & {"transport", "transports"}:
        known = _CASCADES.get(name)
        built = known if known.config == built.config else built
    if name in litellm().model_cost:
        raise ConfigError(f"LiteLLM takes {name!r} for a model whose price it knows; choose another", field="cascade")
    _refuse_circles(name, built)
    _CASCADES.register(name, built)
    provider()
    return built


def unregister(name: str) -> None:
    """Forget a name; unknown names are no error. The cascade itself stays as it is."""
    _CASCADES.unregister(name)


def registered() -> tuple[str, ...]:
    """Return the names that are registered, sorted."""
    return _CASCADES.names()


def find(name: str) -> Cascade:
    """Return the cascade of a name.

    Raises:
        ConfigError: If the name is unknown.
    """
    return _CASCADES.get(name)


def provider() -> CascadeProvider:
    """Return the handler that LiteLLM asks for `semcascade/...`, and enter it into LiteLLM's own map.

    A LiteLLM Proxy, whose configuration has a map of its own, is given this handler by name.
    """
    handler = _provider()
    entries = litellm().custom_provider_map
    if not any(entry["provider"] == PROVIDER for entry in entries):
        entries.append({"provider": PROVIDER, "custom_handler": handler})
    litellm().utils.custom_llm_setup()
    return handler


@functools.cache
def _provider() -> CascadeProvider:
    from semcascade.litellm.handler import CascadeProvider

    return CascadeProvider()


def _built(given: Any, settings: Mapping[str, Any]) -> Cascade:
    if isinstance(given, Cascade):
        if settings:
            raise ConfigError("a cascade has its settings already; give either", field=next(iter(settings)))
        return given
    return Cascade(load_config(given) if isinstance(given, str | Path) else given, **settings)


def _refuse_circles(name: str, cascade: Cascade) -> None:
    """Refuse a cascade among whose members, or theirs, it stands itself."""
    for path in _paths((name,), cascade):
        if path[-1] == name:
            raise ConfigError(f"it would ask itself: {' → '.join(path)}", field="cascade")


def _paths(so_far: tuple[str, ...], cascade: Cascade) -> Iterator[tuple[str, ...]]:
    """Yield the ways from cascade to cascade; none goes on from one that it has come through."""
    for member in cascade.members():
        provider, _, name = member.model.partition("/")
        if provider != PROVIDER:
            continue
        path = (*so_far, name)
        yield path
        if name not in so_far and name in _CASCADES.names():
            yield from _paths(path, _CASCADES.get(name))
