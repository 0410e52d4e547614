"""Nuclei in a microscope image as tiles with boxes: the layout that `format: yolo` reads.

There is one published image of 512 x 512 pixels, so the splits are parts of it. They share no
pixel: a model that had seen a part of a test tile would look better than it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

TILE = 128
"""Pixels a side of a tile."""
MIN_VISIBLE = 0.3
"""A nucleus that the tile's edge cuts is labelled if at least this part of its area is inside."""
CLASS = 0
"""Index of the only class."""
NAMES = "names: {0: nucleus}\n"
"""data.yaml: the name of each class by its index."""


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


@dataclass(frozen=True)
class Box:
    """A box as YOLO label files write it; all values in 0..1 of the tile's side.

    Attributes
    ----------
    x, y : float
        The centre.
    width, height : float
        The size.
    """

    x: float
    y: float
    width: float
    height: float

    def line(self) -> str:
        """The line of a label file."""
        return f"{CLASS} {self.x:.6f} {self.y:.6f} {self.width:.6f} {self.height:.6f}"


def boxes(mask: npt.NDArray[np.uint16], left: int, top: int) -> list[Box]:
    """Boxes around the visible parts of the nuclei of a tile.

    Parameters
    ----------
    mask : ndarray
        uint16 [H, W]: 0 is background, every other number is one nucleus.
    left, top : int
        Where the tile begins, in pixels.
    """
    areas = np.bincount(mask.ravel())
    tile = mask[top : top + TILE, left : left + TILE]
    found = []
    for nucleus, area in zip(*np.unique(tile, return_counts=True), strict=True):
        if nucleus == 0 or area < MIN_VISIBLE * areas[nucleus]:
            continue
        rows, columns = np.nonzero(tile == nucleus)
        x0, x1 = int(columns.min()), int(columns.max()) + 1
        y0, y1 = int(rows.min()), int(rows.max()) + 1
        found.append(
            Box((x0 + x1) / 2 / TILE, (y0 + y1) / 2 / TILE, (x1 - x0) / TILE, (y1 - y0) / TILE)
        )
    return found


def write(image_source: Path, mask_source: Path, folder: Path) -> Iterator[Path]:
    """Write images/, labels/ and data.yaml of each split below `folder`.

    Parameters
    ----------
    image_source, mask_source : Path
        The published image and its mask, 16-bit TIFF.
    folder : Path
        An empty folder.

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
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
        names = folder / split / "data.yaml"
        names.write_text(NAMES)
        yield names
        for left, top in area.tiles():
            name = f"x{left:03d}-y{top:03d}"
            path = folder / split / "images" / f"{name}.png"
            Image.fromarray(image[top : top + TILE, left : left + TILE]).save(path)
            yield path
            label = folder / split / "labels" / f"{name}.txt"
            label.write_text("".join(f"{box.line()}\n" for box in boxes(mask, left, top)))
            yield label
