"""Cutting a labelled box out of its image: the same in training, in use and in config.yaml."""

from __future__ import annotations

from PIL import Image

from trainyard_trainer.config import CropRule
from trainyard_trainer.engines.base import Box

RULE = CropRule()


def cut(image: Image.Image, box: Box, rule: CropRule = RULE) -> Image.Image:
    """The square around a box.

    Its side is the longer side of the box, times 1 + 2 x `rule.context`; what lies outside of the
    image is grey. A square keeps the proportions of what it shows whatever size it is given.

    Parameters
    ----------
    image
        Upright, RGB.
    box
        x_min, y_min, x_max, y_max in 0..1 of the image's width and height.
    rule
        How much to take.
    """
    left, top, right, bottom = (
        edge * side for edge, side in zip(box, (image.width, image.height) * 2, strict=True)
    )
    side = max(1, round(max(right - left, bottom - top) * (1 + 2 * rule.context)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    square = Image.new("RGB", (side, side), (rule.pad_value,) * 3)
    inside = (max(0, x), max(0, y), min(image.width, x + side), min(image.height, y + side))
    square.paste(image.crop(inside), (inside[0] - x, inside[1] - y))
    return square
