"""`semcascade models`: which offline models there are, fetching and removing their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from semcascade.cli import terminal
from semcascade.cli.weights import shown_download
from semcascade.errors import LocalModelError

if TYPE_CHECKING:
    from semcascade.transport.local.fetch import ModelInfo

__all__ = ["models"]


@click.group()
def models() -> None:
    """List, fetch and remove the weights of models that run offline."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(as_json: bool) -> None:
    """Show the models, their sizes and licences, and which are on this machine."""
    from semcascade.transport.local.fetch import models as find_models

    found = find_models()
    if as_json:
        terminal.write_json([model_data(info) for info in found])
        return
    from semcascade.cli.tables import models_table
    from semcascade.transport.local.store import cache_directory

    directory = cache_directory() / "models"
    terminal.result_console().print(models_table([model_data(info) for info in found], directory))


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pull(names: tuple[str, ...]) -> None:
    """Fetch the weights of models, and print where they are.

    NAME is one of `semcascade models list`, or hf://owner/repo/model.gguf#sha256=... Weights are data: nothing that
    is packaged with them is run. What is there already, and whole, is not fetched again.
    """
    from semcascade.transport.local.fetch import pull as fetch

    for name in _known(names):
        with shown_download() as (progress, notice):
            path = fetch(name, progress=progress, notice=notice)
        terminal.write_answer(str(path))


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def rm(names: tuple[str, ...]) -> None:
    """Remove the weights of models from this machine."""
    from semcascade.transport.local.fetch import remove

    for name in _known(names):
        terminal.write_answer(f"removed {name}" if remove(name) else f"{name} was not here")


def model_data(info: ModelInfo) -> dict[str, Any]:
    """Return what is known of a model as plain data."""
    return asdict(info) | {"present": info.present, "path": str(info.path) if info.path else None}


def _known(names: tuple[str, ...]) -> Iterator[str]:
    """Refuse unknown names before anything is done for the known ones."""
    from semcascade.transport.local.catalogue import find

    try:
        for name in names:
            find(name)
    except LocalModelError as error:
        raise click.UsageError(str(error)) from None
    yield from dict.fromkeys(names)
