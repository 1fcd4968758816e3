"""Ready-made cascades."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping
from typing import Any

from semcascade.errors import ConfigError

__all__ = ["preset", "preset_names"]


def preset_names() -> tuple[str, ...]:
    """Return the names that `preset` knows.

    >>> preset_names()
    ('local',)
    """
    files = importlib.resources.files(__package__).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def preset(name: str) -> Mapping[str, Any]:
    """Return a preset's settings, as `CascadeConfig.build` takes them.

    Raises:
        ConfigError: If there is no preset of this name.

    >>> preset("local")["target"]["model"]
    'local/gemma3-270m'
    """
    if name not in preset_names():
        raise ConfigError(f"there is no preset {name!r}; known are {', '.join(preset_names())}", field="preset")
    text = importlib.resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
