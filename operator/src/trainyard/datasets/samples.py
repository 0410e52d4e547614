"""manifest.parquet: one row a sample, sorted by digest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainyard.datasets.labels import Label
from trainyard.datasets.parquet import open_parquet

SCHEMA = pa.schema(
    [
        pa.field("digest", pa.binary(32), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("look", pa.binary(32)),
        pa.field(
            "labels",
            pa.list_(
                pa.struct(
                    [
                        pa.field("attribute", pa.string(), nullable=False),
                        pa.field("value", pa.string(), nullable=False),
                        pa.field("geometry", pa.string(), nullable=False),
                        pa.field("points", pa.list_(pa.float64()), nullable=False),
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)
"""Columns as documented at `trainyard.api.manifest.SnapshotManifest`."""

# A row group is made in memory: of images with many polygons it has fewer rows. Rows are Python
# objects, many times as large, for a batch at a time only.
_ROWS_A_GROUP = 65536
_NUMBERS_A_GROUP = 1_000_000
_ROWS_A_BATCH = 2048


@dataclass(frozen=True)
class Sample:
    """One row. `digest` is raw (32 bytes); the image is `size` bytes at `offset` of its shard."""

    digest: bytes
    name: str
    width: int
    height: int
    shard: int
    offset: int
    size: int
    labels: tuple[Label, ...]
    group: str | None = None
    look: bytes | None = None


def write_samples(samples: Iterable[Sample], path: Path) -> None:
    """Write the samples, which must come sorted by digest; they are read once, as a stream."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in _row_groups(samples):
            writer.write_table(group)


def _row_groups(samples: Iterable[Sample]) -> Iterator[pa.Table]:
    rows: list[dict[str, object]] = []
    batches: list[pa.RecordBatch] = []
    count, numbers = 0, 0
    for sample in samples:
        rows.append(_row(sample))
        count += 1
        # A label's words weigh about as much as the corners of a box.
        numbers += sum(4 + len(label.points) for label in sample.labels)
        full = count == _ROWS_A_GROUP or numbers >= _NUMBERS_A_GROUP
        if full or len(rows) == _ROWS_A_BATCH:
            batches.append(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
            rows = []
        if full:
            yield pa.Table.from_batches(batches)
            batches, count, numbers = [], 0, 0
    if rows:
        batches.append(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    if batches:
        yield pa.Table.from_batches(batches)


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples in their order, read a batch at a time."""
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                labels = tuple(
                    Label(item["attribute"], item["value"], item["geometry"], tuple(item["points"]))
                    for item in row.pop("labels")
                )
                yield Sample(labels=labels, **row)


class Tally:
    """What a snapshot says about its samples, found out while they pass by.

    The samples must come sorted by digest.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.annotations = 0
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        self._classes: Counter[tuple[str, str]] = Counter()

    def over(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The same samples, counted one by one as they are taken."""
        for sample in samples:
            self.add(sample)
            yield sample

    def add(self, sample: Sample) -> None:
        """Count one."""
        self.samples += 1
        self.annotations += len(sample.labels)
        self.size_bytes += sample.size
        self._classes.update((label.attribute, label.value) for label in sample.labels)
        labels = [[x.attribute, x.value, x.geometry, list(x.points)] for x in sample.labels]
        line = [sample.digest.hex(), sample.group, labels]
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        self._digest.update(text.encode() + b"\n")

    @property
    def digest(self) -> str:
        """SHA-256 over images, groups and labels.

        Names, sizes and the packing have no part in it: the same labelled images give the same
        digest wherever they were read from.
        """
        return self._digest.hexdigest()

    @property
    def class_count(self) -> int:
        """Number of classes so far."""
        return len(self._classes)

    @property
    def classes(self) -> list[tuple[str, str, int]]:
        """(attribute, value, number of annotations), sorted."""
        counts = sorted(self._classes.items())
        return [(attribute, value, count) for (attribute, value), count in counts]


def digest_of(samples: Iterable[Sample]) -> str:
    """`Tally.digest` of samples that come sorted by digest."""
    tally = Tally()
    for sample in samples:
        tally.add(sample)
    return tally.digest


def _row(sample: Sample) -> dict[str, object]:
    return {
        "digest": sample.digest,
        "name": sample.name,
        "group": sample.group,
        "width": sample.width,
        "height": sample.height,
        "shard": sample.shard,
        "offset": sample.offset,
        "size": sample.size,
        "look": sample.look,
        "labels": [
            {
                "attribute": label.attribute,
                "value": label.value,
                "geometry": label.geometry,
                "points": list(label.points),
            }
            for label in sample.labels
        ],
    }
