"""Models on this machine: weights fetched once into the user's cache, run by llama.cpp, asked on the loopback.

The extra `local` brings the runtime. Importing this package imports none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semcascade.transport.local.fetch import ModelInfo, Notice, Progress, ProgressCallback, models, pull, remove
    from semcascade.transport.local.progress import progress_bar
    from semcascade.transport.local.store import cache_directory
    from semcascade.transport.local.transport import LocalTransport

__all__ = [
    "LocalTransport",
    "ModelInfo",
    "Notice",
    "Progress",
    "ProgressCallback",
    "cache_directory",
    "models",
    "progress_bar",
    "pull",
    "remove",
]

_HOMES = {"LocalTransport": "transport", "cache_directory": "store", "progress_bar": "progress"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'fetch')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
