"""How a watched process is shown: a live picture, plain lines, or JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import click
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import (
    HistoryPoint,
    ProcessPhase,
    QueueStatus,
    TrainingProcessStatus,
)
from trainyard.cli.curves import curves
from trainyard.cli.output import note
from trainyard.cli.process_reading import explanation
from trainyard.decide.display import duration, ordinal

FRAMES_PER_SECOND = 2
BAR_COLUMNS = 40


class Screen(Protocol):
    """Where a watched process is shown."""

    def show(self, process: TrainingProcess) -> None:
        """The process as it is now."""

    def say(self, sentence: str) -> None:
        """Something beside it, such as that the API server does not answer."""


@contextmanager
def screen(output: str) -> Iterator[Screen]:
    """The place to show a process: `json`, else a live picture if a person watches, else lines."""
    console = Console(highlight=False)
    if output == "json":
        yield JsonLines()
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=FRAMES_PER_SECOND) as live:
            yield LivePicture(live)
    else:
        yield Lines()


class JsonLines:
    """One JSON object a change, and nothing else, on standard output."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def show(self, process: TrainingProcess) -> None:
        """See `Screen`."""
        now = document(process)
        if now != self._last:
            self._last = now
            click.echo(json.dumps(now, ensure_ascii=False))

    def say(self, sentence: str) -> None:
        """See `Screen`."""
        note(sentence)


class Lines:
    """One line for each phase, stage and reason to wait, and for each epoch."""

    def __init__(self) -> None:
        self._standing: tuple[object, ...] = ()
        self._epoch: int | None = None

    def show(self, process: TrainingProcess) -> None:
        """See `Screen`."""
        status, progress = process.status, process.status.progress
        running = status.phase is ProcessPhase.RUNNING and progress is not None
        stage = progress.stage if running and progress is not None else None
        standing = (status.phase, stage, explanation(process))
        epoch = progress.epoch if running and progress is not None else self._epoch
        if standing != self._standing or epoch != self._epoch:
            self._standing, self._epoch = standing, epoch
            click.echo(": ".join(filter(None, (_head(process), _body(process)))))

    def say(self, sentence: str) -> None:
        """See `Screen`."""
        note(sentence)


class LivePicture:
    """A picture that is drawn anew while time passes, not only when something changes."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, process: TrainingProcess) -> None:
        """See `Screen`."""
        self._live.update(Picture(process), refresh=True)

    def say(self, sentence: str) -> None:
        """See `Screen`."""
        self._live.console.print(sentence, markup=False)


class Picture:
    """What is seen of a process at the moment it is drawn."""

    def __init__(self, process: TrainingProcess) -> None:
        self._process = process

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        process, progress = self._process, self._process.status.progress
        title = Text(f"TrainingProcess {process.key}", style="bold")
        title.append(f" on node {process.spec.target_node}", style="not bold")
        parts: list[Any] = [title]
        head = Text(_head(process), style=_STYLES.get(process.status.phase, "cyan"))
        beside = _place(process) or _body(process, explained=False)
        if progress is not None and process.status.phase is not ProcessPhase.FAILED:
            row = Table.grid(padding=(0, 2))
            bar = ProgressBar(total=100, completed=progress.percent, width=BAR_COLUMNS)
            row.add_row(head, bar, Text(beside))
            parts.append(row)
        else:
            parts.append(Text.assemble(head, "  ", beside))
        told = explanation(process)
        parts += [Text(words) for words in (told, *_metrics(process), _attempts(process)) if words]
        taken = len(console.render_lines(Group(*parts), options, pad=False))
        # One row stays for the cursor: a picture as high as the terminal would scroll it.
        left = console.height - taken - 1
        parts += curves(process, options.max_width, left, ascii_only=options.ascii_only)
        yield Group(*parts)


_STYLES = {
    ProcessPhase.SUCCEEDED: "green",
    ProcessPhase.FAILED: "red",
    ProcessPhase.RUNNING: "blue",
    None: "cyan",
}


def document(process: TrainingProcess) -> dict[str, Any]:
    """What `--output json` says about a process; absent is what is not known."""
    status, progress = process.status, process.status.progress
    queue = status.queue or QueueStatus()
    starts = queue.estimated_start_time
    newest = status.history[-1] if status.history else HistoryPoint(epoch=0)
    last = status.attempts[-1] if status.attempts else None
    known: dict[str, Any] = {
        "name": process.metadata.name,
        "namespace": process.metadata.namespace,
        "node": process.spec.target_node,
        "phase": None if status.phase is None else str(status.phase),
        "reason": status.display.reason if status.display else None,
        "message": explanation(process),
        "attempt": last.number if last is not None else None,
        "queuePosition": queue.position,
        "estimatedStartTime": starts.isoformat() if starts is not None else None,
        "metrics": {metric.name: _finite(metric.value) for metric in status.metrics},
        "trainLoss": _finite(newest.train_loss),
        "learningRate": _finite(newest.learning_rate),
        "model": status.model,
        "location": _location(status),
    }
    if progress is not None:
        known |= {
            "stage": progress.stage,
            "percent": progress.percent,
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "estimatedRemainingSeconds": progress.estimated_remaining_seconds,
        }
    return {name: value for name, value in known.items() if value not in (None, "", {})}


def _location(status: TrainingProcessStatus) -> str | None:
    """The folder of the finished run's files, before its end of those of the newest attempt."""
    if status.artefacts is not None:
        return status.artefacts.location
    return status.attempts[-1].location if status.attempts else None


