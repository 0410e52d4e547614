"""The columns of manifests that say which samples these are, a batch of rows at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from trainyard.api.comparison import LabelCount
from trainyard.datasets.parquet import open_parquet

ROWS_AT_ONCE = 1 << 16
_LABELS_AT_ONCE = 1 << 14

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Rows:
    """Consecutive rows.

    Attributes
    ----------
    start
        Number of the first among all rows of the split.
    keys
        uint64 [N, 2]: the first 128 bits of the SHA-256 of the image bytes. Two images that agree
        in them and are not the same do not exist.
    groups
        Strings or nulls.
    looks
        uint64 [N, 4]: see `trainyard.datasets.images.look_of`.
    looked
        bool [N]: whether there is one.
    """

    start: int
    keys: Words
    groups: pa.Array
    looks: Words
    looked: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)


class SplitFiles:
    """The manifests of one split, as one long table.

    Parameters
    ----------
    paths
        Each snapshot's manifest.parquet on this machine.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._ends = list(accumulate(pq.read_metadata(path).num_rows for path in self._paths))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def united(self) -> bool:
        """Whether it has several snapshots, so that an image may be there more than once."""
        return len(self._paths) > 1

    def rows(self) -> Iterator[Rows]:
        """All rows in their order."""
        start = 0
        for path in self._paths:
            with open_parquet(path) as file:
                # Snapshots made by earlier versions know no looks.
                known = set(file.schema_arrow.names)
                columns = [name for name in ("digest", "group", "look") if name in known]
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False):
                    yield _rows(start, batch)
                    start += len(batch)

    def name(self, row: int) -> str:
        """The name of the sample in a row."""
        index = bisect_right(self._ends, row)
        row -= self._ends[index - 1] if index else 0
        with open_parquet(self._paths[index]) as file:
            for number in range(file.num_row_groups):
                count = file.metadata.row_group(number).num_rows
                if row < count:
                    return str(file.read_row_group(number, ["name"])["name"][row])
                row -= count
        raise IndexError(row)

    def labels(self) -> tuple[LabelCount, ...]:
        """Number of annotations by attribute, value and geometry, sorted."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for path in self._paths:
            with open_parquet(path) as file:
                for batch in file.iter_batches(
                    _LABELS_AT_ONCE, columns=_label_columns(file), use_threads=False
                ):
                    for attribute, value, geometry, count in _count(batch):
                        counts[attribute, value, geometry] += count
        return tuple(LabelCount(*key, count) for key, count in sorted(counts.items()))


def _rows(start: int, batch: pa.RecordBatch) -> Rows:
    keys, _ = _words(batch["digest"])
    if "look" in batch.schema.names:
        looks, looked = _words(batch["look"])
    else:
        looks = np.zeros((len(batch), 4), np.uint64)
        looked = np.zeros(len(batch), np.bool_)
    # Big-endian, so that they sort as the digests do, and rows come sorted.
    keys = np.ascontiguousarray(keys[:, :2]).byteswap()
    return Rows(start, keys, batch["group"], looks, looked)


def _words(column: pa.Array) -> tuple[Words, npt.NDArray[np.bool_]]:
    """The 32 bytes of each row as uint64 [N, 4], and whether they are there."""
    valid = np.asarray(column.is_valid())
    end = column.offset + len(column)
    words = np.frombuffer(column.buffers()[1], np.uint64, 4 * end).reshape(-1, 4)
    return words[column.offset :], valid


def _label_columns(file: pq.ParquetFile) -> list[str]:
    """Without the points, which are nearly all of it; how lists nest depends on who wrote them."""
    paths = [file.schema.column(index).path for index in range(len(file.schema))]
    wanted = ("attribute", "value", "geometry")
    return [
        path for path in paths if path.startswith("labels.") and path.rpartition(".")[2] in wanted
    ]


def _count(batch: pa.RecordBatch) -> Iterator[tuple[str, str, str, int]]:
    labels = batch["labels"].flatten()
    table = pa.table({name: labels.field(name) for name in ("attribute", "value", "geometry")})
    found = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
    yield from zip(*(found[name].to_pylist() for name in found.column_names), strict=True)
