"""From the shape of a COCO annotation to a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.outlines import BadMask, Ring, joined, outline
from trainyard.datasets.labels import GeometryName, box_points, polygon_points

# Pixels: areas and distances of such points are finite.
_FURTHEST = 1e9


def geometry_of(
    shape: Mapping[str, Any], size: tuple[int, int], where: str
) -> tuple[GeometryName, tuple[float, ...]]:
    """The geometry of an annotation, and its points in 0..1.

    A segmentation gives a polygon, and `bbox` is then not looked at; an annotation with `bbox` only
    gives a box. Of a run-length encoded mask it is the outline, and several polygons of one object
    become one, see `outlines`.

    Parameters
    ----------
    shape
        `segmentation` and `bbox` of the annotation.
    size
        Width and height of its image, in pixels.
    where
        The file and the annotation's id, for errors.

    Raises
    ------
    BadData
        If it has neither, or one that cannot be used.
    """
    segmentation, bbox = shape.get("segmentation"), shape.get("bbox")
    try:
        if isinstance(segmentation, dict) and segmentation:
            return "polygon", _in_parts(_outline(segmentation, size, where), size, where)
        if isinstance(segmentation, list) and any(part != [] for part in segmentation):
            ring = joined([_ring(part, where) for part in segmentation if part != []])
            return "polygon", _in_parts(ring, size, where)
    except BadMask as error:
        raise BadData(f"{where}: {error}") from None
    if segmentation and not isinstance(segmentation, (dict, list)):
        raise BadData(f"{where}: segmentation is neither a list of polygons nor a mask")
    if bbox is None:
        raise BadData(
            f"{where}: it has neither segmentation nor bbox (files of panoptic, keypoint or "
            "caption annotations are not read)"
        )
    return "box", _box(bbox, size, where)


def _box(bbox: object, size: tuple[int, int], where: str) -> tuple[float, ...]:
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise BadData(f"{where}: bbox is not a list of four numbers (x, y, width, height)")
    x, y, box_width, box_height = _numbers(bbox, "bbox", where)
    shown = f"{where}: bbox [{x:g}, {y:g}, {box_width:g}, {box_height:g}]"
    if box_width < 0 or box_height < 0:
        raise BadData(f"{shown}: it has a negative size: COCO writes x, y, width, height")
    width, height = size
    corners = (x / width, y / height, (x + box_width) / width, (y + box_height) / height)
    return box_points(corners, f"{shown} in {width} x {height} pixels")


def _outline(mask: Mapping[str, Any], size: tuple[int, int], where: str) -> Ring:
    width, height = size
    if mask.get("size") != [height, width]:
        raise BadData(
            f"{where}: its mask has the size {str(mask.get('size'))[:60]}, but that of the image, "
            f"as height and width, is {[height, width]}"
        )
    counts = mask.get("counts")
    if not isinstance(counts, (str, list)):
        raise BadData(f"{where}: its mask has no counts (a text, or a list of run lengths)")
    try:
        ring = outline(counts, width, height)
    except BadMask as error:
        raise BadData(f"{where}: its mask cannot be read: {error}") from None
    if ring is None:
        raise BadData(f"{where}: its mask is empty")
    return ring


def _ring(part: object, where: str) -> Ring:
    if not isinstance(part, list):
        raise BadData(f"{where}: segmentation is not a list of polygons, each a list of numbers")
    if len(part) < 6 or len(part) % 2:
        raise BadData(
            f"{where}: a polygon of {len(part)} numbers; it needs an x and a y for each of three "
            "points or more"
        )
    return np.array(_numbers(part, "polygon", where), np.float64).reshape(-1, 2)


def _in_parts(ring: Ring, size: tuple[int, int], where: str) -> tuple[float, ...]:
    points = (ring / np.array(size, np.float64)).ravel().tolist()
    return polygon_points(points, f"{where} in {size[0]} x {size[1]} pixels")


def _numbers(values: Sequence[object], what: str, where: str) -> list[float]:
    numbers: list[float] = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadData(f"{where}: the {what} has {str(value)[:40]!r}, which is no number")
        if abs(value) > _FURTHEST:
            raise BadData(f"{where}: the {what} has {value}, which is no number of pixels")
        numbers.append(float(value))
    return numbers
