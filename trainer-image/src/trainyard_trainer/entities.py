"""What a Box element is asked about: boxes, from a file or from the labels of the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from trainyard.datasets.errors import BadData
from trainyard.datasets.labels import Label, box_points, polygon_points
from trainyard_trainer.engines.base import Box, bounds

MOST_BYTES = 64 << 20
"""Largest file of entities."""
PREDICTIONS = "Predictions"
"""The `kind` of what `predict --json` writes."""

_FORMS = (
    "give a list of boxes [x_min, y_min, x_max, y_max] in 0..1, a list for each image by its name, "
    "or what `predict --json` wrote for a detector"
)


@dataclass(frozen=True)
class Entities:
    """Boxes by image.

    Attributes
    ----------
    everywhere
        Asked about in every image; None: `by_image` says.
    by_image
        By the name of the image; an image that is missing is asked about nothing.
    """

    everywhere: tuple[Box, ...] | None = None
    by_image: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)

    def of(self, name: str) -> tuple[Box, ...]:
        """The entities of an image."""
        return self.by_image.get(name, ()) if self.everywhere is None else self.everywhere


def labelled(labels: Sequence[Label]) -> tuple[Box, ...]:
    """The boxes that labels mark."""
    return tuple(bounds(label) for label in labels if label.points)


def read_entities(path: Path) -> Entities:
    """Read a file of entities, JSON in one of three forms.

    A list of boxes, each `[x_min, y_min, x_max, y_max]` in 0..1 of the image's sides, for every
    image; an object of such lists by the names of images; or the document that `predict --json`
    wrote for a detector.

    Raises
    ------
    BadData
        If it is none of these, or a box is none; the sentence names the file and the place.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadData(f"{path}: larger than the {MOST_BYTES >> 20} MiB allowed")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path}: not JSON ({error}): {_FORMS}") from None
    match content:
        case list():
            return Entities(everywhere=_boxes(content, path.name))
        case {"kind": kind, "images": list(images)} if kind == PREDICTIONS:
            return Entities(by_image=dict(_predicted(image, path.name) for image in images))
        case dict():
            return Entities(
                by_image={
                    name: _boxes(boxes, f"{path.name}: {name}") for name, boxes in content.items()
                }
            )
    raise BadData(f"{path}: neither a list nor an object: {_FORMS}")


def _predicted(image: Any, where: str) -> tuple[str, tuple[Box, ...]]:
    match image:
        case {"image": str(name), "answers": list(answers)}:
            shapes = [x.get("points") if isinstance(x, dict) else x for x in answers]
            return name, _boxes(shapes, f"{where}: {name}")
    raise BadData(f"{where}: an entry of images without image and answers: {_FORMS}")


def _boxes(shapes: Any, where: str) -> tuple[Box, ...]:
    if not isinstance(shapes, list):
        raise BadData(f"{where}: not a list of boxes: {_FORMS}")
    return tuple(_box(shape, f"{where}: entity {number}") for number, shape in enumerate(shapes))


def _box(shape: Any, where: str) -> Box:
    """A box, or the one around a polygon."""
    if (
        not isinstance(shape, list)
        or len(shape) < 4
        or not all(type(number) in (int, float) for number in shape)
    ):
        raise BadData(f"{where}: {json.dumps(shape)[:60]} is not a list of four numbers: {_FORMS}")
    if len(shape) == 4:
        return cast("Box", box_points(shape, where))
    return bounds(Label("", "", "polygon", polygon_points(shape, where)))
