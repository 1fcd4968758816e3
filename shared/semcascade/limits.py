"""Settings that bound what may be spent, and how long a failing member is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from semcascade.complaints import unknown
from semcascade.validated import Amount, Count, Seconds, Settings

__all__ = ["Breaker", "Budget", "Caps", "PeriodCaps"]


class _Limits(Settings):
    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data.keys() - cls.model_fields:
                raise ValueError(f"{key}: {unknown(str(key), cls.model_fields)}")
            return {key: value for key, value in data.items() if value is not None}
        return data


class Caps(_Limits):
    """Most that one query may take.

    >>> Caps(calls=8).cost is None
    True
    """

    calls: Count | None = None
    """Requests, repeated ones and those that compare answers included."""
    tokens: Count | None = None
    """Tokens of prompts and answers together."""
    cost: Amount | None = None
    """US dollars."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.calls is None and self.tokens is None and self.cost is None:
            raise ValueError("it caps nothing; give calls, tokens or cost")
        return self


class PeriodCaps(Caps):
    """Most that all queries together may take in any stretch of time of this length."""

    seconds: Seconds
    """How long the stretch is: 3600 for an hour, 86400 for a day."""


class Budget(_Limits):
    """Hard caps on what is spent, checked before every request.

    >>> budget = Budget.model_validate({"query": {"calls": 8}, "period": {"seconds": 3600, "cost": 5.0}})
    >>> budget.period.cost
    5.0
    """

    query: Caps | None = None
    """For each query."""
    period: PeriodCaps | None = None
    """For all queries of one cascade in one process."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.query is None and self.period is None:
            raise ValueError("it caps nothing; give query or period, e.g. {query: {calls: 8}}")
        return self

    def capped(self, what: str) -> str | None:
        """Return the name of the setting that caps "calls", "tokens" or "cost", or None where none does."""
        for name, caps in (("query", self.query), ("period", self.period)):
            if caps is not None and getattr(caps, what) is not None:
                return f"budget.{name}.{what}"
        return None


class Breaker(_Limits):
    """When a member that fails and fails is left alone, and for how long; False: never.

    >>> Breaker.model_validate(False).enabled
    False
    """

    failures: Count = 5
    """Failed requests in a row after which it is no longer asked."""
    cooldown: Seconds = 30.0
    """Seconds until one request tries whether it is back."""
    enabled: bool = True
    """Whether there is any."""

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, data: Any) -> Any:
        return {"enabled": data} if isinstance(data, bool) else data
