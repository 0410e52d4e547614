"""Labels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
