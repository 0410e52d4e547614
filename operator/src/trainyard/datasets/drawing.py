"""Drawing labels on images, and images on a sheet."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from trainyard.datasets.images import plain_image

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
PAPER: Colour = (238, 239, 241)
INK: Colour = (28, 30, 33)
FAINT: Colour = (120, 124, 130)

_PALETTE: tuple[Colour, ...] = (
    (230, 75, 53),
    (0, 114, 200),
    (0, 158, 96),
    (240, 170, 0),
    (142, 68, 200),
    (0, 175, 200),
    (230, 95, 170),
    (130, 150, 30),
    (150, 90, 50),
    (90, 100, 180),
)
# Outlines are drawn so many times larger and reduced: smooth slanting lines.
_FINE = 3
_LINE = 2
# With more outlines than this thin ones are enough, and hide less.
_MANY = 40
_FILL = 56
_GOLDEN = 0.618034


@dataclass(frozen=True)
class Outline:
    """A box or polygon to draw.

    Attributes
    ----------
    points
        x_min y_min x_max y_max, or x y x y ...; 0..1 of width and height.
    polygon
        Which of the two.
    text
        Stands at its upper left corner; empty: nothing does.
    """

    points: Sequence[float]
    polygon: bool
    colour: Colour
    text: str = ""


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that pillow carries: no file of the machine, no download."""
    return ImageFont.load_default(size)


def colours(values: Sequence[str]) -> dict[str, Colour]:
    """A colour for each of the values; the first ten are easy to tell apart."""
    found: dict[str, Colour] = {}
    for index, value in enumerate(values):
        if index < len(_PALETTE):
            found[value] = _PALETTE[index]
        else:
            red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.75, 0.8)
            found[value] = (int(255 * red), int(255 * green), int(255 * blue))
    return found


def decoded(data: bytes, side: int) -> Image.Image:
    """An image file upright and in RGB, as large as fits a square of `side` pixels."""
    data, _ = plain_image(data)
    with Image.open(io.BytesIO(data)) as image:
        # A JPEG is decoded no larger than needed: a photograph of 50 MB costs little memory.
        image.draft("RGB", (2 * side, 2 * side))
        return fitted(image.convert("RGB"), side)


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The image enlarged or reduced to fit a square; what is tiny keeps its pixels visible."""
    tiny = max(image.size) < side // 4
    how = Image.Resampling.NEAREST if tiny else Image.Resampling.LANCZOS
    return ImageOps.contain(image, (side, side), how)


def draw_outlines(picture: Image.Image, outlines: Sequence[Outline]) -> Image.Image:
    """The picture (RGB) with boxes and polygons on it, the texts above all of them."""
    if not outlines:
        return picture
    size = (picture.width * _FINE, picture.height * _FINE)
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    line = _FINE * (_LINE if len(outlines) <= _MANY else 1)
    for outline in outlines:
        places = [
            (x * (size[0] - 1), y * (size[1] - 1))
            for x, y in zip(outline.points[0::2], outline.points[1::2], strict=True)
        ]
        if outline.polygon:
            pen.polygon(places, fill=(*outline.colour, _FILL))
            # Pillow's own wide outline of a polygon has gaps at sharp corners.
            closed = [*places, places[0], places[1]]
            pen.line(closed, fill=(*outline.colour, 255), width=line, joint="curve")
        else:
            pen.rectangle([*places[0], *places[1]], outline=outline.colour, width=line)
    fine = layer.resize(picture.size, Image.Resampling.BOX)
    drawn = Image.alpha_composite(picture.convert("RGBA"), fine).convert("RGB")
    for outline in outlines:
        if outline.text:
            _tag(drawn, outline)
    return drawn


def tag(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: Colour, size: int = 12
) -> float:
    """Text on a ground of its colour, its upper left corner at `place`; returns its width."""
    letters = font(size)
    width = pen.textlength(text, font=letters) + 8
    left, top = place
    pen.rounded_rectangle((left, top, left + width, top + size + 4), 3, fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 150
    pen.text((left + 4, top + 1), text, fill=INK if bright else WHITE, font=letters)
    return width


def _tag(picture: Image.Image, outline: Outline) -> None:
    """The text of an outline, above it where there is room."""
    size = 11
    pen = ImageDraw.Draw(picture)
    text = shortened(outline.text, picture.width - 12, size)
    left = min(outline.points[0::2]) * picture.width
    top = min(outline.points[1::2]) * picture.height
    width = pen.textlength(text, font=font(size)) + 8
    place = (
        max(0.0, min(left, picture.width - width - 1)),
        top - size - 4 if top >= size + 4 else min(top, picture.height - size - 5),
    )
    tag(pen, place, text, outline.colour, size)


def shortened(text: str, width: float, size: int) -> str:
    """The text on one line of at most so many pixels, its middle left out where it is longer."""
    text = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    letters = font(size)
    if letters.getlength(text) <= width:
        return text
    keep = len(text) - 1
    while keep > 2 and letters.getlength(_without_middle(text, keep)) > width:
        keep -= 1
    return _without_middle(text, keep)


def _without_middle(text: str, keep: int) -> str:
    # The end of a name (a number, an extension) tells more than its beginning.
    head = keep // 3
    return f"{text[:head]}...{text[len(text) - (keep - head) :]}"


def grid(
    tiles: Iterable[Image.Image],
    count: int,
    columns: int,
    header: Image.Image | None = None,
    margin: int = 12,
) -> Image.Image:
    """Tiles of one size in rows, under a header. A tile is forgotten once it is there.

    Parameters
    ----------
    tiles
        Read one at a time.
    count
        At most so many.
    """
    sheet: Image.Image | None = None
    top = header.height if header is not None else 0
    for index, tile in zip(range(count), tiles, strict=False):
        if sheet is None:
            rows = -(-count // columns)
            width = columns * (tile.width + margin) + margin
            height = rows * (tile.height + margin) + margin + top
            sheet = Image.new("RGB", (width, height), WHITE)
        row, column = divmod(index, columns)
        sheet.paste(
            tile,
            (
                margin + column * (tile.width + margin),
                top + margin + row * (tile.height + margin),
            ),
        )
    if sheet is None:
        sheet = Image.new("RGB", (header.width if header is not None else 1, max(1, top)), WHITE)
    if header is not None:
        sheet.paste(header, (0, 0))
    return sheet
