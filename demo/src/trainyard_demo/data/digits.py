"""Handwritten digits as a folder of images a class: the layout that `format: folders` reads."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 8
"""Pixels a side, as published."""
LEVELS = 16
"""Largest grey value, as published; 0 is paper."""
ENLARGED = 32
"""Pixels a side of the images written, so that a person sees something."""
ROUND = ("train", "train", "train", "train", "dev", "test")
"""Splits of six digits in a row, over and over: 1,199 train, 299 dev and 299 test."""


@dataclass(frozen=True)
class Digit:
    """One handwritten digit.

    Attributes
    ----------
    number : int
        Line of the published file, from 0.
    label : int
        0..9.
    pixels : ndarray
        uint8 [8, 8], 0 is paper and 16 is ink.
    """

    number: int
    label: int
    pixels: npt.NDArray[np.uint8]


def read(path: Path) -> list[Digit]:
    """All digits of the published file, in its order.

    Parameters
    ----------
    path : Path
        Compressed lines of 65 numbers: 64 grey values row by row, then the digit.
    """
    table = np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines(), delimiter=",")
    return [
        Digit(number, int(row[-1]), row[:-1].astype(np.uint8).reshape(SIDE, SIDE))
        for number, row in enumerate(table)
    ]


def split_of(number: int) -> str:
    """The split of a digit: by its place in the file, so that every run agrees.

    The file does not say who wrote what, so digits of one hand may be in all three.

    Parameters
    ----------
    number : int
        Line of the file, from 0.
    """
    return ROUND[number % len(ROUND)]


def enlarge(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """A grey image of 32 x 32 pixels, white ink on black.

    Parameters
    ----------
    pixels : ndarray
        uint8 [8, 8] in 0..16.
    """
    grey = np.round(pixels.astype(np.float64) * (255 / LEVELS)).astype(np.uint8)
    return Image.fromarray(grey).resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)


def write(source: Path, folder: Path) -> Iterator[Path]:
    """Write `<split>/<class>/<number>.png` below `folder`.

    Parameters
    ----------
    source : Path
        The published file.
    folder : Path
        An empty folder.

    Yields
    ------
    Path
        Each file, when it is written.
    """
    for digit in read(source):
        path = folder / split_of(digit.number) / str(digit.label) / f"{digit.number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        enlarge(digit.pixels).save(path)
        yield path
