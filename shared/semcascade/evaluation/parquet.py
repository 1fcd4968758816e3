"""Rows and prompts in Parquet: one record each, its fields the columns, what JSONL nests in structs and lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semcascade.errors import InputError, MissingDependencyError
from semcascade.run_form import Object

__all__ = ["is_parquet", "read_records"]

_BATCH = 64


def is_parquet(path: str | Path) -> bool:
    """Say whether a file is Parquet by its name."""
    return Path(path).suffix.lower() == ".parquet"


def read_records(path: str | Path, *, field: str = "data") -> Iterator[tuple[str, Object]]:
    """Yield the records of a file one at a time, each with its file and row; fields that are null are left out.

    Args:
        path: The file.
        field: What the caller calls it.

    Raises:
        InputError: If the file cannot be read, or is not Parquet.
        MissingDependencyError: If pyarrow is not installed.
    """
    path = Path(path)
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingDependencyError("pyarrow", extra="parquet", purpose=f"reading {path.name}") from None
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path.name}, row {number}", _without_nulls(record)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", field=field) from error
    except ArrowException as error:
        raise InputError(f"is not Parquet: {error}", field=path.name) from None


def _without_nulls(value: Any) -> Any:
    """Take out what a column of structs fills in where a row has no such field."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
