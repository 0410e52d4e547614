"""yolo-det: finds boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from ultralytics.data.augment import LetterBox
from ultralytics.data.build import build_yolo_dataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes
from ultralytics.utils.torch_utils import unwrap_model

from trainyard.api.documents import dump_yaml
from trainyard.api.template import Engine
from trainyard.datasets.labels import GeometryName, Label
from trainyard.datasets.samples import Sample
from trainyard_trainer.config import InputRule, ModelConfig
from trainyard_trainer.engines.base import (
    Box,
    Example,
    Prediction,
    SplitResult,
    TrainSettings,
    bounds,
)
from trainyard_trainer.engines.class_folders import class_name
from trainyard_trainer.engines.score_boxes import BoxValidator, summary
from trainyard_trainer.engines.seen import Shapes, boxes
from trainyard_trainer.engines.training import Varied
from trainyard_trainer.engines.yolo import YoloEngine

_PAD = 114


class Squared:
    """Mixed into a trainer of detectors: dev is judged on the squares that a model is used on.

    The library would judge on inputs with a border that neither training nor use knows.
    """

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """The images of a split."""
        trainer: Any = self
        stride = max(int(unwrap_model(trainer.model).stride.max()), 32)
        return build_yolo_dataset(
            trainer.args, img_path, batch, trainer.data, mode=mode, rect=False, stride=stride
        )


class _DetectorTraining(Squared, Varied, DetectionTrainer):  # type: ignore[misc]
    pass


class Detector(YoloEngine):
    """Boxes with a class and a confidence."""

    kind = Engine.YOLO_DET
    task = "detect"
    suffix = ""
    metrics = {
        "mAP50-95": "metrics/mAP50-95(B)",
        "mAP50": "metrics/mAP50(B)",
        "precision": "metrics/precision(B)",
        "recall": "metrics/recall(B)",
    }
    default_metric = "mAP50-95"
    outputs = {
        "boxes": "[image, 4 + class, box]: centre x, centre y, width and height in pixels of the "
        "input, then the confidence (0..1) of each class; boxes overlap: of those of one class "
        "the most confident one stays"
    }
    # None are: without labels an image is a background, and an outline says where its box is.
    leaves_out = ""
    _geometry: ClassVar[GeometryName] = "box"
    _validator: ClassVar[type[Any]] = BoxValidator

    def examples_of(
        self, sample: Sample, classes: Mapping[tuple[str, str], int]
    ) -> list[Example] | None:
        """Lines of a label file. An image without any is a background, which teaches too."""
        named = [
            (classes[label.attribute, label.value], label)
            for label in sample.labels
            if (label.attribute, label.value) in classes and label.geometry != "image"
        ]
        if not all(self._teaches(label) for _, label in named):
            return None
        return [
            Example(
                tuple(
                    f"{index} " + " ".join(f"{number:.8f}" for number in self._numbers(label))
                    for index, label in named
                )
            )
        ]

    def place(self, root: Path, split: str, name: str, example: Example) -> Path:
        """SPLIT/images/NAME with SPLIT/labels/STEM.txt."""
        text = root / split / "labels" / Path(name).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("".join(f"{line}\n" for line in example.lines))
        return root / split / "images" / name

    def finish_layout(self, root: Path, classes: int) -> Path:
        """Our own data.yaml. The library would run code that stands in one."""
        document: dict[str, Any] = {
            "path": str(root),
            "names": {index: class_name(index) for index in range(classes)},
        }
        for name, split in (("train", "train"), ("val", "dev"), ("test", "test")):
            if (root / split).is_dir():
                document[name] = f"{split}/images"
        path = root / "data.yaml"
        path.write_text(dump_yaml(document))
        return path

    def _teaches(self, label: Label) -> bool:  # noqa: ARG002 -- all do
        """Whether an entity is labelled well enough.

        Where one is not, its image is left out: the model would take the entity for background.
        """
        return True

    def _numbers(self, label: Label) -> tuple[float, ...]:
        """What follows the class in a line of a label file, in 0..1 of the image's sides."""
        left, top, right, bottom = bounds(label)
        return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top

    def _trainer(self) -> type[Any]:
        return _DetectorTraining

    def _shapes_of(self, settings: TrainSettings) -> Shapes:  # noqa: ARG002 -- always the same
        return boxes

    def _build(self, architecture: dict[str, Any], classes: int) -> torch.nn.Module:
        model: torch.nn.Module = DetectionModel(cfg=architecture, ch=3, nc=classes, verbose=False)
        return model

    def evaluate(
        self,
        model: torch.nn.Module,
        data: Path,
        split: str,
        settings: TrainSettings,
        folder: Path,
        threshold: float | None = None,
    ) -> SplitResult:
        """Mean average precision (COCO's, at an overlap of 0.5 and over 0.5..0.95)."""
        validator = self._judge(
            self._validator,
            model,
            data,
            split,
            settings,
            folder,
            conf=settings.confidence,
            iou=settings.iou,
            # As in use: the library would judge on inputs of other sides and borders.
            rect=False,
        )
        return summary(validator, self._judged(validator.metrics), settings.classes, threshold)

    def _judged(self, metrics: Any) -> dict[str, Any]:
        """What `trainyard_trainer.engines.score_boxes.summary` is to judge."""
        return {"box": metrics.box}

    def inputs(
        self,
        image: Image.Image,
        config: ModelConfig,
        entities: Sequence[Box] = (),  # noqa: ARG002 -- finds them itself
    ) -> torch.Tensor:
        """The whole image, padded to a square."""
        size = config.input.size
        boxed = LetterBox(new_shape=(size, size), auto=False, padding_value=_PAD)(
            image=np.asarray(image.convert("RGB"))
        )
        return torch.from_numpy(np.ascontiguousarray(boxed)).permute(2, 0, 1)[None].float() / 255

    def answers(
        self,
        given: Sequence[torch.Tensor],
        image: Image.Image,
        config: ModelConfig,
        entities: Sequence[Box] = (),  # noqa: ARG002 -- finds them itself
    ) -> list[Prediction]:
        """What is above the thresholds of the configuration, the most confident first."""
        size, least = config.input.size, config.thresholds
        found = non_max_suppression(
            given[0],
            least.confidence,
            least.iou,
            nc=len(config.classes),
            max_det=least.max_detections,
        )[0]
        found[:, :4] = scale_boxes((size, size), found[:, :4], (image.height, image.width))
        shapes = self._shapes(found, given, size, image.size)
        return [
            Prediction(config.classes[int(row[5])], float(row[4]), shape, self._geometry)
            for row, shape in zip(found, shapes, strict=True)
            if shape
        ]

    def _shapes(
        self,
        found: torch.Tensor,
        given: Sequence[torch.Tensor],  # noqa: ARG002 -- a box is all in `found`
        size: int,  # noqa: ARG002
        sides: tuple[int, int],
    ) -> list[tuple[float, ...]]:
        """Points of the entities found, in 0..1 of the image's sides; none: it has no shape.

        Parameters
        ----------
        found
            float [N, 6 + M]: box in pixels of the image, confidence, class; M more of a subclass.
        given
            What the model said.
        size
            Side of its input, in pixels.
        sides
            Width and height of the image, in pixels.
        """
        width, height = sides
        return [tuple(row) for row in (found[:, :4] / torch.tensor((width, height) * 2)).tolist()]

    def input_rule(self, size: int) -> InputRule:
        """The whole image, padded with grey."""
        return InputRule(size=size, resize="letterbox", pad_value=_PAD)
