"""What is in a snapshot: numbers, and some of its images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from trainyard.api.manifest import SnapshotManifest
from trainyard.cli.data.statistics import Statistics
from trainyard.datasets.in_order import in_order
from trainyard.datasets.pictures import Picture, spread
from trainyard.datasets.samples import Sample, read_samples
from trainyard.stores import DigestMismatch, Store, join, parent


def count_samples(path: Path, statistics: Statistics) -> None:
    """Count the samples of a manifest.parquet."""
    for sample in read_samples(path):
        statistics.add(sample.width, sample.height, sample.labels, sample.group)


def choose_samples(path: Path, count: int, value: str | None) -> list[Sample]:
    """Some samples of a manifest.parquet, spread evenly over all, or over those with a class.

    They are sorted by digest there, so that these are as good as drawn at random, and always the
    same ones.
    """
    total = sum(1 for sample in read_samples(path) if _has(sample, value))
    places = set(spread(total, count))
    having = (sample for sample in read_samples(path) if _has(sample, value))
    chosen = [sample for place, sample in enumerate(having) if place in places]
    return sorted(chosen, key=lambda sample: sample.name)


def read_pictures(
    store: Store, uri: str, snapshot: SnapshotManifest, samples: list[Sample]
) -> Iterator[Picture]:
    """The samples' images, read out of the shards and verified.

    Parameters
    ----------
    uri
        The snapshot's folder.

    Raises
    ------
    DigestMismatch
        If an image is not what the manifest says.
    """

    def read(sample: Sample) -> Picture:
        shard = join(parent(uri), snapshot.shards[sample.shard].name)
        data = store.read_part(shard, sample.offset, sample.size)
        if hashlib.sha256(data).digest() != sample.digest:
            raise DigestMismatch(f"{sample.name} in {shard} is damaged: make the dataset again")
        return Picture(sample.name, data, sample.labels)

    return in_order(read, samples, size=attrgetter("size"))


def _has(sample: Sample, value: str | None) -> bool:
    return value is None or any(label.value == value for label in sample.labels)
