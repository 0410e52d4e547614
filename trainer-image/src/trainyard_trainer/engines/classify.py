"""yolo-cls: says what an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision.transforms as T  # noqa: N812 -- its usual name
from PIL import Image
from ultralytics.models.yolo.classify import ClassificationTrainer
from ultralytics.nn.tasks import ClassificationModel

from trainyard.api.template import Engine
from trainyard_trainer.config import ModelConfig
from trainyard_trainer.engines.augment import Variation
from trainyard_trainer.engines.base import (
    Box,
    Prediction,
    SplitResult,
    TrainSettings,
)
from trainyard_trainer.engines.class_folders import ClassFolders, plain_transforms
from trainyard_trainer.engines.score_classes import AnswerValidator, summary
from trainyard_trainer.engines.seen import Shapes, whole_images
from trainyard_trainer.engines.training import Varied
from trainyard_trainer.engines.yolo import YoloEngine

_FILL = 114
"""Grey of what a rotation uncovers, the same that detectors pad with."""


def train_transforms(size: int, variation: Variation) -> T.Compose:
    """What is done to a train image: the same as in use, then the geometric variation.

    Exposure and noise are added to the whole batch later. Without variation a train image is
    exactly what it is in use.
    """
    middle, resize, crop, *to_tensor = plain_transforms(size).transforms
    steps = [middle, resize, crop]
    if variation.rotation_degrees > 0 or variation.scale > 0:
        steps.append(
            T.RandomAffine(
                degrees=variation.rotation_degrees,
                scale=(1 - variation.scale, 1 + variation.scale) if variation.scale > 0 else None,
                interpolation=T.InterpolationMode.BILINEAR,
                fill=_FILL,
            )
        )
    if variation.flip > 0:
        steps.append(T.RandomHorizontalFlip(variation.flip))
    if variation.vertical_flip > 0:
        steps.append(T.RandomVerticalFlip(variation.vertical_flip))
    return T.Compose([*steps, *to_tensor])


class _ClassifierTraining(Varied, ClassificationTrainer):  # type: ignore[misc]
    def build_dataset(self, img_path: str, mode: str = "train", batch: Any = None) -> Any:
        dataset = super().build_dataset(img_path, mode, batch)
        varied = self.settings.variation if mode == "train" else Variation()
        dataset.torch_transforms = train_transforms(self.args.imgsz, varied)
        return dataset

    def get_dataloader(self, *arguments: Any, **named: Any) -> Any:
        """Keep nothing but the model in its checkpoints: what prepares an image is code of ours."""
        loader = super().get_dataloader(*arguments, **named)
        self.model.transforms = None
        return loader


class Classifier(ClassFolders, YoloEngine):
    """One class of all for the whole image, or for each entity."""

    kind = Engine.YOLO_CLS
    task = "classify"
    suffix = "-cls"
    metrics = {"top-1": "metrics/accuracy_top1", "top-5": "metrics/accuracy_top5"}
    default_metric = "top-1"
    outputs = {"probabilities": "[image, class]: probabilities, which add up to 1"}

    def _trainer(self) -> type[Any]:
        return _ClassifierTraining

    def _shapes_of(self, settings: TrainSettings) -> Shapes:  # noqa: ARG002 -- always the same
        return whole_images

    def _build(self, architecture: dict[str, Any], classes: int) -> torch.nn.Module:
        model: torch.nn.Module = ClassificationModel(
            cfg=architecture, ch=3, nc=classes, verbose=False
        )
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
        """Share of images whose class is the first answer, or among the first five."""
        validator = self._judge(AnswerValidator, model, data, split, settings, folder)
        return summary(validator.answers(), settings.classes, threshold)

    def answers(
        self,
        given: Sequence[torch.Tensor],
        image: Image.Image,  # noqa: ARG002 -- nothing in the answers depends on its size
        config: ModelConfig,
        entities: Sequence[Box] = (),
    ) -> list[Prediction]:
        """The most probable class of the image, or of each entity."""
        best = [(int(row.argmax()), float(row.max())) for row in given[0]]
        if not entities or config.input.crop is None:
            return [Prediction(config.classes[index], value) for index, value in best]
        return [
            Prediction(config.classes[index], value, tuple(box), "box")
            for (index, value), box in zip(best, entities, strict=True)
        ]
