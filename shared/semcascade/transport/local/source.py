"""What the places have in common that weights come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from semcascade.errors import LocalModelError
from semcascade.transport.local.catalogue import LocalModel
from semcascade.transport.local.store import disk_errors

__all__ = ["BLOCK", "Report", "Sink", "SourceError"]

Report: TypeAlias = Callable[[int], None]
"""Told how many bytes of the download are there."""

BLOCK = 1 << 20
"""Bytes that are read and written at a time."""


class SourceError(LocalModelError):
    """This source does not give the weights; another one may."""


class Sink:
    """A file under construction that hashes what is written to it."""

    def __init__(self, path: Path) -> None:
        self._path, self._digest, self.size = path, hashlib.sha256(), 0
        with disk_errors(path):
            self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with disk_errors(self._path):
            self._file.close()

    def write(self, block: bytes) -> None:
        """Append bytes.

        Raises:
            LocalModelError: If the disk is full.
        """
        with disk_errors(self._path):
            self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def check(self, model: LocalModel) -> None:
        """Compare what was written with what is pinned.

        Raises:
            SourceError: If they differ.
        """
        if self._digest.hexdigest() != model.sha256:
            raise SourceError(
                f"what came is not what is pinned: {self.size:,} bytes, sha256 {self._digest.hexdigest()[:12]}..., "
                f"expected {model.sha256[:12]}...; nothing was kept"
            )
