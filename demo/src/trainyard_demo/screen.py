"""A table that changes: redrawn in place on a terminal, line by line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Screen(Protocol):
    """Shows the newest state."""

    def show(self, table: str, notes: Sequence[str]) -> None:
        """Show a table and the sentences that belong to it.

        Parameters
        ----------
        table : str
            Lines; the first is the heading.
        notes : sequence of str
            Sentences.
        """


@contextmanager
def open_screen() -> Iterator[Screen]:
    """The screen that fits where standard output goes."""
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        yield ChangedLines(lambda line: print(line, flush=True), time.monotonic)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        yield _Redrawn(live)


class _Redrawn:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, table: str, notes: Sequence[str]) -> None:
        lines = Text(table.rstrip())
        lines.no_wrap = True
        for note in notes:
            lines.append(f"\n  {note}", style="dim")
        self._live.update(lines, refresh=True)


class ChangedLines:
    """Prints what changed since the last time, with the seconds since the first.

    Parameters
    ----------
    write : callable
        Prints a line.
    clock : callable
        Seconds, from any point.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._start = clock()
        self._seen: frozenset[str] = frozenset()
        self._heading = ""

    def show(self, table: str, notes: Sequence[str]) -> None:
        """Print the lines that the last table did not have, and the new sentences.

        Parameters
        ----------
        table : str
            Lines; the first is the heading.
        notes : sequence of str
            Sentences.
        """
        heading, *rows = table.rstrip().splitlines() or [""]
        # Ages change in every line at every look, and say nothing new.
        changed = [row for row in rows if _without_last_word(row) not in self._seen]
        new_notes = [note for note in notes if note not in self._seen]
        if changed and heading.split() != self._heading.split():
            self._heading = heading
            self._write(f"        {heading}")
        now = f"{self._clock() - self._start:5.0f} s "
        for row in changed:
            self._write(f"{now} {row}")
        for note in new_notes:
            self._write(f"{now}   {note}")
        self._seen = frozenset((*map(_without_last_word, rows), *notes))


def _without_last_word(row: str) -> str:
    return row.rpartition(" ")[0].rstrip()
