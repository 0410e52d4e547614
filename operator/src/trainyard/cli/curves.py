"""Learning curves as text: dev accuracy red, train loss blue, learning rate green.

One panel a curve, because they have different scales, above one axis of epochs. They are told apart
by their titles too: a terminal may have no colours. plotext draws them, and is imported where
something is drawn: that takes a quarter of a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from rich.text import Text

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import HistoryPoint, MetricSet
from trainyard.decide import display

FEWEST_COLUMNS = 40
MOST_ROWS = 32
"""Taller curves say no more."""
_TITLE_ROWS, _AXIS_ROWS, _FEWEST_CURVE_ROWS = 1, 2, 3
_EPOCH = "epoch"
_COLUMNS_A_TICK = 12
_LARGEST = 1e100
"""Beyond it the arithmetic of a picture overflows."""
_DOTS, _MARKS = ("braille", "*"), ("◆", "@")
"""What is drawn with, and the same in ASCII."""
_ASCII = str.maketrans("│─┤┬└┴┼", "|-+++++")


@dataclass(frozen=True)
class Panel:
    """One curve.

    Attributes
    ----------
    values
        One a point of the history; None leaves a gap.
    weight
        Its share of the height.
    test
        A value of its own that is marked at the last epoch; None: there is none.
    """

    title: str
    colour: str
    weight: float
    values: tuple[float | None, ...]
    test: float | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value of its axis."""
        known = [value for value in (*self.values, self.test) if value is not None]
        low, high = min(known), max(known)
        if low == high:
            around = abs(low) / 10 or 1.0
            return low - around, high + around
        return low, high


def curves(process: TrainingProcess, columns: int, rows: int, *, ascii_only: bool) -> list[Text]:
    """The curves of a process, one line of text a row; nothing where they do not fit.

    Parameters
    ----------
    columns, rows
        The room that they have. Where it is low, the learning rate goes first, then the loss.
    ascii_only
        For a terminal that has no other characters.
    """
    history = process.status.history
    shown = [panel for panel in _panels(process) if any(v is not None for v in panel.values)]
    rows = min(rows, MOST_ROWS)
    while shown and _fewest_rows(len(shown)) > rows:
        shown.pop()
    if not shown or columns < FEWEST_COLUMNS:
        return []
    epochs = [point.epoch for point in history]
    heights = _shares(rows - _fewest_rows(len(shown)), [panel.weight for panel in shown])
    ticks = [
        _ticks(panel, _FEWEST_CURVE_ROWS + more) for panel, more in zip(shown, heights, strict=True)
    ]
    gutter = max(len(_EPOCH), *(len(label) for _, labels in ticks for label in labels))
    lines: list[Text] = []
    for panel, more, (positions, labels) in zip(shown, heights, ticks, strict=True):
        last = panel is shown[-1]
        drawing = _Drawing(columns, _FEWEST_CURVE_ROWS + more, ascii_only=ascii_only)
        drawing.scale(panel, positions, [label.rjust(gutter) for label in labels])
        drawing.epochs(epochs, shown=last)
        drawing.curve(epochs, panel)
        lines.append(_title(panel, gutter, ascii_only=ascii_only))
        lines += drawing.lines()
        if last:
            lines[-1] = Text.assemble(_EPOCH.rjust(gutter), lines[-1][gutter:])
    return lines


def _panels(process: TrainingProcess) -> list[Panel]:
    """The curves, the one that matters most first."""
    status = process.status
    metric = display.metric_name(status.display.metric) if status.display is not None else ""
    measured = status.evaluation.test if status.evaluation is not None else None
    return [
        Panel(
            f"{metric or 'accuracy'} on dev",
            "red",
            3.0,
            _values(status.history, "dev_accuracy"),
            _value_of(measured, metric),
        ),
        Panel("train loss", "blue", 2.0, _values(status.history, "train_loss")),
        Panel("learning rate", "green", 1.2, _values(status.history, "learning_rate")),
    ]


def _values(history: Sequence[HistoryPoint], field: str) -> tuple[float | None, ...]:
    return tuple(_drawable(getattr(point, field)) for point in history)


def _value_of(measured: MetricSet | None, name: str) -> float | None:
    metrics = measured.metrics if measured is not None else ()
    return next((_drawable(metric.value) for metric in metrics if metric.name == name), None)


def _drawable(text: str | None) -> float | None:
    """A number that can be drawn: NaN and infinity are gaps."""
    value = float(text) if text is not None else math.nan
    return value if abs(value) < _LARGEST else None


