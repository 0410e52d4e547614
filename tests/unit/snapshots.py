"""Snapshots of samples that a test names, without the images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from trainyard.api.comparison import Comparison, SplitName
from trainyard.api.manifest import SnapshotManifest
from trainyard.datasets.samples import Sample, write_samples
from trainyard.datasets.splits import compare_splits
from trainyard.stores import Store, join


def sample(name: str, content: str | bytes = b"", **more: object) -> Sample:
    """A sample whose image has this content, by default its name."""
    data = content.encode() if isinstance(content, str) else content
    made = Sample(hashlib.sha256(data or name.encode()).digest(), name, 8, 8, 0, 512, 10, ())
    return replace(made, **more)  # type: ignore[arg-type]


def grouped(**groups: str | None) -> list[Sample]:
    """Samples by name -> group."""
    return [sample(name, group=group) for name, group in groups.items()]


class Snapshots:
    """Snapshots of samples in a store."""

    def __init__(self, store: Store, place: str, folder: Path) -> None:
        self.store, self._place, self._folder = store, place, folder
        self._names = iter(range(1000))

    def make(self, samples: Sequence[Sample], *, without: Sequence[str] = ()) -> str:
        """A snapshot; `without` columns that earlier versions did not write."""
        path = self._folder / "manifest.parquet"
        write_samples(sorted(samples, key=lambda item: item.digest), path)
        # Row groups as small as this are read one by one.
        pq.write_table(pq.read_table(path).drop_columns(list(without)), path, row_group_size=2)
        folder = join(self._place, str(next(self._names)))
        snapshot = SnapshotManifest(
            digest="d" * 64,
            samples=len(samples),
            annotations=0,
            classes=(),
            size_bytes=1,
            manifest=self.store.upload(path, join(folder, "manifest.parquet")),
            shards=(),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.store.write_bytes(
            join(folder, "snapshot.json"), snapshot.model_dump_json(by_alias=True).encode()
        )
        return folder

    def compare(self, **named: Sequence[Sample]) -> Comparison:
        """Compare splits of one snapshot each."""
        folders: dict[SplitName, list[str]] = {
            name: [self.make(samples)]  # type: ignore[misc]
            for name, samples in named.items()
        }
        return compare_splits(self.store, folders)
