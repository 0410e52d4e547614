"""How good a detector's answers are: the library's numbers, and what it does not keep.

The library computes average precision and the curves. It throws the answers away, so the confusion
matrix and the score of each image, which need the operating threshold and are known only after all
images, are made of a short record of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.utils.metrics import box_iou, smooth

from trainyard.api.capability import Output
from trainyard_trainer.engines.base import (
    DEFAULT_CONFIDENCE,
    ClassResult,
    Confusion,
    Curve,
    ImageScore,
    SplitResult,
)
from trainyard_trainer.engines.scoring import Floats, Integers, curve_of, finite, joined

MATCH_IOU = 0.5
"""Least overlap of an answer with the label that it is taken for."""
NAMES = {
    "box": ("precision", "recall", "mAP50", "mAP50-95"),
    "mask": ("mask-precision", "mask-recall", "mask-mAP50", "mask-mAP50-95"),
}
"""What the metrics of boxes and of outlines are called."""

_BACKGROUND = -1


def matched(overlaps: npt.NDArray[np.floating[Any]], least: float = MATCH_IOU) -> Integers:
    """Which label each answer is taken for, whatever its class.

    In descending confidence each answer takes the label that it overlaps most, of those that no
    answer before it took. So what is matched does not depend on answers of lower confidence.

    Parameters
    ----------
    overlaps
        Intersection over union, [labels, answers], answers in descending confidence.
    least
        Least overlap.

    Returns
    -------
    Integers
        [answers]: the index of the label, or -1.
    """
    left = np.array(overlaps, dtype=np.float64)
    taken = np.full(left.shape[1], _BACKGROUND)
    if left.size:
        for answer in np.flatnonzero((left >= least).any(0)):
            label = int(left[:, answer].argmax())
            if left[label, answer] >= least:
                taken[answer] = label
                left[label] = 0
    return taken


def surest(said: Any, classes: int) -> Any:
    """What a model said, with only the best class of each box left: what it answers in use.

    For average precision the library asks about every class of every box, as is usual there.

    Parameters
    ----------
    said
        Of the library: float [B, 4 + classes + more, boxes], or a tuple that begins with that, or
        with such a tuple.
    classes
        How many.
    """
    if isinstance(said, (tuple, list)):
        return type(said)((surest(said[0], classes), *said[1:]))
    scores = said[:, 4 : 4 + classes]
    left = said.clone()
    left[:, 4 : 4 + classes] = torch.where(scores == scores.amax(1, keepdim=True), scores, 0)
    return left


@dataclass
class Record:
    """What is kept of the answers: a few bytes each.

    Attributes
    ----------
    names, labels
        File name and classes of the labels, by image.
    confidence, predicted, truth, right
        By image, of each answer in descending confidence: its class, the class of the label that
        it is taken for (-1: background), and whether the library counts it as right at an overlap
        of 0.5 (bool [answers, kinds]: its box, and its outline).
    """

    names: list[str] = field(default_factory=list)
    labels: list[Integers] = field(default_factory=list)
    confidence: list[Floats] = field(default_factory=list)
    predicted: list[Integers] = field(default_factory=list)
    truth: list[Integers] = field(default_factory=list)
    right: list[npt.NDArray[np.bool_]] = field(default_factory=list)

    def confusion(self, classes: int, threshold: float) -> Confusion:
        """The matrix of the answers above a threshold, boxes matched whatever their class."""
        matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)
        kept = joined(self.confidence) > threshold
        # The background is -1: the last row and column.
        np.add.at(matrix, (joined(self.truth)[kept], joined(self.predicted)[kept]), 1)
        labelled = np.bincount(joined(self.labels), minlength=classes)
        matrix[:-1, -1] = labelled - matrix[:-1].sum(1)
        return Confusion(matrix, background=True, confidence=threshold, iou=MATCH_IOU)

    def rates(self, classes: int, threshold: float, kind: int) -> Floats:
        """Precision and recall of each class above a threshold, [classes, 2]."""
        kept = joined(self.confidence) > threshold
        predicted = joined(self.predicted)[kept]
        right = predicted[joined(self.right)[kept, kind]]
        found, claimed, labelled = (
            np.bincount(of, minlength=classes) for of in (right, predicted, joined(self.labels))
        )
        # Nothing of nothing is 0.
        return np.column_stack((found / np.maximum(claimed, 1), found / np.maximum(labelled, 1)))

    def scores(self, threshold: float) -> tuple[ImageScore, ...]:
        """F1 of each image; of an image without labels and answers it is 1."""
        return tuple(
            _score(name, len(labels), right[confidence > threshold, -1])
            for name, labels, confidence, right in zip(
                self.names, self.labels, self.confidence, self.right, strict=True
            )
        )


def _score(name: str, labels: int, right: npt.NDArray[np.bool_]) -> ImageScore:
    answers, found = len(right), int(right.sum())
    wrong = answers - found + labels - found
    score = 2 * found / (answers + labels) if answers + labels else 1.0
    return ImageScore(name, score, found, wrong)


class Recorded:
    """Mixed into a validator of the library: keeps the `Record`."""

    nc: int

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Begin an evaluation."""
        super().init_metrics(model)  # type: ignore[misc]
        self.record = Record()

    def postprocess(self, preds: Any) -> list[dict[str, Any]]:
        """The answers for a batch, each with those in use under `used`."""
        used = super().postprocess(surest(preds, self.nc))  # type: ignore[misc]
        found: list[dict[str, Any]] = super().postprocess(preds)  # type: ignore[misc]
        return [answers | {"used": given} for answers, given in zip(found, used, strict=True)]

    def _process_batch(self, preds: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        """Compare the answers for one image with its labels."""
        used = preds.pop("used")
        compared = super()._process_batch(used, batch)  # type: ignore[misc]
        labels = batch["cls"].cpu().numpy().astype(np.int64)
        taken = matched(box_iou(batch["bboxes"], used["bboxes"]).cpu().numpy())
        record = self.record
        record.names.append(Path(batch["im_file"]).name)
        record.labels.append(labels)
        record.confidence.append(used["conf"].cpu().numpy().astype(np.float64))
        record.predicted.append(used["cls"].cpu().numpy().astype(np.int64))
        # One more label at the end, the background, is what index -1 means.
        record.truth.append(np.append(labels, _BACKGROUND)[taken])
        kinds = [compared[key][:, 0] for key in ("tp", "tp_m") if key in compared]
        record.right.append(np.stack(kinds, axis=1).astype(bool))
        counted: dict[str, Any] = super()._process_batch(preds, batch)  # type: ignore[misc]
        return counted


class BoxValidator(Recorded, DetectionValidator):  # type: ignore[misc]
    """The library's validator of boxes, with a record."""


def summary(
    validator: Any, judged: Mapping[str, Any], outputs: Sequence[Output], threshold: float | None
) -> SplitResult:
    """The result of a validator with a `Record` that is through.

    Precision and recall are counted at the operating threshold, at an overlap of 0.5 (the library
    draws lines between the answers, which is far off where there are few).

    Parameters
    ----------
    validator
        Of the library.
    judged
        `box`, and for outlines `mask` after it -> the library's metrics of it. The last decides
        about the threshold.
    outputs
        The classes.
    threshold
        None: `best_confidence`.
    """
    *_, decisive = judged.values()
    if threshold is None:
        threshold = best_confidence(decisive)
    labelled = validator.metrics.nt_per_class
    by_class: list[dict[str, float]] = [{} for _ in outputs]
    curves_by_class: list[dict[str, Curve]] = [{} for _ in outputs]
    metrics: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    for index, (kind, measured) in enumerate(judged.items()):
        rates = validator.record.rates(len(outputs), threshold, index)
        # Of the classes that are labelled.
        present = np.asarray(measured.ap_class_index, dtype=int)
        table = np.column_stack((rates[present], measured.all_ap[:, 0], measured.all_ap.mean(1)))
        for row, position in enumerate(measured.ap_class_index):
            by_class[position] |= _named(kind, table[row])
            curves_by_class[position][kind] = curve_of(measured.px, measured.prec_values[row])
        none = np.zeros(len(NAMES[kind]))
        metrics |= _named(kind, table.mean(0) if len(table) else none)
        if len(table):
            curves[kind] = curve_of(measured.px, measured.prec_values.mean(0))
    return SplitResult(
        samples=int(validator.seen),
        metrics=metrics,
        classes=tuple(
            ClassResult(output, int(labelled[position]), by_class[position], shapes)
            for position, (output, shapes) in enumerate(zip(outputs, curves_by_class, strict=True))
        ),
        threshold=threshold,
        confusion=validator.record.confusion(len(outputs), threshold),
        curves=curves,
        images=validator.record.scores(threshold),
    )


def best_confidence(measured: Any) -> float:
    """The confidence with the best mean F1 of the classes at an overlap of 0.5.

    As the library finds it: F1 is smoothed over a tenth of the range of confidence. Where no answer
    is right, `DEFAULT_CONFIDENCE`.
    """
    if not len(measured.f1_curve) or not np.max(measured.f1_curve) > 0:
        return DEFAULT_CONFIDENCE
    best = smooth(measured.f1_curve.mean(0), 0.1).argmax()
    return round(float(measured.px[best]), 4)


def _named(kind: str, values: Floats) -> dict[str, float]:
    return {name: finite(value) for name, value in zip(NAMES[kind], values, strict=True)}
