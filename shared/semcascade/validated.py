"""What all settings have in common: frozen, every name known, numbers that are numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Amount", "Count", "Price", "Retries", "Seconds", "Settings", "Share", "Whole"]


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, got a bool")  # noqa: TRY004 - pydantic takes ValueErrors
    return value


Share = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1)]
"""From 0 to 1."""

Amount = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=1e12)]
"""US dollars, more than 0; sums of them are exact up to there."""

Price = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1e6)]
"""US dollars for one token, 0 or more."""

Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
"""More than 0, and finite."""

Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
"""1 or more."""

Retries = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=20)]
"""0 to 20."""

Whole = Annotated[int, BeforeValidator(_no_bool)]
"""Any whole number."""


class Settings(BaseModel):
    """Base of everything that is configured; its inputs are never shown in errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )
