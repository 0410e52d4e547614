"""Whether two forms of a model say the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ultralytics.utils.metrics import box_iou  # torchvision takes as long to import as torch

from trainyard_trainer.config import Thresholds
from trainyard_trainer.engines.base import Prediction, bounds

TOLERANCE = 2e-3
"""Of confidences, and of coordinates as fractions of the image's sides."""


def same_answers(
    some: Sequence[Prediction], others: Sequence[Prediction], thresholds: Thresholds
) -> bool:
    """Whether each answer of one side has its like on the other, in any order.

    An answer just at the threshold may be missing. Of two boxes of one thing with the same
    confidence either may be the one that stays, so boxes are alike if they overlap as much as
    those of which only one stays.
    """
    return _covered(some, others, thresholds) and _covered(others, some, thresholds)


def _covered(
    some: Sequence[Prediction], others: Sequence[Prediction], thresholds: Thresholds
) -> bool:
    left = list(others)
    for one in some:
        like = next((other for other in left if _alike(one, other, thresholds.iou)), None)
        if like is not None:
            left.remove(like)
        elif one.confidence > thresholds.confidence + TOLERANCE or not one.points:
            return False
    return True


def _alike(one: Prediction, other: Prediction, iou: float) -> bool:
    if one.output != other.output or one.geometry != other.geometry:
        return False
    if abs(one.confidence - other.confidence) > TOLERANCE:
        return False
    if len(one.points) == len(other.points) and all(
        abs(a - b) <= TOLERANCE for a, b in zip(one.points, other.points, strict=True)
    ):
        return True
    if not one.points or not other.points:
        return False
    surrounding = [torch.tensor([bounds(answer)]) for answer in (one, other)]
    return float(box_iou(*surrounding)) >= iou
