"""How far a download is: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from trainyard.cli.downloads import Progress, WantedFile
from trainyard.decide.display import size

LINE_EVERY_SECONDS = 10.0
"""Between two lines about one file."""


class LineProgress:
    """One line a file, and now and then one about a file that takes long.

    Parameters
    ----------
    beside
        On standard error: the result is something else.
    """

    def __init__(self, *, beside: bool = False) -> None:
        self._beside = beside
        self._here: dict[str, int] = {}
        self._spoke = monotonic()

    def begin(self, files: Sequence[WantedFile]) -> None:
        """See `Progress`."""
        total = sum(file.size_bytes for file in files)
        if files:
            count = "1 file" if len(files) == 1 else f"{len(files)} files"
            self._say(f"fetching {count}, {size(total)}")

    def kept(self, file: WantedFile) -> None:
        """See `Progress`."""
        self._say(f"{file.name}: already there, verified")

    def advance(self, file: WantedFile, count: int) -> None:
        """See `Progress`."""
        here = self._here[file.name] = self._here.get(file.name, 0) + count
        if monotonic() - self._spoke >= LINE_EVERY_SECONDS:
            self._spoke = monotonic()
            self._say(f"{file.name}: {100 * here // max(1, file.size_bytes)}%, {size(here)}")

    def done(self, file: WantedFile) -> None:
        """See `Progress`."""
        self._say(f"{file.name}: {size(file.size_bytes)}, verified")

    def _say(self, line: str) -> None:
        click.echo(line, err=self._beside)


class BarProgress:
    """A bar for the file that is being fetched, and a line for each that is done."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def begin(self, files: Sequence[WantedFile]) -> None:
        """See `Progress`."""

    def kept(self, file: WantedFile) -> None:
        """See `Progress`."""
        self._bars.console.print(f"{file.name}: already there, verified", markup=False)

    def advance(self, file: WantedFile, count: int) -> None:
        """See `Progress`."""
        if file.name not in self._tasks:
            self._tasks[file.name] = self._bars.add_task(file.name, total=file.size_bytes)
        self._bars.advance(self._tasks[file.name], count)

    def done(self, file: WantedFile) -> None:
        """See `Progress`."""
        task = self._tasks.pop(file.name, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.console.print(f"{file.name}: {size(file.size_bytes)}, verified", markup=False)


@contextmanager
def shown_progress(*, beside: bool = False) -> Iterator[Progress]:
    """Bars if a person watches, else lines.

    Parameters
    ----------
    beside
        On standard error: the result is something else.
    """
    console = Console(highlight=False, stderr=beside)
    if not console.is_terminal:
        yield LineProgress(beside=beside)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield BarProgress(bars)
