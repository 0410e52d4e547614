"""batch.png: train images as the model was given them, varied, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from trainyard.datasets import drawing
from trainyard.datasets.drawing import INK, PAPER, WHITE, Outline, font
from trainyard_trainer.engines.base import Seen

_SIDE = 240
_MARGIN = 12
_CAPTION = 22
_HEADER = 34
_COLUMNS = 4


def draw(images: Sequence[Seen], title: str, target: Path) -> None:
    """Write the contact sheet as PNG.

    Each class has a colour. What it is stands at the outlines where there are several classes, and
    below an image that is of one as a whole.

    Parameters
    ----------
    images
        At least one.
    title
        One line above.
    target
        File to write.
    """
    colours = drawing.colours(sorted({x.value for image in images for x in image.labels}))
    columns = min(_COLUMNS, len(images))
    header = Image.new("RGB", (columns * (_SIDE + _MARGIN) + _MARGIN, _HEADER), WHITE)
    shown = drawing.shortened(title, header.width - 2 * _MARGIN, 16)
    ImageDraw.Draw(header).text((_MARGIN, 8), shown, fill=INK, font=font(16))
    tiles = [_tile(image, colours) for image in images]
    drawing.grid(tiles, len(tiles), columns, header, _MARGIN).save(target, "PNG")


def _tile(image: Seen, colours: dict[str, drawing.Colour]) -> Image.Image:
    picture = drawing.draw_outlines(
        drawing.fitted(Image.fromarray(image.pixels), _SIDE),
        [
            Outline(
                label.points,
                label.geometry == "polygon",
                colours[label.value],
                label.value if len(colours) > 1 else "",
            )
            for label in image.labels
            if label.points
        ],
    )
    tile = Image.new("RGB", (_SIDE, _SIDE + _CAPTION), PAPER)
    tile.paste(picture, ((_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
    whole = [label.value for label in image.labels if not label.points]
    objects = len(image.labels) - len(whole)
    said = ", ".join(whole) or f"{objects} object{'s' * (objects != 1)}"
    pen = ImageDraw.Draw(tile)
    pen.text((4, _SIDE + 3), drawing.shortened(said, _SIDE - 8, 14), fill=INK, font=font(14))
    return tile
