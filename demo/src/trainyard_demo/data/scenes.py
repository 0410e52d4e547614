"""Handwritten digits, several in one picture: the layout that `format: yolo` reads.

The digits are real, and so is where their ink lies; only the pictures are put together here,
because the published images show one digit each. A digit is in one picture only, and the pictures
of a split hold the digits of that split.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainyard_demo.data import digits, yolo

SIDE = 96
"""Pixels a side of a picture: four fields of a quarter each."""
DIGITS = 4
"""Digits in a picture."""
SIZES = (24, 44)
"""Pixels a side of a digit, from and to."""
INK = 64
"""Grey value from which a pixel counts as ink, of 255."""
NAMES = tuple(str(number) for number in range(10))
"""The classes."""


def scene(
    members: list[digits.Digit], generator: np.random.Generator
) -> tuple[Image.Image, list[str]]:
    """A picture, and the lines of its label file.

    Each digit is scaled and placed at random inside of its own field, so that none hides another.

    Parameters
    ----------
    members : list
        At most `DIGITS`.
    generator : Generator
        What places them.
    """
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    field, lines = SIDE // 2, []
    for place, digit in enumerate(members):
        side = int(generator.integers(SIZES[0], SIZES[1] + 1))
        left, top = (
            int(start * field + generator.integers(0, field - side + 1))
            for start in (place % 2, place // 2)
        )
        drawn = np.asarray(digits.enlarge(digit.pixels).resize((side, side)))
        canvas[top : top + side, left : left + side] = drawn
        x0, y0, x1, y1 = ink(drawn)
        edges = (left + x0, top + y0, left + x1, top + y1)
        lines.append(yolo.box(*edges, SIDE, digit.label).line())
    return Image.fromarray(canvas), lines


def ink(drawn: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the ink of a digit, in pixels.

    Parameters
    ----------
    drawn : ndarray
        uint8 [side, side], white ink on black.
    """
    rows, columns = np.nonzero(drawn >= INK)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def write(source: Path, folder: Path, seed: int = 0) -> Iterator[Path]:
    """Write images/, labels/ and data.yaml of each split below `folder`.

    Parameters
    ----------
    source : Path
        The published file of digits.
    folder : Path
        An empty folder.
    seed : int
        Of the places: the same seed gives the same pictures.

    Yields
    ------
    Path
        Each file, when it is written.
    """
    everything = digits.read(source)
    generator = np.random.default_rng(seed)
    for split in ("train", "dev", "test"):
        own = [digit for digit in everything if digits.split_of(digit.number) == split]
        pictures = (
            (f"{own[start].number:04d}", *scene(own[start : start + DIGITS], generator))
            for start in range(0, len(own), DIGITS)
        )
        yield from yolo.write(folder / split, NAMES, pictures)
