"""Nuclei in a microscope image as tiles, with boxes or outlines: what `format: yolo` reads.

There is one published image of 512 x 512 pixels, so the splits are parts of it. They share no
pixel: a model that had seen a part of a test tile would look better than it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainyard.datasets.formats.outlines import area as area_of
from trainyard.datasets.formats.outlines import parts_of
from trainyard_demo.data import yolo

TILE = 128
"""Pixels a side of a tile."""
MIN_VISIBLE = 0.3
"""A nucleus that the tile's edge cuts is labelled if at least this part of its area is inside."""
NAME = "nucleus"
"""The only class."""


@dataclass(frozen=True)
class Area:
    """A rectangle of the image that one split takes its tiles from, in pixels.

    Attributes
    ----------
    left, top, right, bottom : int
        The rectangle; right and bottom are outside of it.
    stride : int
        Distance between neighbouring tiles; below `TILE` they overlap within the split.
    """

    left: int
    top: int
    right: int
    bottom: int
    stride: int

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Left and top of each tile that lies wholly inside."""
        for top in range(self.top, self.bottom - TILE + 1, self.stride):
            for left in range(self.left, self.right - TILE + 1, self.stride):
                yield left, top


SPLITS = {
    "train": Area(0, 0, 320, 512, stride=32),
    "dev": Area(320, 0, 512, 256, stride=32),
    "test": Area(320, 256, 512, 512, stride=32),
}


Lines = Callable[[npt.NDArray[np.uint16], int, int], list[str]]
"""Lines of the label file of a tile: mask of the whole image, left and top of the tile."""


def visible(mask: npt.NDArray[np.uint16], left: int, top: int) -> Iterator[npt.NDArray[np.bool_]]:
    """What a tile shows of each nucleus that counts: bool [TILE, TILE].

    Parameters
    ----------
    mask : ndarray
        uint16 [H, W]: 0 is background, every other number is one nucleus.
    left, top : int
        Where the tile begins, in pixels.
    """
    areas = np.bincount(mask.ravel())
    tile = mask[top : top + TILE, left : left + TILE]
    for nucleus, area in zip(*np.unique(tile, return_counts=True), strict=True):
        if nucleus != 0 and area >= MIN_VISIBLE * areas[nucleus]:
            yield tile == nucleus


def boxes(mask: npt.NDArray[np.uint16], left: int, top: int) -> list[str]:
    """Lines of boxes around the visible parts of the nuclei of a tile, see `visible`."""
    found = []
    for nucleus in visible(mask, left, top):
        rows, columns = np.nonzero(nucleus)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        found.append(yolo.box(int(x0), int(y0), int(x1), int(y1), TILE).line())
    return found


def outlines(mask: npt.NDArray[np.uint16], left: int, top: int) -> list[str]:
    """Lines of polygons around the visible parts of the nuclei of a tile, see `visible`.

    Of a nucleus that the tile's edge cuts into parts, the largest.
    """
    found = []
    for nucleus in visible(mask, left, top):
        points = max(parts_of(nucleus), key=area_of) / TILE
        found.append(" ".join(["0", *(f"{number:.6f}" for number in points.ravel())]))
    return found


def write(image_source: Path, mask_source: Path, folder: Path, lines: Lines) -> Iterator[Path]:
    """Write images/, labels/ and data.yaml of each split below `folder`.

    Parameters
    ----------
    image_source, mask_source : Path
        The published image and its mask, 16-bit TIFF.
    folder : Path
        An empty folder.
    lines : callable
        `boxes` or `outlines`.

    Yields
    ------
    Path
        Each file, when it is written.
    """
    with Image.open(image_source) as opened:
        raw = np.asarray(opened).astype(np.float64)
    with Image.open(mask_source) as opened:
        mask = np.asarray(opened).astype(np.uint16)
    image = np.round(raw * (255 / raw.max())).astype(np.uint8)
    for split, area in SPLITS.items():
        tiles = (
            (
                f"x{left:03d}-y{top:03d}",
                Image.fromarray(image[top : top + TILE, left : left + TILE]),
                lines(mask, left, top),
            )
            for left, top in area.tiles()
        )
        yield from yolo.write(folder / split, (NAME,), tiles)
