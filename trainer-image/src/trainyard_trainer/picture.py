"""predictions.png: what the model says, beside what is right, on images it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from trainyard.datasets.labels import Label
from trainyard_trainer.engines.base import Prediction

MAX_IMAGES = 12
"""Images that the picture shows."""

_SIDE = 240
_MARGIN = 12
_CAPTION = 22
_HEADER = 34
_COLUMNS = 3
_WHITE, _INK = (255, 255, 255), (30, 30, 30)
_RIGHT, _WRONG, _LABEL = (0, 130, 60), (200, 30, 30), (20, 90, 200)
_BOX_COLOUR = (235, 110, 0)


@dataclass(frozen=True)
class Shown:
    """One image of the picture."""

    path: Path
    labels: tuple[Label, ...]
    predictions: tuple[Prediction, ...]


def draw(images: Sequence[Shown], title: str, target: Path) -> None:
    """Write the picture as PNG.

    Detectors: the image with its labels (blue) and, to the right of it, with the predictions
    (orange, with confidence). Classifiers: the image once, label and prediction below it, green
    where they agree and red where not.

    Parameters
    ----------
    images
        At most `MAX_IMAGES` are drawn.
    title
        One line above.
    target
        File to write.
    """
    shown = images[:MAX_IMAGES]
    boxes = any(p.points for image in shown for p in image.predictions) or any(
        label.points for image in shown for label in image.labels
    )
    tiles = [_pair(image) if boxes else _single(image) for image in shown]
    width = max(tile.width for tile in tiles)
    height = max(tile.height for tile in tiles)
    columns = min(_COLUMNS if not boxes else 2, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new(
        "RGB",
        (
            columns * (width + _MARGIN) + _MARGIN,
            rows * (height + _MARGIN) + _MARGIN + _HEADER,
        ),
        _WHITE,
    )
    ImageDraw.Draw(sheet).text((_MARGIN, 8), title, fill=_INK, font=_font(16))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet.paste(
            tile,
            (_MARGIN + column * (width + _MARGIN), _HEADER + _MARGIN + row * (height + _MARGIN)),
        )
    sheet.save(target, "PNG")


def _single(image: Shown) -> Image.Image:
    picture = _fitted(image.path)
    tile = Image.new("RGB", (_SIDE, _SIDE + 2 * _CAPTION), _WHITE)
    tile.paste(picture, ((_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
    pen = ImageDraw.Draw(tile)
    truth = ", ".join(label.value for label in image.labels) or "-"
    best = image.predictions[0] if image.predictions else None
    said = f"{best.output.value} ({best.confidence:.2f})" if best else "nothing"
    right = best is not None and best.output.value in {label.value for label in image.labels}
    pen.text((2, _SIDE + 2), f"label: {truth}", fill=_LABEL, font=_font(15))
    pen.text(
        (2, _SIDE + _CAPTION + 1),
        f"predicted: {said}",
        fill=_RIGHT if right else _WRONG,
        font=_font(15),
    )
    return tile


def _pair(image: Shown) -> Image.Image:
    left, right = _fitted(image.path), _fitted(image.path)
    for label in image.labels:
        _outline(left, label.points, label.geometry == "polygon", _LABEL, label.value)
    for prediction in image.predictions:
        text = f"{prediction.output.value} {prediction.confidence:.2f}"
        _outline(right, prediction.points, False, _BOX_COLOUR, text)
    tile = Image.new("RGB", (2 * _SIDE + 4, _SIDE + _CAPTION), _WHITE)
    pen = ImageDraw.Draw(tile)
    for x, picture, caption, colour in (
        (0, left, f"labels: {len(image.labels)}", _LABEL),
        (_SIDE + 4, right, f"predicted: {len(image.predictions)}", _BOX_COLOUR),
    ):
        tile.paste(picture, (x + (_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
        pen.text((x + 2, _SIDE + 2), caption, fill=colour, font=_font(15))
    return tile


def _outline(
    picture: Image.Image,
    points: Sequence[float],
    polygon: bool,
    colour: tuple[int, int, int],
    text: str,
) -> None:
    if not points:
        return
    pen = ImageDraw.Draw(picture)
    corners = [
        (x * (picture.width - 1), y * (picture.height - 1))
        for x, y in zip(points[0::2], points[1::2], strict=True)
    ]
    if polygon:
        pen.polygon(corners, outline=colour, width=2)
    else:
        pen.rectangle([*corners[0], *corners[1]], outline=colour, width=2)
    pen.text(
        (corners[0][0] + 3, corners[0][1] + 1),
        text[:24],
        fill=colour,
        font=_font(11),
        stroke_width=2,
        stroke_fill=_WHITE,
    )


def _fitted(path: Path) -> Image.Image:
    """The image enlarged or reduced to the tile, upright."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    small = max(upright.size) < _SIDE // 2
    return ImageOps.contain(
        upright,
        (_SIDE, _SIDE),
        Image.Resampling.NEAREST if small else Image.Resampling.BILINEAR,
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # The one that pillow carries: no file of the machine, no download.
    return ImageFont.load_default(size)
