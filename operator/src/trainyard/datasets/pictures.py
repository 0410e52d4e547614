"""Contact sheets: many labelled images at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from trainyard.datasets import drawing
from trainyard.datasets.drawing import FAINT, INK, PAPER, WHITE, Colour, Outline
from trainyard.datasets.labels import Label

MAX_PICTURES = 400
"""Most images of a sheet: it is held in memory, about 100 MB then."""

_SIDE = 256
_MARGIN = 12
_CAPTION = 42
_COLUMNS = (4, 10)
_LEGEND_ROWS = 3
# With more outlines than this in an image, their texts would hide it; the colours tell.
_MAX_TEXTS = 12


@dataclass(frozen=True)
class Picture:
    """One image of a sheet.

    Attributes
    ----------
    name
        Stands below it.
    data
        The image file.
    """

    name: str
    data: bytes
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Legend:
    """What stands above the images.

    Attributes
    ----------
    title, subtitle
        One line each.
    classes
        (value, number of labels), most frequent first; they get their colours in this order.
    """

    title: str
    subtitle: str
    classes: Sequence[tuple[str, int]]


def draw_sheet(pictures: Iterable[Picture], count: int, legend: Legend, target: Path) -> None:
    """Write a contact sheet as PNG.

    Parameters
    ----------
    pictures
        Read one at a time.
    count
        How many there are; at most `MAX_PICTURES`.
    """
    count = min(count, MAX_PICTURES)
    columns = min(max(count, 1), _COLUMNS[1], max(_COLUMNS[0], round((1.5 * count) ** 0.5)))
    colours = drawing.colours([value for value, _ in legend.classes])
    # Fewer than four images still have a sheet that is wide enough for its title.
    width = max(columns, 3) * (_SIDE + _MARGIN) + _MARGIN
    header = _header(legend, colours, width)
    tiles = (_tile(picture, colours) for picture in pictures)
    sheet = drawing.grid(tiles, count, columns, header, _MARGIN)
    if sheet.width < width:
        wide = Image.new("RGB", (width, sheet.height), WHITE)
        wide.paste(sheet, (0, 0))
        wide.paste(header, (0, 0))
        sheet = wide
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, "PNG")


def spread(total: int, count: int) -> list[int]:
    """`count` places of 0..total-1, evenly spread."""
    count = min(total, count)
    return [(2 * index + 1) * total // (2 * count) for index in range(count)]


def _tile(picture: Picture, colours: dict[str, Colour]) -> Image.Image:
    tile = Image.new("RGB", (_SIDE, _SIDE + _CAPTION), WHITE)
    pen = ImageDraw.Draw(tile)
    pen.rectangle((0, 0, _SIDE - 1, _SIDE - 1), fill=PAPER)
    drawn = [label for label in picture.labels if label.points]
    texts = len(colours) > 1 and len(drawn) <= _MAX_TEXTS
    image = drawing.draw_outlines(
        drawing.decoded(picture.data, _SIDE),
        [
            Outline(
                label.points,
                label.geometry == "polygon",
                colours.get(label.value, FAINT),
                label.value if texts else "",
            )
            for label in drawn
        ],
    )
    tile.paste(image, ((_SIDE - image.width) // 2, (_SIDE - image.height) // 2))
    pen.text(
        (1, _SIDE + 4), drawing.shortened(picture.name, _SIDE, 13), fill=INK, font=drawing.font(13)
    )
    _say(pen, picture.labels, colours)
    return tile


def _say(pen: ImageDraw.ImageDraw, labels: tuple[Label, ...], colours: dict[str, Colour]) -> None:
    """The second line of the caption: what the image is, or how much is drawn on it."""
    top = _SIDE + 22
    if not labels:
        pen.text((1, top), "no labels", fill=FAINT, font=drawing.font(13))
        return
    left = 1.0
    for label in labels:
        if label.geometry == "image" and left < _SIDE - 40:
            text = drawing.shortened(label.value, _SIDE - left - 8, 12)
            left += drawing.tag(pen, (left, top), text, colours.get(label.value, FAINT)) + 4
    counts = Counter[str](label.geometry for label in labels if label.points)
    said = ", ".join(
        f"{counts[kind]} {name if counts[kind] == 1 else names}"
        for kind, name, names in (("box", "box", "boxes"), ("polygon", "polygon", "polygons"))
        if counts[kind]
    )
    pen.text((left, top), said, fill=FAINT, font=drawing.font(13))


def _header(legend: Legend, colours: dict[str, Colour], width: int) -> Image.Image:
    """Title, subtitle, and the classes with their colours and counts, as many as fit."""
    canvas = Image.new("RGB", (width, 74 + 24 * _LEGEND_ROWS), WHITE)
    pen = ImageDraw.Draw(canvas)
    room = width - 2 * _MARGIN
    pen.text(
        (_MARGIN, 10), drawing.shortened(legend.title, room, 22), fill=INK, font=drawing.font(22)
    )
    pen.text(
        (_MARGIN, 40),
        drawing.shortened(legend.subtitle, room, 14),
        fill=FAINT,
        font=drawing.font(14),
    )
    left, row = float(_MARGIN), 0
    for index, (value, count) in enumerate(legend.classes):
        text = drawing.shortened(value, 240, 13)
        number = f"{count:,}"
        wide = pen.textlength(text, font=drawing.font(13)) + 8
        whole = wide + 6 + pen.textlength(number, font=drawing.font(13)) + 16
        last = row == _LEGEND_ROWS - 1
        # The last row keeps room to say how many are left out.
        if left + whole > width - _MARGIN - (110 if last else 0):
            if last:
                left_out = f"and {len(legend.classes) - index} more"
                pen.text((left, 66 + 24 * row), left_out, fill=FAINT, font=drawing.font(13))
                break
            left, row = float(_MARGIN), row + 1
        top = 65 + 24 * row
        drawing.tag(pen, (left, top), text, colours[value], 13)
        pen.text((left + wide + 6, top + 1), number, fill=FAINT, font=drawing.font(13))
        left += whole
    used = 74 + 24 * row if legend.classes else 60
    return canvas.crop((0, 0, width, used + 16 if legend.classes else used))
