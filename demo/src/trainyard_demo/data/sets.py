"""The sets of labelled images that the examples train on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainyard_demo.data import digits, nuclei, scenes, trees
from trainyard_demo.data.sources import (
    DIGITS,
    NUCLEI_IMAGE,
    NUCLEI_MASK,
    TREES_1,
    TREES_1_BOXES,
    TREES_2,
    TREES_2_BOXES,
    SourceFile,
)


@dataclass(frozen=True)
class ImageSet:
    """How a set is made.

    Attributes
    ----------
    files : tuple of SourceFile
        What it is made of.
    write : callable
        Writes it: takes the folder of the sources and an empty folder, yields each file.
    """

    files: tuple[SourceFile, ...]
    write: Callable[[Path, Path], Iterator[Path]]


def _nuclei(lines: nuclei.Lines) -> Callable[[Path, Path], Iterator[Path]]:
    return lambda sources, folder: nuclei.write(
        sources / NUCLEI_IMAGE.name, sources / NUCLEI_MASK.name, folder, lines
    )


SETS = {
    "digits": ImageSet(
        (DIGITS,), lambda sources, folder: digits.write(sources / DIGITS.name, folder)
    ),
    "digit-boxes": ImageSet(
        (DIGITS,), lambda sources, folder: scenes.write(sources / DIGITS.name, folder)
    ),
    "nuclei": ImageSet((NUCLEI_IMAGE, NUCLEI_MASK), _nuclei(nuclei.boxes)),
    "nuclei-masks": ImageSet((NUCLEI_IMAGE, NUCLEI_MASK), _nuclei(nuclei.outlines)),
    "tree-crowns": ImageSet(
        (TREES_1, TREES_1_BOXES, TREES_2, TREES_2_BOXES),
        lambda sources, folder: trees.write(
            sources,
            {1: (TREES_1.name, TREES_1_BOXES.name), 2: (TREES_2.name, TREES_2_BOXES.name)},
            folder,
        ),
    ),
}
"""By name, which is that of its folder under ``examples/`` and in the bucket."""
SHOWN = ("digits", "nuclei")
"""Those that the demo trains on."""
