"""Labels of an image, and the text form of YOLO that they are read from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainyard_trainer.faults import BadData

GeometryName = Literal["image", "box", "polygon"]

EDGE_TOLERANCE = 0.01
"""How far a box may reach over the edge, as a fraction of the side; it is cut off at the edge.
Tools round, and a box drawn to the border often ends a fraction of a pixel behind it."""


@dataclass(frozen=True, order=True)
class Label:
    """One annotation.

    Attributes
    ----------
    attribute, value
        What is said, for example `class` = `cat`.
    geometry
        `image` (the whole image), `box` or `polygon`.
    points
        Nothing, x_min y_min x_max y_max, or x y x y ...; 0..1 of width and height.
    """

    attribute: str
    value: str
    geometry: GeometryName
    points: tuple[float, ...] = ()


def parse_yolo(data: bytes, name: str, names: Sequence[str], attribute: str) -> tuple[Label, ...]:
    """Labels of one YOLO text file, sorted and without repeats.

    A line is `class x_centre y_centre width height` for a box or `class x y x y x y ...` for a
    polygon, all but the class in 0..1. A byte order mark, Windows line ends and empty lines are
    fine.

    Parameters
    ----------
    data
        The file's bytes.
    name
        Its name, for errors.
    names
        Class names by index.
    attribute
        The attribute that these are values of.

    Raises
    ------
    BadData
        At the first line that cannot be used, as `name:line: what`.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadData(f"{name}: not a text file in UTF-8") from None
    labels = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if fields := line.split():
            labels.add(_parse_line(fields, f"{name}:{number}", names, attribute))
    return tuple(sorted(labels))


def _parse_line(fields: list[str], where: str, names: Sequence[str], attribute: str) -> Label:
    value = names[_class_index(fields[0], where, names)]
    count = len(fields) - 1
    if count != 4 and (count < 6 or count % 2):
        raise BadData(
            f"{where}: {len(fields)} columns; a box has 5 (class x_centre y_centre width height), "
            "a polygon 7 or more (class x y x y x y ...)"
        )
    points = [_fraction(field, where) for field in fields[1:]]
    if count > 4:
        return Label(attribute, value, "polygon", tuple(points))
    return Label(attribute, value, "box", _corners(points, where))


def _class_index(field: str, where: str, names: Sequence[str]) -> int:
    number = _number(field, where)
    if number != int(number) or number < 0:
        raise BadData(f"{where}: the class {field!r} is not a whole number from 0")
    if number >= len(names):
        raise BadData(
            f"{where}: class {int(number)}, but there are only {len(names)} class names "
            f"(0 to {len(names) - 1})"
        )
    return int(number)


def _number(field: str, where: str) -> float:
    try:
        number = float(field)
    except ValueError:
        raise BadData(f"{where}: {field[:40]!r} is not a number") from None
    if not math.isfinite(number):
        raise BadData(f"{where}: {field[:40]!r} is not a finite number")
    return number


def _fraction(field: str, where: str) -> float:
    number = _number(field, where)
    if not 0 <= number <= 1:
        raise BadData(
            f"{where}: {field[:40]} is outside of 0..1: coordinates are fractions of the image's "
            "width and height"
        )
    return number


def _corners(box: list[float], where: str) -> tuple[float, ...]:
    x, y, width, height = box
    if width == 0 or height == 0:
        raise BadData(f"{where}: the box has no area (width {width}, height {height})")
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    for corner in corners:
        if not -EDGE_TOLERANCE <= corner <= 1 + EDGE_TOLERANCE:
            raise BadData(
                f"{where}: the box reaches outside of the image (to {corner:.4g} where 0..1 is "
                "the image)"
            )
    return tuple(min(1.0, max(0.0, corner)) for corner in corners)