def _fewest_rows(panels: int) -> int:
    return panels * (_TITLE_ROWS + _FEWEST_CURVE_ROWS) + _AXIS_ROWS


def _shares(rows: int, weights: Sequence[float]) -> list[int]:
    """Rows dealt out by weight, all of them."""
    ends = [round(rows * part / sum(weights)) for part in accumulate(weights)]
    return [end - before for before, end in zip([0, *ends], ends, strict=False)]


def _title(panel: Panel, gutter: int, *, ascii_only: bool) -> Text:
    newest = next((value for value in reversed(panel.values) if value is not None), 0.0)
    title = Text(" " * (gutter + 1), no_wrap=True, overflow="crop")
    title.append(f"{panel.title} {newest:.4g}", style=panel.colour)
    if panel.test is not None:
        title.append(f"   {_MARKS[ascii_only]} on test, at the end {panel.test:.4g}", style="bold")
    return title


def _ticks(panel: Panel, rows: int) -> tuple[list[float], list[str]]:
    """Values along its axis, from the lowest to the highest, with digits that tell them apart."""
    low, high = panel.limits
    count = max(2, min(4, (rows + 1) // 2))
    positions = [low + (high - low) * step / (count - 1) for step in range(count)]
    for digits in range(3, 7):
        labels = [f"{position:.{digits}g}" for position in positions]
        if len(set(labels)) == count:
            break
    return positions, labels


def _epoch_ticks(first: int, last: int, count: int) -> list[int]:
    """The first and the last epoch, and round numbers between them; about `count`."""
    steps = (factor * 10**power for power in range(9) for factor in (1, 2, 5))
    step = next((step for step in steps if (last - first) / step < count), last - first)
    between = range(-(-first // step) * step, last, step)
    return [first, *(e for e in between if first + step / 2 <= e <= last - step / 2), last]


class _Drawing:
    """One picture of plotext, which has a single figure that each begins anew."""

    def __init__(self, columns: int, curve_rows: int, *, ascii_only: bool) -> None:
        import plotext

        self._plotext, self._ascii_only = plotext, ascii_only
        # What fits is known here; plotext asks the terminal of its own standard output.
        plotext.terminal.limit(False, False)
        self._figure: Any = plotext.figure.clear()
        self._columns, self._curve_rows = columns, curve_rows
        self._figure.theme("colorless")
        self._figure.axes(False, axis="x", side="upper")
        self._figure.axes(False, axis="y", side="right")

    def scale(self, panel: Panel, positions: Sequence[float], labels: Sequence[str]) -> None:
        """The axis on the left."""
        self._figure.ruler("y", "left").lim(*panel.limits)
        self._figure.ruler("y", "left").ticks(positions, labels)

    def epochs(self, epochs: Sequence[int], *, shown: bool) -> None:
        """The axis below, which only the last picture shows."""
        first, last = epochs[0], max(epochs[-1], epochs[0] + 1)
        below = self._figure.ruler("x", "lower")
        below.lim(first, last)
        if shown:
            below.ticks(
                ticks := _epoch_ticks(first, last, self._columns // _COLUMNS_A_TICK),
                [str(e) for e in ticks],
            )
        else:
            self._figure.axes(False, axis="x", side="lower")
            below.frequency(0)
        self._figure.plot_size(self._columns, self._curve_rows + (_AXIS_ROWS if shown else 0))

    def curve(self, epochs: Sequence[int], panel: Panel) -> None:
        """The curve, with a gap wherever a value is missing, and the mark beside it."""
        plotext = self._plotext
        marker = plotext.marker(_DOTS[self._ascii_only], panel.colour)
        points = [
            (epoch, value, index == 0 or panel.values[index - 1] is None)
            for index, (epoch, value) in enumerate(zip(epochs, panel.values, strict=True))
            if value is not None
        ]
        drawn = self._figure.signal(
            [epoch for epoch, _, _ in points], [value for _, value, _ in points], marker=marker
        )
        drawn.lines()
        for index, (_, _, begins) in enumerate(points):
            drawn.line(index, not begins)
        self._figure.draw(drawn)
        if panel.test is not None:
            mark = plotext.marker(_MARKS[self._ascii_only])
            self._figure.draw(self._figure.signal([epochs[-1]], [panel.test], marker=mark))

    def lines(self) -> list[Text]:
        """What was drawn, a line a row."""
        text = Text.from_ansi(self._figure.build().string(), no_wrap=True, overflow="crop")
        if self._ascii_only:
            text.plain = text.plain.translate(_ASCII)
        return list(text.split("\n"))
