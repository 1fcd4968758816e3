"""Settings of the log of production decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field, field_validator, model_validator

from semcascade.complaints import unknown
from semcascade.validated import Settings, Share

__all__ = ["DecisionLog", "Redactor"]

Redactor: TypeAlias = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Changes a row before it is written; None: it is not written at all."""


class DecisionLog(Settings):
    """Where and how decisions are logged, in the run form (`semcascade.run_form`).

    >>> DecisionLog(path="decisions.jsonl", shadow=0.01).shadow
    0.01
    """

    path: str
    """The file; rows are appended, also by several processes. It may be moved away at any time: the next row begins a
    new one."""
    redact: Redactor | None = Field(default=None, exclude=True, repr=False)
    """Changes each row before it is written. It cannot be written into a file: a dump of the configuration then has
    no log at all, lest a copy of the cascade log what should not be."""
    shadow: Share = 0.0
    """Share of accepted queries for which the target is asked all the same, in the background, after the answer was
    returned: an audit of what accepting loses."""
    seed: int = 0
    """Chooses which those are."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str | Path):
            return {"path": str(data)}
        if isinstance(data, Mapping):
            for key in data.keys() - cls.model_fields:
                raise ValueError(f"{key}: {unknown(str(key), cls.model_fields)}")
        return data

    @field_validator("path", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("path")
    @classmethod
    def _usable(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("it is empty; name the file that decisions are appended to")
        if Path(value).is_dir():
            raise ValueError(f"{value} is a folder; name a file in it")
        return value

    @field_validator("redact")
    @classmethod
    def _callable(cls, value: Any) -> Any:
        if value is not None and not callable(value):
            raise ValueError("expected a function of a row; give it in Python")
        return value
