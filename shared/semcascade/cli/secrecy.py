"""What must never be shown: the keys in the environment and in the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from semcascade.redaction import redact

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig

__all__ = ["Secrecy"]


class Secrecy:
    """Takes the secrets that this process knows out of what it shows; errors and tracebacks pass here last."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, config: CascadeConfig) -> None:
        """Remember the secrets of a configuration; those of the environment are known anyway."""
        for member in config.members():
            self._known.update(member.secrets())
        for similarity in (config.similarity, *(tier.similarity for tier in config.tiers)):
            if isinstance(similarity, Mapping):
                self._known.add(os.environ.get(str(similarity.get("api_key_env")), ""))

    def scrub(self, text: str) -> str:
        """Return the text without any secret."""
        return redact(text, self._known)
