"""metrics.json: what an evaluation found, as `trainyard.api.metrics.RunMetrics`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard.api.capability import Output
from trainyard.api.metrics import (
    BACKGROUND,
    RANKED_IMAGES,
    ClassMetrics,
    ConfusionMatrix,
    RankedImage,
    RunMetrics,
    SplitReport,
    TrainData,
)
from trainyard_trainer.engines.base import Confusion, ImageScore, SplitResult

# A list of numbers, which the JSON library puts on a line each. No string holds a line feed.
_NUMBERS = re.compile(r"\[\n\s+(-?\d[^\[\]{}\"]*?)\n\s+\]")


@dataclass(frozen=True)
class Ranking:
    """The images with the best and with the worst answers, the best and the worst first.

    No image is in both.
    """

    best: tuple[ImageScore, ...]
    worst: tuple[ImageScore, ...]


def ranking(images: Sequence[ImageScore], each: int = RANKED_IMAGES) -> Ranking:
    """The best and the worst images.

    The higher score is better; of equal scores the one with fewer wrong answers and missed labels,
    then the one with more right answers.

    Parameters
    ----------
    images
        All of a split, in any order.
    each
        At most so many of each; of few images half are the best.
    """
    ordered = sorted(
        images, key=lambda image: (-image.score, image.wrong, -image.right, image.name)
    )
    half = (len(ordered) + 1) // 2
    worst = ordered[max(half, len(ordered) - each) :]
    return Ranking(tuple(ordered[: min(half, each)]), tuple(reversed(worst)))


def document(
    primary: str,
    results: Mapping[str, SplitResult],
    names: Mapping[str, str],
    *,
    best_epoch: int | None = None,
    epochs: int | None = None,
    train: TrainData | None = None,
) -> RunMetrics:
    """The document.

    Parameters
    ----------
    primary
        Name of the primary metric.
    results
        By split: dev, test, or both.
    names
        Names of files in the layout -> names that people know the images by.
    best_epoch, epochs
        Number of the best epoch, and of epochs trained; None or 0 where it is not known.
    train
        What was learnt from; None where it is not known.
    """
    reports = {split: _split(result, names) for split, result in results.items()}
    first = next(iter(results.values()))
    return RunMetrics(
        primary_metric=primary,
        best_epoch=best_epoch or None,
        epochs_trained=epochs or None,
        operating_threshold=first.threshold,
        train=train,
        dev=reports.get("dev"),
        test=reports.get("test"),
    )


def write(path: Path, metrics: RunMetrics) -> None:
    """Write it for people too: a row of numbers on one line."""
    text = json.dumps(metrics.to_wire(), indent=2, ensure_ascii=False, allow_nan=False)
    flat = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    path.write_text(flat + "\n", encoding="utf-8")


def labels_of(outputs: Sequence[Output]) -> list[str]:
    """The classes as people read them; the attribute is said only where there are several."""
    several = len({output.attribute for output in outputs}) > 1
    return [f"{x.attribute}={x.value}" if several else x.value for x in outputs]


def _split(result: SplitResult, names: Mapping[str, str]) -> SplitReport:
    ranked = ranking(result.images)

    def listed(images: Sequence[ImageScore]) -> tuple[RankedImage, ...]:
        return tuple(
            RankedImage(name=names.get(image.name, image.name), score=round(image.score, 6))
            for image in images
        )

    return SplitReport(
        samples=result.samples,
        metrics=_rounded(result.metrics),
        classes=tuple(
            ClassMetrics(
                attribute=entry.output.attribute,
                value=entry.output.value,
                annotations=entry.samples,
                metrics=_rounded(entry.metrics),
                precision_at_recall=dict(entry.curves),
            )
            for entry in result.classes
        ),
        confusion=_confusion(result.confusion, [x.output for x in result.classes]),
        precision_at_recall=dict(result.curves),
        best=listed(ranked.best),
        worst=listed(ranked.worst),
    )


def _confusion(confusion: Confusion | None, outputs: Sequence[Output]) -> ConfusionMatrix | None:
    if confusion is None:
        return None
    labels = [f"{output.attribute}={output.value}" for output in outputs]
    return ConfusionMatrix(
        labels=(*labels, BACKGROUND) if confusion.background else tuple(labels),
        matrix=tuple(tuple(row) for row in confusion.matrix.tolist()),
        confidence=confusion.confidence,
        iou=confusion.iou,
    )


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in metrics.items()}
