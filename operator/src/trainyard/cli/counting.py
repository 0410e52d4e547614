"""How far a command is that works through many files: a bar on a terminal, lines otherwise.

On standard error: the result, which a program may read, is on standard output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from trainyard.cli.output import note
from trainyard.decide.display import size

LINE_EVERY_SECONDS = 10.0
"""Between two lines."""

Advance = Callable[[int], None]
"""Told that so many more are done."""


@contextmanager
def counted(doing: str, total: int, what: str | None = None) -> Iterator[Advance]:
    """Show that something is done to `total` of `what`; it goes away at the end.

    Parameters
    ----------
    doing
        For example `checking`.
    what
        For example `images`; bytes without it.
    """
    console = Console(highlight=False, stderr=True)
    if not console.is_terminal:
        yield _Lines(doing, total, what)
        return
    number: list[ProgressColumn] = (
        [MofNCompleteColumn(), TextColumn(what, markup=False)]
        if what is not None
        else [DownloadColumn(binary_units=True), TransferSpeedColumn()]
    )
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *number,
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(doing, total=total)
        yield lambda count: bars.advance(task, count)


class _Lines:
    def __init__(self, doing: str, total: int, what: str | None) -> None:
        self._doing, self._total, self._what = doing, total, what
        self._done, self._spoke = 0, monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        if monotonic() - self._spoke >= LINE_EVERY_SECONDS:
            self._spoke = monotonic()
            if self._what is None:
                note(f"{self._doing}: {size(self._done)} of {size(self._total)}")
            else:
                note(f"{self._doing}: {self._done} of {self._total} {self._what}")
