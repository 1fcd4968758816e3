"""Settings of the router: where queries start, decided by themselves alone, before any answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from semcascade.complaints import unknown
from semcascade.validated import Settings, Share

__all__ = ["Router"]


class Router(Settings):
    """From which query complexity on a query starts later; False: never, nor by what a fitted policy says.

    >>> Router.model_validate({"complexity": 0.8}).thresholds
    (0.8,)
    >>> Router.model_validate(False).enabled
    False
    """

    complexity: Share | tuple[Share, ...] | None = None
    """Complexity, 0 to 1, from which on a query goes straight to the target; or several, rising, one for each tier
    after the first, the target's last. See `semcascade.deferral.complexity`."""
    enabled: bool = True
    """Whether there is any."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if isinstance(data, bool):
            return {"enabled": data}
        if isinstance(data, Mapping):
            for key in data.keys() - cls.model_fields:
                raise ValueError(f"{key}: {unknown(str(key), cls.model_fields)}")
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(later < earlier for earlier, later in zip(self.thresholds, self.thresholds[1:], strict=False)):
            raise ValueError("complexity: later tiers start at more complexity, so the numbers rise")
        if not self.enabled and self.thresholds:
            raise ValueError("complexity: a router that is off has none")
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The complexities, one for the target or one for each tier after the first."""
        if self.complexity is None:
            return ()
        return self.complexity if isinstance(self.complexity, tuple) else (self.complexity,)
