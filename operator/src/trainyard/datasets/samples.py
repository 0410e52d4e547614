"""manifest.parquet: one row a sample, sorted by digest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainyard.datasets.labels import Label

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

_ROWS_A_GROUP = 65536


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


def write_samples(samples: Sequence[Sample], path: Path) -> None:
    """Write the samples, which must be sorted by digest."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(samples), _ROWS_A_GROUP):
            rows = [_row(sample) for sample in samples[start : start + _ROWS_A_GROUP]]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples in their order, read a batch at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                labels = tuple(
                    Label(item["attribute"], item["value"], item["geometry"], tuple(item["points"]))
                    for item in row.pop("labels")
                )
                yield Sample(labels=labels, **row)


def digest_of(samples: Sequence[Sample]) -> str:
    """SHA-256 over images, groups and labels, sorted by image digest.

    Names, sizes and the packing have no part in it: the same labelled images give the same
    digest wherever they were read from.
    """
    digest = hashlib.sha256()
    for sample in samples:
        labels = [[x.attribute, x.value, x.geometry, list(x.points)] for x in sample.labels]
        line = [sample.digest.hex(), sample.group, labels]
        digest.update(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def count_classes(samples: Sequence[Sample]) -> list[tuple[str, str, int]]:
    """(attribute, value, number of annotations), sorted."""
    counts = Counter((label.attribute, label.value) for s in samples for label in s.labels)
    return [(attribute, value, count) for (attribute, value), count in sorted(counts.items())]


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
