"""yolo-seg: finds entities and their outlines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from ultralytics.models.yolo.segment import SegmentationTrainer, SegmentationValidator
from ultralytics.nn.tasks import SegmentationModel

from trainyard.api.template import Engine
from trainyard.datasets.formats.outlines import area, parts_of
from trainyard.datasets.labels import Label
from trainyard_trainer.engines.base import TrainSettings
from trainyard_trainer.engines.detect import Detector, Squared
from trainyard_trainer.engines.score_boxes import Recorded
from trainyard_trainer.engines.seen import Shapes, outlines
from trainyard_trainer.engines.training import Varied

FINEST = 1024
"""Pixels a side that the mask of an entity is drawn in at most, however large the image is: a model
says no more than a quarter of its input's."""

_STRAIGHT = 0.75
"""Pixels that a point left out of an outline may be away from it."""


class _SegmenterTraining(Squared, Varied, SegmentationTrainer):  # type: ignore[misc]
    pass


class _MaskValidator(Recorded, SegmentationValidator):  # type: ignore[misc]
    pass


class Segmenter(Detector):
    """Outlines with a class and a confidence: a detector whose boxes hold masks."""

    kind = Engine.YOLO_SEG
    task = "segment"
    suffix = "-seg"
    metrics = {
        f"mask-{name}": key.replace("(B)", "(M)") for name, key in Detector.metrics.items()
    } | Detector.metrics
    default_metric = "mask-mAP50-95"
    outputs = {
        "boxes": f"{Detector.outputs['boxes']}; after the classes 32 weights of the prototypes",
        "prototypes": "[image, 32, size / 4, size / 4]: their sum, each times its weight of a box, "
        "is above 0 where the entity is; what lies outside of the box does not count",
    }
    leaves_out = (
        "the capability names classes of boxes in them, and a box says nothing of an outline"
    )
    _geometry = "polygon"
    _validator = _MaskValidator

    def _teaches(self, label: Label) -> bool:
        """A box says nothing about an outline."""
        return label.geometry == "polygon"

    def _numbers(self, label: Label) -> tuple[float, ...]:
        return label.points

    def _trainer(self) -> type[Any]:
        return _SegmenterTraining

    def _shapes_of(self, settings: TrainSettings) -> Shapes:
        return outlines(joined=bool(settings.extra.get("overlap_mask", True)))

    def _build(self, architecture: dict[str, Any], classes: int) -> torch.nn.Module:
        model: torch.nn.Module = SegmentationModel(
            cfg=architecture, ch=3, nc=classes, verbose=False
        )
        return model

    def _judged(self, metrics: Any) -> dict[str, Any]:
        return super()._judged(metrics) | {"mask": metrics.seg}

    def _shapes(
        self,
        found: torch.Tensor,
        given: Sequence[torch.Tensor],
        size: int,
        sides: tuple[int, int],
    ) -> list[tuple[float, ...]]:
        """Outlines: a mask is a mixture of prototypes, by the weights that follow each box."""
        prototypes = given[1][0]
        flat = prototypes.flatten(1)
        return [
            outline((row[6:] @ flat).view(prototypes.shape[1:]), row[:4].tolist(), size, sides)
            for row in found
        ]


def outline(
    mask: torch.Tensor, box: Sequence[float], size: int, sides: tuple[int, int]
) -> tuple[float, ...]:
    """The outline of a mask's largest part, in the resolution of the image.

    Other parts and holes are left out: an entity is one polygon.

    Parameters
    ----------
    mask
        float [H, W]: above 0 where the entity is. It covers the model's square input, into which
        the image was letterboxed.
    box
        x_min, y_min, x_max, y_max in pixels of the image; what lies outside does not count.
    size
        Side of the model's input, in pixels.
    sides
        Width and height of the image, in pixels.

    Returns
    -------
    tuple
        x y x y ... in 0..1 of the image's sides; empty if the mask is.
    """
    across, down = (
        _pixels(box[axis], box[axis + 2], sides[axis], max(sides), size) for axis in (0, 1)
    )
    v, u = torch.meshgrid(down.places, across.places, indexing="ij")
    grid = torch.stack((u, v), dim=-1)[None].to(mask.device)
    values = F.grid_sample(
        mask[None, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0]
    inside = (values > 0).cpu() & down.inside[:, None] & across.inside[None, :]
    parts = parts_of(inside.numpy())
    if not parts:
        return ()
    largest = max(parts, key=area)
    plain = cv2.approxPolyDP(largest.astype(np.float32)[:, None], _STRAIGHT, closed=True)[:, 0]
    ring = plain if len(plain) >= 3 else largest
    starts = np.array((across.start, down.start))
    steps = np.array((across.step, down.step))
    points = (starts + ring * steps) / np.array(sides)
    return tuple(points.clip(0, 1).ravel().tolist())


@dataclass(frozen=True)
class _Pixels:
    """The pixels that a mask is drawn in, along one side of the image.

    Attributes
    ----------
    start, step
        Where the first begins and how wide each is, in pixels of the image.
    places
        float [N]: their centres in the model's input, whose edges are -1 and 1.
    inside
        bool [N]: whether their centres are in the box.
    """

    start: int
    step: float
    places: torch.Tensor
    inside: torch.Tensor


def _pixels(least: float, most: float, side: int, longest: int, size: int) -> _Pixels:
    """The pixels from `least` to `most` of an image's side of `side` pixels."""
    start, end = math.floor(least), max(math.ceil(most), math.floor(least) + 1)
    count = min(end - start, FINEST)
    step = (end - start) / count
    centres = start + (torch.arange(count) + 0.5) * step
    # As the library's LetterBox does it.
    filled = max(round(side * size / longest), 1)
    padding = round((size - filled) / 2 - 0.1)
    places = (centres * (filled / side) + padding) / size * 2 - 1
    return _Pixels(start, step, places, (centres >= least) & (centres < most))
