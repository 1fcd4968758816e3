"""The cascades behind a chat model and the models derived from it: equal settings share one, and its ledger."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semcascade.config import CascadeConfig
from semcascade.locks import ForkLock
from semcascade.transport.base import Transport

if TYPE_CHECKING:
    from semcascade.engine.cascade import Cascade

__all__ = ["Engine", "Engines"]

_KEPT = 32
"""How many cascades are kept; the one made first goes first."""


@dataclass(frozen=True)
class Engine:
    """A cascade and what it was made from.

    Attributes:
        cascade: The cascade.
        config: Its configuration, keys included.
        transports: The user's own, by their names; the default one under "".
        token: Tells it from any other cascade, in this process and others.
    """

    cascade: Cascade
    config: CascadeConfig
    transports: Mapping[str, Transport]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def made_from(self, config: CascadeConfig, transports: Mapping[str, Transport]) -> bool:
        """Say whether it was made from these settings and these very transports."""
        same = self.transports.keys() == transports.keys()
        return same and self.config == config and all(transports[key] is self.transports[key] for key in transports)


class Engines:
    """Makes cascades, each once.

    LangChain rebuilds a model at every call where some of its fields are configurable; with a new cascade each time,
    what was spent and how often was deferred would be forgotten from call to call.
    """

    def __init__(self) -> None:
        self._made: list[Engine] = []
        self._guard = ForkLock()

    def of(
        self, config: CascadeConfig, transport: Transport | None, transports: Mapping[str, Transport] | None
    ) -> Engine:
        """Return the engine for these settings."""
        from semcascade.engine.cascade import Cascade

        own = {**({} if transport is None else {"": transport}), **(transports or {})}
        with self._guard:
            for engine in self._made:
                if engine.made_from(config, own):
                    return engine
            engine = Engine(Cascade(config, transport=transport, transports=transports), config, own)
            self._made = [*self._made[1 - _KEPT :], engine]
        return engine

    def __deepcopy__(self, memo: dict[int, Any]) -> Engines:
        """Start anew: a copy keeps its own accounts."""
        return Engines()

    def __reduce__(self) -> tuple[Any, ...]:
        return Engines, ()
