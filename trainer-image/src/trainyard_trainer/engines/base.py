"""What every engine takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainyard.api.capability import Output
from trainyard.api.engine_arguments import Value
from trainyard.api.report import EpochReport
from trainyard.api.template import Hyperparameters
from trainyard.datasets.labels import GeometryName, Label
from trainyard_trainer.engines.augment import Variation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LAST, BEST = "last.pt", "best.pt"
"""What every engine calls its checkpoints of the last epoch and of the best."""

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in 0..1 of the image's width and height."""
Curve = tuple[float, ...]
"""Precision at recall 0, 0.01, ..., 1: 101 numbers in 0..1."""
DEFAULT_CONFIDENCE = 0.25
"""Operating threshold of a model that gave no right answer to choose one by."""


@dataclass(frozen=True)
class Example:
    """What an engine learns of one image, or of one box of it.

    Attributes
    ----------
    lines
        Lines of a YOLO label file (none: background), or for classifiers the index of the class.
        Each begins with the index of a class.
    box
        What is cut out of the image first; None: the example is the whole image.
    """

    lines: tuple[str, ...]
    box: Box | None = None


@dataclass(frozen=True)
class Base:
    """An earlier model that a training starts from.

    Attributes
    ----------
    origin
        Where it came from, for people.
    architecture
        Its name, for example yolo11n.
    layers
        The architecture itself, as the library reads it.
    classes
        Row i of its head is classes[i].
    state
        Tensors by name, which fit the architecture.
    """

    origin: str
    architecture: str
    layers: dict[str, Any]
    classes: tuple[Output, ...]
    state: Mapping[str, Any]


@dataclass(frozen=True)
class TrainSettings:
    """One training, resolved.

    Attributes
    ----------
    architecture
        For example yolo11n.
    classes
        Index i of the model's output is classes[i].
    device
        `cpu` or `0`.
    threads
        CPU threads of the training process.
    workers
        Processes that load images; only used with a GPU.
    primary_metric
        By which the best epoch is chosen.
    confidence, iou
        Thresholds of the evaluation.
    extra
        Arguments of the engine's library, which win over all others.
    dimensions
        Length of an embedder's vectors; 0 for other engines.
    base
        What it starts from; None: from scratch.
    """

    architecture: str
    classes: tuple[Output, ...]
    hyperparameters: Hyperparameters
    variation: Variation
    device: str
    threads: int
    workers: int
    primary_metric: str
    confidence: float
    iou: float
    extra: Mapping[str, Value] = field(default_factory=dict)
    dimensions: int = 0
    base: Base | None = None


@dataclass(frozen=True)
class Saved:
    """What the engine left on disk after an epoch. The next epoch overwrites it, in place.

    Attributes
    ----------
    files
        Named as the engine's `checkpoint_files`.
    finished
        No more epochs will come.
    """

    files: tuple[Path, ...]
    finished: bool


@dataclass(frozen=True)
class Resume:
    """What an engine goes on from.

    Attributes
    ----------
    folder
        Holds the engine's `checkpoint_files`, whose digests were verified.
    history
        The epochs done.
    finished
        No more epochs are to be trained.
    """

    folder: Path
    history: tuple[EpochReport, ...]
    finished: bool


@dataclass(frozen=True)
class Watcher:
    """What the engine calls while it trains; it may raise to end the training.

    Attributes
    ----------
    started
        Set-up is over and the first epoch begins; the argument is the number of steps an epoch.
    step
        One step is done.
    epoch
        An epoch and its evaluation on dev are done, and this is what was saved of it.
    """

    started: Callable[[int], None]
    step: Callable[[], None]
    epoch: Callable[[EpochReport, Saved], None]


@dataclass(frozen=True)
class Seen:
    """A train image as the model was given it.

    Attributes
    ----------
    pixels
        uint8 [H, W, 3], RGB.
    labels
        What the model was told about it.
    """

    pixels: npt.NDArray[np.uint8]
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Trained:
    """The best epoch's model.

    Attributes
    ----------
    state
        Tensors by name.
    architecture
        The architecture as the library reads it, plain values.
    image_size
        Side of the input in pixels, as really used.
    best_epoch, epochs
        Number of the best epoch, and of epochs trained, over all attempts.
    seen
        The first train images of this attempt, as they were varied.
    """

    state: Mapping[str, Any]
    architecture: dict[str, Any]
    image_size: int
    best_epoch: int
    epochs: int
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True)
class ClassResult:
    """How well one class is known.

    Attributes
    ----------
    samples
        Its annotations in the split.
    metrics
        Empty where there is nothing to measure: the split has no annotation of the class, or, of
        an identity to be retrieved, not two.
    curves
        As in `SplitResult`, of this class.
    """

    output: Output
    samples: int
    metrics: Mapping[str, float]
    curves: Mapping[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Confusion:
    """What is taken for what.

    Attributes
    ----------
    matrix
        int [N, N]: `matrix[t, p]` counts what is labelled t and answered p, in the order of the
        classes. With `background` a last row holds answers where nothing is labelled, and a last
        column what was labelled and not found.
    background
        Whether there is that row and column.
    confidence
        Answers above it count; None: the best answer counts, whatever its confidence.
    iou
        Least overlap of an answer with what it is taken for; None: the whole image is asked about.
    """

    matrix: npt.NDArray[np.int64]
    background: bool = False
    confidence: float | None = None
    iou: float | None = None


@dataclass(frozen=True)
class ImageScore:
    """How good the answers for one image (or crop) are.

    Attributes
    ----------
    name
        Of its file in the layout.
    score
        0..1: detectors: F1 at the operating threshold; classifiers: confidence of the right class.
    right, wrong
        Answers that are right; answers that are wrong and labels that were missed.
    """

    name: str
    score: float
    right: int
    wrong: int


@dataclass(frozen=True)
class SplitResult:
    """How good a model is on one split. What makes no sense for an engine is left empty.

    Attributes
    ----------
    samples
        Images (or crops).
    metrics
        By name, of the split as a whole; finite.
    classes
        In the order of the model's outputs.
    threshold
        The operating threshold: the confidence from which an answer counts.
    confusion
        What is taken for what.
    curves
        By what they judge (`box`, `mask` or `class`): the mean over the classes of the precision
        at recall 0, 0.01, ..., 1.
    images
        The score of each image.
    """

    samples: int
    metrics: Mapping[str, float]
    classes: tuple[ClassResult, ...]
    threshold: float | None = None
    confusion: Confusion | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)
    images: tuple[ImageScore, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """One answer of a model.

    Attributes
    ----------
    output
        The class.
    confidence
        0..1.
    points
        x_min y_min x_max y_max of a box, or x y x y ... of a polygon, as fractions of the image's
        sides; empty for the whole image.
    geometry
        What the points are.
    embedding
        The vector of an embedder, of length 1; empty for other models.
    """

    output: Output
    confidence: float
    points: tuple[float, ...] = ()
    geometry: GeometryName = "image"
    embedding: tuple[float, ...] = ()


def bounds(label: Label | Prediction) -> Box:
    """A box, or what surrounds a polygon."""
    xs, ys = label.points[0::2], label.points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Layout:
    """Where the prepared data lies.

    Attributes
    ----------
    data
        What the library is given as its dataset: a data.yaml or a folder.
    counts
        Number of examples by split: train, val, test.
    """

    data: Path
    counts: dict[str, int] = field(default_factory=dict)
