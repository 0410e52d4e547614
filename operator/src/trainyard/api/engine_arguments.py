"""The arguments of the engines that have no field of their own: `hyperparameters.extra`.

The table names what may be given, with type and bounds. It is a selection: what would run code,
reach the network, write files, or is a field of the template is not in it, so that an argument
that ultralytics gains is refused until somebody has looked at it. A test in the trainer's
environment compares the table with ultralytics' own configuration.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from trainyard.api.template import Engine

Value = bool | int | float | str
"""What the engine's library is given."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Number:
    """A finite number."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, text: str) -> float:
        """The number that `text` spells.

        Raises
        ------
        ValueError
            If it is none, or out of bounds.
        """
        # `float` itself takes nan, infinity and underscores.
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not self.low <= value <= self.high:
            raise ValueError(text)
        return value


@dataclass(frozen=True)
class Integer:
    """A whole number."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, text: str) -> int:
        """As `Number.read`."""
        if not (_INTEGER.fullmatch(text) and self.low <= int(text) <= self.high):
            raise ValueError(text)
        return int(text)


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def __str__(self) -> str:
        return '"true" or "false"'

    def read(self, text: str) -> bool:
        """As `Number.read`."""
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.options)}"

    def read(self, text: str) -> str:
        """As `Number.read`."""
        if text not in self.options:
            raise ValueError(text)
        return text


Argument = Number | Integer | Flag | Choice

_FRACTION = Number(0, 1)
_GAIN = Number(0, 100)

_TRAINING: dict[str, Argument] = {
    "cos_lr": Flag(),
    "deterministic": Flag(),
    "nbs": Integer(1, 65_536),
    "warmup_momentum": _FRACTION,
    "warmup_bias_lr": _FRACTION,
}
_BOXES: dict[str, Argument] = {
    **_TRAINING,
    "bgr": _FRACTION,
    "box": _GAIN,
    "close_mosaic": Integer(0, 100_000),
    "cls": _GAIN,
    "cls_pw": _FRACTION,
    "cutmix": _FRACTION,
    "dfl": _GAIN,
    # The last layer, the head, must learn: the smallest architecture has 22.
    "freeze": Integer(0, 21),
    "hsv_h": _FRACTION,
    "hsv_s": _FRACTION,
    "hsv_v": _FRACTION,
    "mixup": _FRACTION,
    "multi_scale": Number(0, 0.9),
    # As far as ultralytics documents it: a hundredth would turn an image inside out.
    "perspective": Number(0, 0.001),
    "rect": Flag(),
    "shear": Number(0, 80),
    "translate": _FRACTION,
}
"""What acts on boxes only: classifiers have transforms of our own."""

ARGUMENTS: dict[Engine, Mapping[str, Argument]] = {
    Engine.YOLO_DET: _BOXES,
    Engine.YOLO_SEG: {
        **_BOXES,
        "copy_paste": _FRACTION,
        "copy_paste_mode": Choice(("flip", "mixup")),
        "mask_ratio": Integer(1, 16),
        "overlap_mask": Flag(),
    },
    Engine.YOLO_CLS: {
        **_TRAINING,
        "dropout": Number(0, 0.95),
        "freeze": Integer(0, 9),
    },
    Engine.EMBEDDER: {},
}
"""By engine, the arguments that `hyperparameters.extra` may have."""

FIELDS = {
    "amp": "hyperparameters.amp",
    "batch": "hyperparameters.batchSize",
    "conf": "evaluation.confidenceThreshold",
    "data": "the datasets of the TrainingProcess",
    "degrees": "augmentation.rotationDegrees",
    "device": "resources.gpus",
    "epochs": "hyperparameters.epochs",
    "fliplr": "augmentation.flip",
    "flipud": "augmentation.verticalFlip",
    "imgsz": "hyperparameters.imageSize",
    "iou": "evaluation.iouThreshold",
    "lr0": "hyperparameters.learningRate",
    "lrf": "hyperparameters.finalLearningRateFraction",
    "model": "baseModel",
    "momentum": "hyperparameters.momentum",
    "mosaic": "augmentation.mosaic",
    "optimizer": "hyperparameters.optimizer",
    "patience": "hyperparameters.patience",
    "pretrained": "baseModel",
    "scale": "augmentation.scale",
    "seed": "hyperparameters.seed",
    "warmup_epochs": "hyperparameters.warmupEpochs",
    "weight_decay": "hyperparameters.weightDecay",
    "workers": "hyperparameters.workers",
}
"""Arguments of ultralytics that have a field, and which."""

_CLASSIFIERS = ("yolo11", "yolo12", "yolo26", "yolov8")
ARCHITECTURES: dict[Engine, tuple[str, ...]] = {
    Engine.YOLO_DET: (*_CLASSIFIERS, "yolov5", "yolov6"),
    Engine.YOLO_SEG: _CLASSIFIERS,
    Engine.YOLO_CLS: _CLASSIFIERS,
    Engine.EMBEDDER: _CLASSIFIERS,
}
"""By engine, the architectures that it has, each in the sizes n, s, m, l and x."""
_SIZES = "nsmlx"


def validated(engine: Engine, extra: Mapping[str, str] | None) -> dict[str, Value]:
    """`hyperparameters.extra` as the engine takes it.

    Raises
    ------
    ValueError
        If the engine has no such argument, or it cannot have that value; one sentence.
    """
    known, values = ARGUMENTS[engine], {}
    for name, text in sorted((extra or {}).items()):
        if name not in known:
            raise ValueError(f"hyperparameters.extra.{name}: {_why_not(engine, name)}")
        try:
            values[name] = known[name].read(text.strip())
        except ValueError:
            raise ValueError(
                f"hyperparameters.extra.{name}: {text[:80]!r} is not what the engine {engine} "
                f"takes: give {known[name]}"
            ) from None
    return values


def check_architecture(engine: Engine, name: str) -> None:
    """Refuse an architecture that the engine does not have.

    Raises
    ------
    ValueError
        One sentence.
    """
    if not (name[-1:] in _SIZES and name[:-1] in ARCHITECTURES[engine]):
        families = ", ".join(ARCHITECTURES[engine])
        raise ValueError(
            f"baseModel.architecture: {name!r} is not known to the engine {engine}: use one of "
            f"{families} followed by its size (n, s, m, l or x), such as yolo11n"
        )


def _why_not(engine: Engine, name: str) -> str:
    if name in FIELDS:
        return f"this has a field of its own: set {FIELDS[name]} instead"
    known = ARGUMENTS[engine]
    if not known:
        return f"the engine {engine} takes no extra arguments: remove it"
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}"
    return f"not an argument that the engine {engine} takes; {hint}"
