"""A table that changes: redrawn in place on a terminal, line by line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

QUIET_S = 20.0
"""Where lines cannot be redrawn, progress alone is printed at most this often for one object."""


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
        lines = Text(table.rstrip(), no_wrap=True)
        sentences = (Text(f"  {note}", style="dim") for note in notes)
        self._live.update(Group(lines, *sentences), refresh=True)


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
        self._rows: dict[str, tuple[list[str], float]] = {}
        self._notes: frozenset[str] = frozenset()
        self._headed = False

    def show(self, table: str, notes: Sequence[str]) -> None:
        """Print the rows that say something new, and the new sentences.

        A row is printed when its phase changes, and otherwise at most every `QUIET_S`.

        Parameters
        ----------
        table : str
            Lines; the first is the heading. The first column of a row is its name, the second its
            phase, the last its age.
        notes : sequence of str
            Sentences.
        """
        heading, *rows = table.rstrip().splitlines() or [""]
        now = self._clock()
        passed = f"{now - self._start:5.0f} s "
        for row in rows:
            # Neither a wider column nor another age is news.
            name, *said = row.split()[:-1]
            before, when = self._rows.get(name, ([], -QUIET_S))
            if said == before or (said[:1] == before[:1] and now - when < QUIET_S):
                continue
            if not self._headed:
                self._headed = True
                self._write(f"        {heading}")
            self._write(f"{passed} {row}")
            self._rows[name] = (said, now)
        for note in notes:
            if note not in self._notes:
                self._write(f"{passed}   {note}")
        self._notes = frozenset(notes)
