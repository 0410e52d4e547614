"""How large a snapshot may become."""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.api.run import SnapshotLimits
from trainyard.datasets.errors import DatasetTooLarge
from trainyard.datasets.source import Source


class Bounds:
    """What the selections take, held against the limits.

    Counted are image files, copies of an image too. Of a selection without a filter all that were
    listed count, so that far too many are noticed before the first of them is read; of one with
    a filter those that it takes, as they are read.

    Parameters
    ----------
    limits
        What is allowed.
    """

    def __init__(self, limits: SnapshotLimits) -> None:
        self._limits = limits
        self._images = self._bytes = 0

    def take_listed(self, sources: Iterable[Source]) -> None:
        """Count what is known before anything is read.

        Raises
        ------
        DatasetTooLarge
            If that is too much.
        """
        for source in sources:
            if source.takes_all:
                self._images += len(source)
                if self._limits.max_bytes is not None:
                    self._bytes += source.listed_bytes()
        self._check("")

    def take(self, source: Source, size_bytes: int) -> None:
        """Count one image that was read.

        Raises
        ------
        DatasetTooLarge
            If it is one too many.
        """
        if not source.takes_all:
            self._images += 1
            self._bytes += size_bytes
            self._check("at least ")

    def _check(self, about: str) -> None:
        for found, most, unit, setting in (
            (self._images, self._limits.max_samples, "images", "datasets.maxSamples"),
            (self._bytes, self._limits.max_bytes, "bytes of images", "datasets.maxSize"),
        ):
            if most is not None and found > most:
                raise DatasetTooLarge(
                    f"the selections take {about}{found} {unit}, more than the {most} that the "
                    f"operator's setting {setting} allows: narrow them (a longer prefix, or a "
                    "filter by classes, search or limit), make several Datasets, or have the "
                    "setting raised"
                )
