"""What snapshots have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainyard.datasets.reading import download_samples
from trainyard.stores.base import Store

EXAMPLES = 5
"""Names that an error shows."""


@dataclass(frozen=True)
class Overlap:
    """Images that two groups of snapshots share.

    Attributes
    ----------
    count
        Number of distinct images (by the digest of their bytes).
    examples
        Up to five of them: the name in the first group, the name in the second.
    """

    count: int
    examples: tuple[tuple[str, str], ...] = ()


def split_overlap(store: Store, first: Sequence[str], second: Sequence[str]) -> Overlap:
    """What the snapshots in the folders `first` and those in `second` have in common.

    Only the digests are read, 32 bytes a sample, and compared column-wise; names are looked up
    for the examples alone.

    Raises
    ------
    StoreError
        If a snapshot cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="trainyard-overlap-") as folder:
        mine = _fetch(store, first, Path(folder) / "first")
        theirs = _fetch(store, second, Path(folder) / "second")
        known = _digests(mine)
        shared: list[pa.Array] = []
        for path in theirs:
            column = _digests([path])
            shared.append(pc.filter(column, pc.is_in(column, value_set=known)))
        if not shared:
            return Overlap(0)
        common = pc.unique(pa.chunked_array([c for part in shared for c in part.chunks], _DIGEST))
        wanted = common.slice(0, EXAMPLES)
        names_mine, names_theirs = _names(mine, wanted), _names(theirs, wanted)
    examples = tuple((names_mine[key], names_theirs[key]) for key in wanted.to_pylist())
    return Overlap(len(common), examples)


_DIGEST = pa.binary(32)


def _fetch(store: Store, uris: Sequence[str], folder: Path) -> list[Path]:
    paths = [folder / f"{index}.parquet" for index in range(len(uris))]
    for uri, path in zip(uris, paths, strict=True):
        download_samples(store, uri, path)
    return paths


def _digests(paths: Sequence[Path]) -> pa.ChunkedArray:
    chunks: list[pa.Array] = []
    for path in paths:
        chunks += pq.read_table(path, columns=["digest"])["digest"].chunks
    return pa.chunked_array(chunks, _DIGEST)


def _names(paths: Sequence[Path], wanted: pa.Array) -> dict[bytes, str]:
    """Names of the samples with the digests `wanted`, read a row group at a time."""
    names: dict[bytes, str] = {}
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["digest", "name"]):
                rows = batch.filter(pc.is_in(batch["digest"], value_set=wanted))
                for digest, name in zip(
                    rows["digest"].to_pylist(), rows["name"].to_pylist(), strict=True
                ):
                    names.setdefault(digest, name)
            if len(names) == len(wanted):
                break
    return names
