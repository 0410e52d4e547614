"""One row of records, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.base import value_of
from trainyard.datasets.formats.places import inner_path
from trainyard.datasets.labels import GeometryName, Label, box_points, checked_name, polygon_points

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds: the year 5138. Milliseconds of today are above it.
_LATEST = 1e11
_LARGEST_ID = 1 << 63


@dataclass(frozen=True)
class Row:
    """What one row says.

    Attributes
    ----------
    image
        Its path, as the row gives it.
    entity
        Id of the object in the image.
    label
        None where the row says that there is nothing: no object in the image, or that the entity is
        gone.
    tags
        Of the image.
    submission
        Id of what was submitted together.
    submitted_at
        Microseconds since 1970.
    group
        What the image belongs to.
    """

    image: PurePosixPath
    entity: str | None
    label: Label | None
    tags: tuple[str, ...]
    submission: int | str | None
    submitted_at: int | None
    group: str | None


def parse_row(
    cells: Mapping[str, Any],
    where: str,
    *,
    attribute: str,
    class_names: Sequence[str] = (),
    group_by: str | None = None,
) -> Row:
    """A row from its cells; those that are null or not there are the same.

    Parameters
    ----------
    cells
        By column.
    where
        File and line (or row), for errors.
    attribute
        `Selection.attribute`: that of a row that names none.
    class_names
        `Selection.class_names`, about the values of that attribute.
    group_by
        Column that names the group.

    Raises
    ------
    BadData
        At the first cell that cannot be used.
    """
    if cells.get("image") is None:
        raise BadData(f"{where}: it has no image")
    return Row(
        image=inner_path(cells["image"], where),
        entity=_optional_name(cells.get("entity"), "entity", where),
        label=_label(cells, where, attribute, class_names),
        tags=_tags(cells.get("tags"), where),
        submission=_submission(cells.get("submission"), where),
        submitted_at=microseconds(cells.get("submittedAt"), where),
        group=_optional_name(cells.get(group_by), group_by, where) if group_by else None,
    )


def microseconds(value: object, where: str) -> int | None:
    """A time since 1970; without a zone it is UTC, and numbers are seconds.

    Raises
    ------
    BadData
        If it is no time.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float, datetime)):
        raise BadData(f"{where}: submittedAt {str(value)[:40]!r} is neither a text nor a time")
    if isinstance(value, (int, float)):
        if not 0 <= value < _LATEST:
            raise BadData(
                f"{where}: submittedAt {value} is no number of seconds since 1970 (milliseconds "
                "must be divided by 1000)"
            )
        return round(value * 1_000_000)
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        raise BadData(
            f"{where}: submittedAt {str(value)[:40]!r} is no time as ISO 8601 writes it, for "
            "example 2026-05-01T12:00:00Z"
        ) from None
    return since // timedelta(microseconds=1)


def _label(
    cells: Mapping[str, Any], where: str, default: str, class_names: Sequence[str]
) -> Label | None:
    # Tools for tables write an empty list where there is none.
    box, polygon = (
        None if cells.get(column) == [] else cells.get(column) for column in ("box", "polygon")
    )
    if box is not None and polygon is not None:
        raise BadData(f"{where}: it has a box and a polygon: give one of them")
    value = cells.get("value")
    if value is None:
        if box is not None or polygon is not None:
            raise BadData(f"{where}: it has a {'box' if box else 'polygon'} and no value")
        return None
    attribute = cells.get("attribute")
    attribute = default if attribute is None else checked_name(attribute, where, "attribute")
    # A number is a fine name; 0..9 are the ten digits of many a set.
    name = str(value) if type(value) is int else value
    named = value_of(name, class_names if attribute == default else (), f"{where}: the value")
    geometry: GeometryName = "image"
    points: tuple[float, ...] = ()
    if box is not None:
        geometry, points = "box", box_points(_numbers(box, "box", where, 4), where)
    elif polygon is not None:
        geometry, points = "polygon", polygon_points(_numbers(polygon, "polygon", where), where)
    return Label(attribute, named, geometry, points)


def _numbers(values: object, what: str, where: str, count: int | None = None) -> list[float]:
    if not isinstance(values, list) or (count is not None and len(values) != count):
        form = "[x_min, y_min, x_max, y_max]" if what == "box" else "[x, y, x, y, ...]"
        raise BadData(f"{where}: {what} is not a list {form} of parts of the image's sides")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadData(f"{where}: the {what} has {str(value)[:40]!r}, which is no number")
        if abs(value) > _LATEST or not math.isfinite(value):
            raise BadData(f"{where}: the {what} has the coordinate {str(value)[:40]}")
    return [float(value) for value in values]


def _tags(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadData(f"{where}: tags is not a list of texts")
    return tuple(checked_name(tag, where, "tag") for tag in value)


def _submission(value: object, where: str) -> int | str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID:
        return value
    return None if value is None else checked_name(value, where, "submission")


def _optional_name(value: object, column: str, where: str) -> str | None:
    if value is None:
        return None
    return checked_name(str(value) if type(value) is int else value, where, column)
