"""What a pile of labelled images is like, in memory that does not grow with it."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trainyard.datasets.labels import Label
from trainyard.datasets.scratch import Scratch

EXACT_UP_TO = 100_000
"""Values of which quantiles are exact; of more, they are those of so many drawn at random."""

LEVELS = (0.0, 0.05, 0.5, 0.95, 1.0)
"""The quantiles that are told."""


class Quantiles:
    """Smallest, largest and some values in between of many numbers."""

    def __init__(self) -> None:
        self._values = array("d")
        self._seen = 0
        self._least, self._most = float("inf"), float("-inf")
        self._random = random.Random(0)

    def add(self, value: float) -> None:
        """Count one number."""
        self._seen += 1
        self._least, self._most = min(self._least, value), max(self._most, value)
        if len(self._values) < EXACT_UP_TO:
            self._values.append(value)
            return
        # J. Vitter, "Random sampling with a reservoir" (1985), algorithm R.
        place = self._random.randrange(self._seen)
        if place < EXACT_UP_TO:
            self._values[place] = value

    def told(self) -> tuple[float, ...]:
        """The quantiles of `LEVELS`; nothing if there were no numbers."""
        if not self._seen:
            return ()
        inner = np.quantile(np.asarray(self._values), LEVELS[1:-1])
        # Six digits: 0.3 times 10 pixels is no 2.9999999999999996.
        return tuple(float(f"{value:.6g}") for value in (self._least, *inner, self._most))


@dataclass(frozen=True)
class Groups:
    """Samples that belong together.

    Attributes
    ----------
    count
        Number of groups.
    largest
        (group, number of samples) of the largest.
    without
        Samples that are in none.
    """

    count: int
    largest: tuple[str, int] | None
    without: int


class Statistics:
    """Counts of samples and labels, and how large they are."""

    def __init__(self) -> None:
        self.samples = 0
        self.without_labels = 0
        self.geometries: Counter[str] = Counter()
        self.labels: Counter[tuple[str, str]] = Counter()
        self.images: Counter[tuple[str, str]] = Counter()
        self.image_width, self.image_height = Quantiles(), Quantiles()
        self.box_width, self.box_height, self.box_area = Quantiles(), Quantiles(), Quantiles()
        self._without_group = 0
        self._scratch = Scratch()
        self._scratch.database.execute(
            "CREATE TABLE groups (name TEXT PRIMARY KEY, samples INTEGER) WITHOUT ROWID"
        )

    def add(self, width: int, height: int, labels: Iterable[Label], group: str | None) -> None:
        """Count one sample; width and height in pixels."""
        self.image_width.add(width)
        self.image_height.add(height)
        labels = tuple(labels)
        self.add_unread(labels, group)
        for label in labels:
            if label.points:
                across = max(label.points[0::2]) - min(label.points[0::2])
                down = max(label.points[1::2]) - min(label.points[1::2])
                self.box_width.add(across * width)
                self.box_height.add(down * height)
                self.box_area.add(across * down)

    def add_unread(self, labels: Iterable[Label], group: str | None) -> None:
        """Count a sample of which nobody knows the size."""
        labels = tuple(labels)
        self.samples += 1
        self.without_labels += not labels
        for label in labels:
            self.geometries[label.geometry] += 1
            self.labels[label.attribute, label.value] += 1
        for key in {(label.attribute, label.value) for label in labels}:
            self.images[key] += 1
        if group is None:
            self._without_group += 1
        else:
            self._scratch.database.execute(
                "INSERT INTO groups VALUES (?, 1) ON CONFLICT DO UPDATE SET samples = samples + 1",
                (group,),
            )

    @property
    def annotations(self) -> int:
        """Number of labels."""
        return self.geometries.total()

    def groups(self) -> Groups:
        """What belongs together."""
        database = self._scratch.database
        (count,) = database.execute("SELECT count(*) FROM groups").fetchone()
        largest = database.execute(
            "SELECT name, samples FROM groups ORDER BY samples DESC, name LIMIT 1"
        ).fetchone()
        return Groups(count, largest, self._without_group)

    def close(self) -> None:
        """Forget what lies on this machine's disk."""
        self._scratch.close()
