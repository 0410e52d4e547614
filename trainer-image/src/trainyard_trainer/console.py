"""What a person in a terminal sees: a bar that says how far the run is, and the log above it.

Where standard output is no terminal, there is no bar, and the log has lines with a time instead.
"""

from __future__ import annotations

import atexit
import logging
import sys
from functools import cache

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from trainyard.api.report import ProgressReport
from trainyard_trainer.logs import start_logging


def begin() -> None:
    """Log to standard output, above a bar if it is a terminal."""
    terminal = _terminal()
    if terminal is None:
        start_logging(logging.StreamHandler(sys.stdout))
    else:
        start_logging(_Above(terminal.console), dated=False)


def show(report: ProgressReport) -> None:
    """Show how far it is, in a terminal."""
    terminal = _terminal()
    if terminal is not None:
        terminal.show(report)


def in_terminal() -> bool:
    """Whether a bar is shown."""
    return _terminal() is not None


class _Terminal:
    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[beside]}"),
            console=console,
            transient=True,
        )
        self._task = self._bars.add_task("", total=100, beside="")
        atexit.register(self._bars.stop)

    def show(self, report: ProgressReport) -> None:
        if report.percent >= 100:
            self._bars.stop()
            return
        self._bars.update(
            self._task,
            completed=report.percent,
            description=escape(report.message or report.stage),
            beside=_beside(report),
        )
        self._bars.start()


def _beside(report: ProgressReport) -> str:
    """What is known of the run: the newest metric, and the time that is left."""
    parts = []
    if report.history and report.history[-1].dev_accuracy is not None:
        parts.append(f"dev {report.history[-1].dev_accuracy:.4f}")
    left = report.estimated_remaining_seconds
    if left is not None:
        minutes, seconds = divmod(left, 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return ", ".join(parts)


class _Above(logging.Handler):
    """Lines of the log, above the bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        self._console.print(level + self.format(record), markup=False, soft_wrap=True)


@cache
def _terminal() -> _Terminal | None:
    console = Console(highlight=False)
    return _Terminal(console) if console.is_terminal else None
