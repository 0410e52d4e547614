"""The first train images as the model is given them: varied, with the labels that go with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from trainyard.datasets.formats.outlines import parts_of
from trainyard.datasets.labels import GeometryName, Label
from trainyard_trainer.engines.base import Seen, TrainSettings

MOST = 16
"""Images that are kept."""

Batch = Mapping[str, Any]
"""A batch of the library: `img` float [B, 3, H, W] in 0..1, and the labels."""
Shape = tuple[int, GeometryName, tuple[float, ...]]
"""Index of the class, and the points as in `Label`."""
Shapes = Callable[[Batch, int], Iterator[Shape]]
"""What the labels of a batch say about its image of that number."""


class FirstSeen:
    """Keeps the first `MOST` images of a training, and takes no random number for it.

    Parameters
    ----------
    settings
        Of the training.
    shapes
        How its batches say what an image shows.
    """

    def __init__(self, settings: TrainSettings, shapes: Shapes) -> None:
        self._classes, self._shapes = settings.classes, shapes
        self.images: list[Seen] = []

    def look(self, batch: Batch) -> None:
        """Keep images of a batch, if there is still room."""
        for index, image in enumerate(batch["img"][: MOST - len(self.images)]):
            pixels = image.detach().permute(1, 2, 0).mul(255).round().byte().cpu().numpy()
            labels = tuple(
                Label(self._classes[number].attribute, self._classes[number].value, kind, points)
                for number, kind, points in self._shapes(batch, index)
            )
            self.images.append(Seen(pixels, labels))


def whole_images(batch: Batch, index: int) -> Iterator[Shape]:
    """Of a classifier: `cls` int [B]."""
    yield int(batch["cls"][index]), "image", ()


def boxes(batch: Batch, index: int) -> Iterator[Shape]:
    """Of a detector: `bboxes` float [N, 4] (centre and sides in 0..1), `cls`, `batch_idx` [N]."""
    own = batch["batch_idx"].flatten() == index
    numbers = batch["cls"][own].flatten().tolist()
    for number, (x, y, width, height) in zip(numbers, batch["bboxes"][own].tolist(), strict=True):
        points = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        yield int(number), "box", points


def outlines(joined: bool) -> Shapes:
    """Of a segmenter: `masks`, beside `cls` and `batch_idx` [N].

    Parameters
    ----------
    joined
        Whether the masks of an image are in one: [B, h, w], i where its i-th entity is. Else they
        are [N, h, w].
    """
    return partial(_outlines, joined)


def _outlines(joined: bool, batch: Batch, index: int) -> Iterator[Shape]:
    masks = batch["masks"].cpu().numpy()
    rows = np.flatnonzero((batch["batch_idx"].flatten() == index).cpu())
    numbers = batch["cls"].flatten().tolist()
    for place, row in enumerate(rows, 1):
        mask = masks[index] == place if joined else masks[row] > 0
        for part in parts_of(mask):
            yield int(numbers[row]), "polygon", tuple((part / mask.shape[::-1]).ravel().tolist())
