"""A progress bar for downloads, on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semcascade.transport.local.fetch import Notice, Progress, ProgressCallback

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[tuple[ProgressCallback, Notice]]:
    """Show downloads as bars, and what they are above them; gives `progress` and `notice` for `pull`.

    Args:
        console: Where to; stderr unless given. Bars are drawn on terminals only, notices always.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = console or Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:

        def progress(state: Progress) -> None:
            if state.model not in tasks:
                tasks[state.model] = bars.add_task(state.model, total=state.total)
            bars.update(tasks[state.model], completed=state.done, total=state.total)

        def notice(text: str) -> None:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        yield progress, notice
