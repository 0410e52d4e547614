"""The layout that `format: yolo` reads: images/, labels/ and data.yaml."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Box:
    """A box as YOLO label files write it; all values in 0..1 of the image's sides.

    Attributes
    ----------
    x, y : float
        The centre.
    width, height : float
        The size.
    label : int
        Index of its class.
    """

    x: float
    y: float
    width: float
    height: float
    label: int = 0

    def line(self) -> str:
        """The line of a label file."""
        return f"{self.label} {self.x:.6f} {self.y:.6f} {self.width:.6f} {self.height:.6f}"


def box(left: float, top: float, right: float, bottom: float, side: int, label: int = 0) -> Box:
    """The box of these edges, in pixels of a square image of `side` pixels."""
    width, height = right - left, bottom - top
    return Box(
        (left + right) / 2 / side, (top + bottom) / 2 / side, width / side, height / side, label
    )


def write(
    folder: Path, names: Sequence[str], images: Iterable[tuple[str, Image.Image, Sequence[str]]]
) -> Iterator[Path]:
    """Write one split.

    Parameters
    ----------
    folder : Path
        An empty folder, or one that is not there yet.
    names : sequence of str
        The classes by their index.
    images : iterable
        Name without extension, pixels, and the lines of the label file of each.

    Yields
    ------
    Path
        Each file, when it is written.
    """
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    described = folder / "data.yaml"
    # YAML reads 1 as a number, and a name is a text.
    quoted = (name if name.isalpha() else f'"{name}"' for name in names)
    listed = ", ".join(f"{index}: {name}" for index, name in enumerate(quoted))
    described.write_text(f"names: {{{listed}}}\n")
    yield described
    for name, image, lines in images:
        path = folder / "images" / f"{name}.png"
        image.save(path)
        yield path
        label = folder / "labels" / f"{name}.txt"
        label.write_text("".join(f"{line}\n" for line in lines))
        yield label
