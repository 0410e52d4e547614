"""metrics.json: all numbers of an evaluation, for people and programs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from trainyard.api._base import Label, StrictModel

METRICS_NAME = "metrics.json"
CURVE_POINTS = 101
"""Recall 0, 0.01, ..., 1."""
RANKED_IMAGES = 12
"""Images that are listed as the best, and as the worst."""
BACKGROUND = "background"
"""The last row and column of a detector's confusion matrix."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MetricName = Annotated[str, Field(min_length=1, max_length=64)]
Curves = dict[
    Literal["box", "mask", "class"],
    Annotated[tuple[Share, ...], Field(min_length=CURVE_POINTS, max_length=CURVE_POINTS)],
]
"""By what is judged; each the precision at recall 0, 0.01, ..., 1."""


class ClassMetrics(StrictModel):
    """One class on one split."""

    attribute: Label
    value: Label
    annotations: Annotated[int, Field(ge=0)]
    """How often it is labelled there."""
    metrics: dict[MetricName, FiniteFloat] = {}
    """By name; none where there is nothing to measure: the class is not labelled, or, of an
    identity to be retrieved, not twice."""
    precision_at_recall: Curves = {}
    """Its precision-recall curves, at an overlap of 0.5 for boxes and masks."""


class ConfusionMatrix(StrictModel):
    """What is taken for what."""

    labels: tuple[str, ...]
    """Of rows and columns: `attribute=value` in the order of the model's outputs. Detectors have
    `background` at the end: as a row, answers where nothing is labelled; as a column, what was
    labelled and not found."""
    matrix: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...]
    """A row is a label, a column is an answer."""
    confidence: Share | None = None
    """Answers of more than that count; absent: the first answer, whatever its confidence."""
    iou: Share | None = None
    """Least overlap of an answer with the label that it is taken for; boxes only."""

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        if {len(self.labels)} != {len(self.matrix), *(len(row) for row in self.matrix)}:
            raise ValueError("the confusion matrix has not one row and one column a label")
        return self


class RankedImage(StrictModel):
    """One image, and how good the answers for it are."""

    name: str
    """Where it lay in its source."""
    score: Share


class SplitReport(StrictModel):
    """How good the model is on one split."""

    samples: Annotated[int, Field(ge=0)]
    """Number of images, or for the Box elements of cut-out boxes."""
    metrics: dict[MetricName, FiniteFloat]
    """By name, of the split as a whole: the mean over the classes that are labelled there."""
    classes: tuple[ClassMetrics, ...] = ()
    """In the order of the model's outputs."""
    confusion: ConfusionMatrix | None = None
    precision_at_recall: Curves = {}
    """Mean over the classes that are labelled there."""
    best: Annotated[tuple[RankedImage, ...], Field(max_length=RANKED_IMAGES)] = ()
    """Images with the best answers, the best first."""
    worst: Annotated[tuple[RankedImage, ...], Field(max_length=RANKED_IMAGES)] = ()
    """Images with the worst answers, the worst first."""


class ClassCount(StrictModel):
    """How often a class is labelled."""

    attribute: Label
    value: Label
    annotations: Annotated[int, Field(ge=1)]


class TrainData(StrictModel):
    """What was learnt from."""

    samples: Annotated[int, Field(ge=1)]
    """Images; for the Box elements, boxes."""
    classes: tuple[ClassCount, ...]
    """In the order of the model's outputs."""
    imbalance: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    """How many times as often as the rarest class the most frequent one is labelled."""


class RunMetrics(StrictModel):
    """metrics.json of a run, and of an evaluation that was made later.

    Every number in it is finite.
    """

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["RunMetrics"] = "RunMetrics"
    format_version: Literal[1] = 1
    primary_metric: MetricName
    """The metric by which the best epoch was chosen."""
    best_epoch: Annotated[int, Field(ge=1)] | None = None
    epochs_trained: Annotated[int, Field(ge=0)] | None = None
    operating_threshold: Share | None = None
    """The confidence from which an answer counts: the capability's own, else the one with the
    best F1 on dev. Precision, recall, the confusion matrix and the ranking of images are at it,
    also on test."""
    train: TrainData | None = None
    """What the run learnt from; absent in an evaluation that was made later."""
    dev: SplitReport | None = None
    """On the data that the best epoch and the threshold were chosen by."""
    test: SplitReport | None = None
    """On data that nothing was chosen by; measured once, at the end."""

    @model_validator(mode="after")
    def _measured_something(self) -> Self:
        if self.dev is None and self.test is None:
            raise ValueError("it has neither dev nor test: nothing was measured")
        return self