def _finite(text: str | None) -> float | None:
    """A number as JSON can have it: without NaN and infinity."""
    value = float(text) if text is not None else math.nan
    return value if math.isfinite(value) else None


def _head(process: TrainingProcess) -> str:
    """`Running, train`."""
    status = process.status
    if status.phase is None:
        return "New"
    stage = status.progress.stage if status.progress is not None else None
    if status.phase is not ProcessPhase.RUNNING or stage is None:
        return str(status.phase)
    return f"{status.phase}, {stage}"


def _body(process: TrainingProcess, *, explained: bool = True) -> str:
    """Percent, epoch, time left; for a line also the metrics, and what it waits for."""
    status, progress = process.status, process.status.progress
    parts: list[str] = []
    if progress is not None and status.phase in _TELLS_PROGRESS:
        parts.append(f"{progress.percent}%")
        if progress.epoch is not None and progress.epochs is not None:
            parts.append(f"epoch {progress.epoch} of {progress.epochs}")
        if progress.estimated_completion_time and status.phase is ProcessPhase.RUNNING:
            parts.append(_until(progress.estimated_completion_time))
    if explained:
        parts += _metrics(process) if status.phase is ProcessPhase.RUNNING else []
        told = explanation(process)
        return ", ".join([*parts, told] if told else parts)
    return ", ".join(parts)


_TELLS_PROGRESS = frozenset(
    {ProcessPhase.RUNNING, ProcessPhase.SUSPENDING, ProcessPhase.SUSPENDED, ProcessPhase.SUCCEEDED}
)


def _place(process: TrainingProcess) -> str:
    """`2nd in the queue, starts in ~1h35m`; empty where it does not stand in one."""
    queue = process.status.queue
    if queue is None or queue.position is None:
        return ""
    place = f"{ordinal(queue.position)} in the queue"
    starts = queue.estimated_start_time
    return place if starts is None else f"{place}, starts in {_until(starts)}"


def _until(moment: datetime) -> str:
    """`~12m`, as time passes between two reports."""
    return f"~{duration((moment - datetime.now(UTC)).total_seconds())}"


def _metrics(process: TrainingProcess) -> list[str]:
    """The metrics of the newest epoch, and its train loss."""
    found = [f"{metric.name} {float(metric.value):.4g}" for metric in process.status.metrics]
    found += [
        f"train loss {float(point.train_loss):.4g}"
        for point in process.status.history[-1:]
        if point.train_loss is not None
    ]
    return [", ".join(found)] if found else []


def _attempts(process: TrainingProcess) -> str:
    """`attempt 2, gone on after epoch 12; attempt 1 ended: ...`."""
    tried = process.status.attempts
    if len(tried) < 2:
        return ""
    now, before = tried[-1], tried[-2]
    begun = f", gone on after epoch {now.resumed_from_epoch}" if now.resumed_from_epoch else ""
    return f"attempt {now.number}{begun}; the one before ended: {before.message or before.reason}"
