"""Answers of a detector made here, put to the trainer's real validator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from trainyard.api.capability import Output
from trainyard_trainer.engines.base import SplitResult
from trainyard_trainer.engines.score_boxes import BoxValidator, summary

SIDE = 100
"""Pixels of each image."""
CONFIDENCE, IOU = 0.001, 0.7

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Image:
    """Boxes in pixels: (class, corners), and (class, confidence, corners)."""

    labels: Sequence[tuple[int, Corners]] = ()
    answers: Sequence[tuple[int, float, Corners]] = ()


def outputs(count: int) -> tuple[Output, ...]:
    return tuple(Output(attribute="class", value=f"c{i}", position=i) for i in range(count))


def judge(
    images: Sequence[Image],
    classes: int,
    folder: Path,
    threshold: float | None = None,
) -> SplitResult:
    """What the trainer finds when a model gives these answers."""
    validator = judged(images, classes, folder)
    return summary(validator, {"box": validator.metrics.box}, outputs(classes), threshold)


def judged(images: Sequence[Image], classes: int, folder: Path) -> Any:
    """The validator after it saw all of them."""
    validator: Any = BoxValidator(
        save_dir=folder, args={"task": "detect", "conf": CONFIDENCE, "iou": IOU, "plots": False}
    )
    validator.data, validator.device = {"val": ""}, torch.device("cpu")
    validator.dataloader = SimpleNamespace(dataset=SimpleNamespace(labels=[]))
    validator.training = False
    validator.init_metrics(SimpleNamespace(names={i: str(i) for i in range(classes)}))
    for number, image in enumerate(images):
        given = sorted(image.answers, key=lambda answer: -answer[1])
        validator.update_metrics([_answers(given)], _batch(image, number))
    validator.get_stats()
    return validator


def _answers(given: Sequence[tuple[int, float, Corners]]) -> dict[str, Any]:
    found = {
        "bboxes": torch.tensor([corners for *_, corners in given]).reshape(-1, 4),
        "conf": torch.tensor([confidence for _, confidence, _ in given]),
        "cls": torch.tensor([float(index) for index, *_ in given]),
        "extra": torch.zeros(len(given), 0),
    }
    return found | {"used": dict(found)}


def _batch(image: Image, number: int) -> dict[str, Any]:
    corners = torch.tensor([c for _, c in image.labels]).reshape(-1, 4) / SIDE
    centres = torch.cat(((corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]), 1)
    return {
        "img": torch.zeros(1, 3, SIDE, SIDE),
        "batch_idx": torch.zeros(len(image.labels)),
        "cls": torch.tensor([[float(index)] for index, _ in image.labels]).reshape(-1, 1),
        "bboxes": centres,
        "ori_shape": [(SIDE, SIDE)],
        "ratio_pad": [((1.0, 1.0), (0.0, 0.0))],
        "im_file": [f"folder/{number}.png"],
    }
