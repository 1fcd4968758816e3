"""Weights of offline models: which are missing, and fetching them in sight, the licence first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from semcascade.cli import terminal
from semcascade.errors import LocalModelError

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig, Member
    from semcascade.transport.base import Transport
    from semcascade.transport.local.fetch import Notice, ProgressCallback

__all__ = ["getting_ready", "missing_weights", "shown_download"]


@contextmanager
def getting_ready(config: CascadeConfig) -> Iterator[dict[str, Transport]]:
    """Show that something goes on, or what is being fetched; gives the transports that tell of it."""
    if not any(missing_weights(member) for member in config.members()):
        with terminal.waiting("getting ready"):
            yield {}
        return
    from semcascade.transport.local import LocalTransport

    with shown_download() as (progress, notice):
        yield {"local": LocalTransport(progress=progress, notice=notice)}


@contextmanager
def shown_download() -> Iterator[tuple[ProgressCallback, Notice]]:
    """Give what shows a download's progress, and what says first what it is and under what licence."""
    from semcascade.transport.local import progress_bar

    with progress_bar(terminal.console()) as shown:
        yield shown


def missing_weights(member: Member) -> str | None:
    """Return the name of the weights that would have to be fetched before the member can answer, if so."""
    if member.transport != "local" and not (member.transport is None and member.provider == "local"):
        return None
    from semcascade.transport.local.catalogue import resolve
    from semcascade.transport.local.store import verified

    try:
        model = resolve(member.model)
        return None if isinstance(model, Path) or verified(model) else model.name
    except LocalModelError:
        return None  # what is wrong, asking the member will tell
