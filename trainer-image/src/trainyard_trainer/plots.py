"""Pictures of numbers: learning curves, what is taken for what, precision against recall.

Matplotlib is imported where something is drawn, for that takes a second or two, and without its
window system. `machine.quieten` keeps it from searching the fonts of the system.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from trainyard.api.metrics import BACKGROUND
from trainyard.api.report import EpochReport
from trainyard.datasets.drawing import colours, shortened
from trainyard_trainer.engines.base import Confusion, SplitResult
from trainyard_trainer.metrics import labels_of
from trainyard_trainer.progress import thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 120
_RED, _BLUE, _GREEN, _INK, _FAINT = "#d62728", "#1f77b4", "#2ca02c", "#1c1e21", "#b9bdc4"
_MANY_EPOCHS = 40
_MOST_POINTS = 1000
_MANY_CLASSES = 10
_COUNTED_CLASSES = 25
"""Up to so many rows each cell says its number."""
_NAMED_CLASSES = 60
"""Up to so many rows each has its name."""
_LONGEST_NAME = 120
"""Of a class, in pixels of a small font."""

_JUDGED = {
    "box": "boxes that overlap by half or more",
    "mask": "outlines that overlap by half or more",
    "class": "the first five answers for each image",
}


@dataclass(frozen=True)
class Final:
    """What is known when the training is over.

    Attributes
    ----------
    best_epoch
        Its model is the one that is published.
    test
        The primary metric of that model on test; None: there is no test.
    """

    best_epoch: int
    test: float | None


def curves(
    name: str,
    history: Sequence[EpochReport],
    metric: str,
    to: Path | BinaryIO,
    final: Final | None = None,
) -> None:
    """Learning curves, one above the other: dev accuracy red, train loss blue, learning rate green.

    The best epoch is marked; at the end, the value on test is a mark of its own.

    Parameters
    ----------
    name
        Of the run.
    history
        All epochs so far, over all attempts; at least one. Of thousands, as many are drawn as the
        picture has columns of pixels.
    metric
        Name of the primary metric.
    to
        The PNG to write.
    final
        None: the training is not over.
    """
    drawn = thinned(history, _MOST_POINTS)
    epochs = [report.epoch for report in drawn]
    words = f"{name}: learning curves of epochs {epochs[0]} to {epochs[-1]}"
    if final is None:
        best = max(history, key=lambda report: (report.dev_accuracy or 0.0, report.epoch)).epoch
        mark = f"epoch {best}: the best on dev so far"
        words += " so far"
    else:
        best, mark = final.best_epoch, f"epoch {final.best_epoch}: the best on dev, published"
    test = None if final is None else final.test
    if test is not None:
        words += f"; {metric} on test {test:.3f}"
    with _figure(to, 8.0, 7.5, words) as figure:
        figure.suptitle(name, fontsize=11)
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.2))
        _line(top, epochs, [r.dev_accuracy for r in drawn], _RED, f"{metric} on dev")
        top.axvline(best, color=_FAINT, linestyle="--", linewidth=1.2, label=mark, zorder=0)
        if test is not None:
            top.plot(
                [best],
                [test],
                linestyle="none",
                marker="D",
                markersize=9,
                color=_INK,
                label=f"{metric} on test, at the end: {test:.3f}",
            )
        top.set_ylabel(metric)
        top.set_ylim(bottom=0)
        top.legend(loc="lower right", fontsize=9)
        _line(middle, epochs, [r.train_loss for r in drawn], _BLUE, "train loss")
        middle.set_ylabel("train loss")
        _line(bottom, epochs, [r.learning_rate for r in drawn], _GREEN, "learning rate")
        bottom.set_ylabel("learning rate")
        bottom.set_ylim(bottom=0)
        bottom.set_xlabel("epoch")
        bottom.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        bottom.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for axes in (top, middle, bottom):
            axes.grid(alpha=0.3)
        figure.align_ylabels()


def confusion(name: str, result: SplitResult, split: str, path: Path) -> None:
    """What is taken for what: a row a label, a column an answer.

    A row is shaded by its shares; the background, of which there is no number, by the share of the
    answers that are false alarms.

    Parameters
    ----------
    name
        Of the run.
    result
        Has a confusion matrix.
    split
        `dev` or `test`, for the title.
    path
        The PNG to write.
    """
    found = result.confusion
    assert found is not None  # noqa: S101 -- the caller looked
    names = [shortened(x, _LONGEST_NAME, 10) for x in labels_of([c.output for c in result.classes])]
    columns = [*names, "(nothing)"] if found.background else names
    rows = [*names, BACKGROUND] if found.background else names
    shares = found.matrix / np.maximum(found.matrix.sum(axis=1, keepdims=True), 1)
    if found.background:
        shares[-1] = found.matrix[-1] / np.maximum(found.matrix.sum(axis=0), 1)
    side = min(14.0, 4.2 + 0.4 * len(rows))
    words = f"{name}: what is taken for what, on {split}"
    with _figure(path, side + 2, side, words) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        shaded = "share of the row" + ("; background: of the column" if found.background else "")
        figure.colorbar(image, ax=axes, fraction=0.04, pad=0.03).set_label(shaded, fontsize=9)
        if len(rows) <= _NAMED_CLASSES:
            small = 9 if len(rows) <= _COUNTED_CLASSES else 6
            axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=small)
            axes.set_yticks(range(len(rows)), rows, fontsize=small)
        if len(rows) <= _COUNTED_CLASSES:
            _write_counts(axes, found, shares)
        numbered = "" if len(rows) <= _NAMED_CLASSES else " (number of the class in config.yaml)"
        axes.set_xlabel(f"answer of the model{numbered}")
        axes.set_ylabel(f"label{numbered}")
        axes.set_title(f"{words}\n{_said_of(found)}", fontsize=11)


def precision_recall(name: str, result: SplitResult, split: str, path: Path) -> None:
    """Precision against recall of each class, and the mean of them; outlines beside boxes.

    Parameters
    ----------
    name
        Of the run.
    result
        Has curves.
    split
        `dev` or `test`, for the title.
    path
        The PNG to write.
    """
    recalls = np.linspace(0, 1, 101)
    names = labels_of([entry.output for entry in result.classes])
    colour = colours(names)
    words = f"{name}: precision and recall on {split}"
    with _figure(path, 1.5 + 6.0 * len(result.curves), 6.0, words) as figure:
        figure.suptitle(words, fontsize=11)
        for axes, (kind, mean) in zip(
            figure.subplots(1, len(result.curves), squeeze=False)[0],
            result.curves.items(),
            strict=True,
        ):
            drawn = [
                (value, entry.curves[kind])
                for value, entry in zip(names, result.classes, strict=True)
                if kind in entry.curves
            ]
            few = len(drawn) <= _MANY_CLASSES
            if len(drawn) > 1:
                for value, points in drawn:
                    rgb = tuple(part / 255 for part in colour[value]) if few else _FAINT
                    label = _listed(value) if few else ""
                    axes.plot(recalls, points, color=rgb, linewidth=1.2, alpha=0.9, label=label)
            label = f"mean of {len(drawn)} classes" if len(drawn) > 1 else _listed(drawn[0][0])
            axes.plot(recalls, mean, color=_INK, linewidth=2.4, label=label)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.02)
            axes.set_xlabel("recall: share of the labelled that is found")
            axes.set_ylabel("precision: share of the answers that is right")
            axes.set_title(_JUDGED[kind], fontsize=11)
            axes.grid(alpha=0.3)
            axes.legend(loc="lower left", fontsize=9)


@contextmanager
def _figure(to: Path | BinaryIO, width: float, height: float, words: str) -> Iterator[Figure]:
    """A figure of so many inches, which is written as a PNG at the end, described in words."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # In scripts that matplotlib's font lacks, names of classes are boxes. This is not undone: what
    # another thread does to the filters meanwhile would be undone with it.
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    # Names of classes are no formulas.
    with mpl.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        FigureCanvasAgg(figure).print_png(to, metadata={"Software": None, "Description": words})


def _line(
    axes: Axes, epochs: Sequence[int], values: Sequence[float | None], colour: str, label: str
) -> None:
    """A line with gaps where there is no value."""
    points = [math.nan if value is None else value for value in values]
    marker = "o" if len(epochs) <= _MANY_EPOCHS else ""
    # Not cut off: a value of 0 lies on the frame.
    axes.plot(epochs, points, color=colour, marker=marker, markersize=3, label=label, clip_on=False)


def _listed(value: str) -> str:
    """A class as a legend names it; matplotlib leaves out what begins with a line."""
    short = shortened(value, _LONGEST_NAME, 10)
    return f" {short}" if short.startswith("_") else short


def _write_counts(axes: Axes, found: Confusion, shares: Any) -> None:
    for (row, column), count in np.ndenumerate(found.matrix):
        if count:
            colour = "white" if shares[row, column] > 0.55 else _INK
            axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=8)


def _said_of(found: Confusion) -> str:
    if found.confidence is None:
        return "the first answer for each image"
    return f"answers of a confidence above {found.confidence:.3g}, overlap {found.iou:.2g} or more"
