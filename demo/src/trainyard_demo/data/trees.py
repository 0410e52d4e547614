"""Crowns of trees in aerial images as tiles with boxes: the layout that `format: yolo` reads.

There are two images of one wood, kilometres apart. Train is cut from one, dev and test from the
two halves of the other: no two splits share a pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import defusedxml.ElementTree as ElementTree
from PIL import Image

from trainyard_demo.data import yolo

TILE = 400
"""Pixels a side of a tile: 40 m."""
MIN_VISIBLE = 0.3
"""A crown that the tile's edge cuts is labelled if at least this part of its box is inside."""
NAME = "tree"
"""The only class."""

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of an image."""


@dataclass(frozen=True)
class Part:
    """A part of an image that one split takes its tiles from, in pixels.

    Attributes
    ----------
    sheet : int
        The image: 1 or 2.
    left, right : int
        Its columns; right is outside of it. All rows belong to it.
    stride : int
        Distance between neighbouring tiles; below `TILE` they overlap within the split.
    """

    sheet: int
    left: int
    right: int
    stride: int

    def tiles(self, height: int) -> Iterator[tuple[int, int]]:
        """Left and top of each tile, the last ones at the edges."""
        for top in _starts(0, height, self.stride):
            for left in _starts(self.left, self.right, self.stride):
                yield left, top


SPLITS = {
    "train": Part(1, 0, 2299, stride=200),
    "dev": Part(2, 0, 624, stride=300),
    "test": Part(2, 624, 1249, stride=300),
}


def crowns(source: Path) -> list[Edges]:
    """The boxes of an image.

    Parameters
    ----------
    source : Path
        The published file, Pascal VOC.
    """
    root = ElementTree.parse(source).getroot()

    def edge(box: Element, name: str) -> float:
        return float(box.findtext(name, ""))

    return [
        (edge(box, "xmin"), edge(box, "ymin"), edge(box, "xmax"), edge(box, "ymax"))
        for box in root.iter("bndbox")
    ]


def lines(boxes: list[Edges], left: int, top: int) -> list[str]:
    """Lines of the label file of a tile.

    Parameters
    ----------
    boxes : list
        Those of the whole image.
    left, top : int
        Where the tile begins, in pixels.
    """
    found = []
    for x0, y0, x1, y1 in boxes:
        inside = (
            max(0.0, x0 - left),
            max(0.0, y0 - top),
            min(float(TILE), x1 - left),
            min(float(TILE), y1 - top),
        )
        width, height = inside[2] - inside[0], inside[3] - inside[1]
        whole = (x1 - x0) * (y1 - y0)
        if width > 0 and height > 0 and width * height >= MIN_VISIBLE * whole:
            found.append(yolo.box(*inside, TILE).line())
    return found


def write(sources: Path, names: dict[int, tuple[str, str]], folder: Path) -> Iterator[Path]:
    """Write images/, labels/ and data.yaml of each split below `folder`.

    Parameters
    ----------
    sources : Path
        Where the published files lie.
    names : dict
        The image and the boxes by the number of the sheet.
    folder : Path
        An empty folder.

    Yields
    ------
    Path
        Each file, when it is written.
    """
    for split, part in SPLITS.items():
        picture, annotations = names[part.sheet]
        boxes = crowns(sources / annotations)
        with Image.open(sources / picture) as sheet:
            tiles = (
                (
                    f"{part.sheet}-x{left:04d}-y{top:04d}",
                    sheet.crop((left, top, left + TILE, top + TILE)),
                    lines(boxes, left, top),
                )
                for left, top in part.tiles(sheet.height)
            )
            yield from yolo.write(folder / split, (NAME,), tiles)


def _starts(first: int, end: int, stride: int) -> list[int]:
    """Where tiles of a side begin; the last one ends where the side does."""
    last = end - TILE
    return [*range(first, last, stride), last]
