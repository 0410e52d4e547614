"""Progress of long work: bars on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

REPEAT_S = 30.0
"""Seconds between two lines about the same step where there is no terminal."""


def duration(seconds: float) -> str:
    """Duration in words: ``45 s``, ``6 min 05 s``.

    Parameters
    ----------
    seconds : float
        Zero or more.
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


class Reporter:
    """Tells a person what goes on, on standard error so that standard output stays parsable."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Print one line.

        Parameters
        ----------
        text : str
            Plain text; square brackets are not markup.
        """
        if not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, what: str, estimate_s: float | None = None) -> Iterator[None]:
        """Show that something takes time, and how long of how long.

        Parameters
        ----------
        what : str
            What is being done, as in "building etcd".
        estimate_s : float or None
            How long it will probably take, in seconds; None when nobody knows.
        """
        start = time.monotonic()
        if self._quiet:
            yield
            return
        if self._console.is_terminal:
            with self._bar(what, estimate_s):
                yield
        else:
            about = f" (about {duration(estimate_s)})" if estimate_s else ""
            self.say(f"{what}{about} ...")
            with self._lines(what, estimate_s, start):
                yield
        self.say(f"{what}: done in {duration(time.monotonic() - start)}")

    @contextmanager
    def transfer(self, what: str) -> Iterator[Callable[[int, int | None], None]]:
        """Show how much of something was transferred.

        Parameters
        ----------
        what : str
            What is being done, as in "downloading etcd".

        Yields
        ------
        callable
            To be called with the bytes so far, and all of them or None while nobody knows.
        """
        seen: list[int | None] = [0, None]

        def moved(done: int, total: int | None) -> None:
            seen[:] = [done, total]

        if self._quiet:
            yield moved
            return

        def amount() -> str:
            done, total = seen
            return f"{(done or 0) / 1e6:.0f}{f' of {total / 1e6:.0f}' if total else ''} MB"

        start = time.monotonic()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}", markup=False), BarColumn())
            with Progress(
                *columns,
                DownloadColumn(),
                TransferSpeedColumn(),
                console=self._console,
                transient=True,
            ) as progress:
                task = progress.add_task(what, total=None)

                def advance() -> None:
                    progress.update(task, completed=seen[0], total=seen[1])

                with _ticking(advance, 0.5):
                    yield moved
        else:
            self.say(f"{what} ...")
            with _ticking(lambda: self.say(f"  still {what}: {amount()}"), REPEAT_S):
                yield moved
        self.say(f"{what}: {amount()} in {duration(time.monotonic() - start)}")

    @contextmanager
    def _bar(self, what: str, estimate_s: float | None) -> Iterator[None]:
        about = f"of about {duration(estimate_s)}" if estimate_s else ""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn(about),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(what, total=estimate_s)
            start = time.monotonic()

            def advance() -> None:
                if estimate_s:
                    # An estimate is never certain: the bar stops short of full.
                    done = min(time.monotonic() - start, 0.99 * estimate_s)
                    progress.update(task, completed=done)

            with _ticking(advance, 0.5):
                yield

    @contextmanager
    def _lines(self, what: str, estimate_s: float | None, start: float) -> Iterator[None]:
        def line() -> None:
            of = f" of about {duration(estimate_s)}" if estimate_s else ""
            self.say(f"  still {what}: {duration(time.monotonic() - start)}{of}")

        with _ticking(line, REPEAT_S):
            yield


@contextmanager
def _ticking(action: Callable[[], None], every_s: float) -> Iterator[None]:
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(every_s):
            action()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
