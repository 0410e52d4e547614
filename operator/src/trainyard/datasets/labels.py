"""Labels of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from trainyard.api._base import ListedLabel
from trainyard.datasets.errors import BadData

GeometryName = Literal["image", "box", "polygon"]

EDGE_TOLERANCE = 0.01
"""How far a box or polygon may reach over the edge, as a fraction of the side; it is cut off at the
edge. Tools round, and a box drawn to the border often ends a fraction of a pixel behind it."""

MOST_POINTS = 50_000
"""Most points of one polygon."""

_NAME = TypeAdapter[str](ListedLabel)


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


def box_points(corners: Sequence[float], where: str) -> tuple[float, ...]:
    """The points of a box, cut off at the edges of the image.

    Parameters
    ----------
    corners
        x_min, y_min, x_max, y_max in 0..1 of width and height.
    where
        What an error begins with: the file and line, or the object.

    Raises
    ------
    BadData
        If it reaches further outside than `EDGE_TOLERANCE`, or has no area.
    """
    x_min, y_min, x_max, y_max = (_inside(corner, "box", where) for corner in corners)
    if x_min >= x_max or y_min >= y_max:
        raise BadData(
            f"{where}: the box has no area (width {_short(corners[2] - corners[0])}, "
            f"height {_short(corners[3] - corners[1])}, as parts of the image's)"
        )
    return (x_min, y_min, x_max, y_max)


def polygon_points(points: Sequence[float], where: str) -> tuple[float, ...]:
    """The points of a polygon, cut off at the edges of the image.

    Parameters
    ----------
    points
        x, y, x, y, ... in 0..1 of width and height.
    where
        What an error begins with: the file and line, or the object.

    Raises
    ------
    BadData
        If there are fewer than three points or more than `MOST_POINTS`, one of them lies further
        outside than `EDGE_TOLERANCE`, or all of them lie on one horizontal or vertical line.
    """
    if len(points) < 6 or len(points) % 2:
        raise BadData(
            f"{where}: a polygon of {len(points)} numbers; it needs an x and a y for each of "
            "three points or more"
        )
    if len(points) > 2 * MOST_POINTS:
        raise BadData(
            f"{where}: a polygon of {len(points) // 2} points, more than the {MOST_POINTS} allowed"
        )
    inside = tuple(_inside(value, "polygon", where) for value in points)
    for values in (inside[::2], inside[1::2]):
        if min(values) == max(values):
            raise BadData(f"{where}: the polygon has no area (all points lie on one line)")
    return inside


def finite_number(text: str, where: str, what: str = "") -> float:
    """The number that a text of a label file says.

    Parameters
    ----------
    text
        As it stands there.
    where
        File and line, for the error.
    what
        What the number is, with a space behind; for the error too.

    Raises
    ------
    BadData
        If it is no finite number.
    """
    try:
        # Python would take 1_0 for ten.
        number = float(text.replace("_", "?"))
    except ValueError:
        raise BadData(f"{where}: {what}{text[:40]!r} is not a number") from None
    if not math.isfinite(number):
        raise BadData(f"{where}: {what}{text[:40]!r} is not a finite number")
    return number


def checked_name(name: object, where: str, what: str = "class name") -> str:
    """A name (`what` kind of), if it is one: a line of 1 to 128 characters.

    Raises
    ------
    BadData
        If it is not.
    """
    if not isinstance(name, str) or not _is_name(name):
        shown = repr(name)[:60]
        raise BadData(
            f"{where}: the {what} {shown} is not a line of 1 to 128 characters without control "
            "characters"
        )
    return name


@lru_cache(maxsize=10_000)
def _is_name(name: str) -> bool:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _inside(value: float, shape: str, where: str) -> float:
    if not math.isfinite(value):
        raise BadData(f"{where}: the {shape} has the coordinate {value}, which is no finite number")
    if not -EDGE_TOLERANCE <= value <= 1 + EDGE_TOLERANCE:
        raise BadData(
            f"{where}: the {shape} reaches outside of the image (to {_short(value)} where 0..1 is "
            "the image)"
        )
    return min(1.0, max(0.0, value))


def _short(value: float) -> str:
    return f"{value:.4g}"
