import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainyard.api.manifest import SnapshotManifest
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.splits import Overlap, split_overlap
from trainyard.stores import DigestMismatch, Store, StoreError, join


def make(store: Store, folder: str, tmp_path: Path, names: dict[str, str]) -> str:
    """A snapshot of samples by name -> content."""
    rows = sorted((hashlib.sha256(text.encode()).digest(), name) for name, text in names.items())
    table = pa.table(
        {
            "digest": pa.array([digest for digest, _ in rows], pa.binary(32)),
            "name": [name for _, name in rows],
        }
    )
    path = tmp_path / "manifest.parquet"
    pq.write_table(table, path, row_group_size=2)
    stored = store.upload(path, join(folder, "manifest.parquet"))
    snapshot = SnapshotManifest(
        digest="d" * 64,
        samples=len(rows),
        annotations=0,
        classes=(),
        size_bytes=1,
        manifest=stored,
        shards=(),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    store.write_bytes(
        join(folder, "snapshot.json"), snapshot.model_dump_json(by_alias=True).encode()
    )
    return folder


def test_disjoint_snapshots_share_nothing(store: Store, place: str, tmp_path: Path) -> None:
    train = make(store, join(place, "train"), tmp_path, {"a": "1", "b": "2"})
    dev = make(store, join(place, "dev"), tmp_path, {"a": "3"})
    assert split_overlap(store, [train], [dev]) == Overlap(0)
    assert split_overlap(store, [train], []) == Overlap(0)


def test_shared_images_are_counted_once_and_named_on_both_sides(
    store: Store, place: str, tmp_path: Path
) -> None:
    train = make(store, join(place, "t1"), tmp_path, {"a": "1", "b": "2", "c": "3"})
    more = make(store, join(place, "t2"), tmp_path, {"again": "2", "d": "4"})
    dev = make(store, join(place, "d1"), tmp_path, {"x": "2", "y": "9"})
    other = make(store, join(place, "d2"), tmp_path, {"z": "4", "x2": "2"})
    overlap = split_overlap(store, [train, more], [dev, other])
    assert overlap.count == 2
    assert set(overlap.examples) == {("b", "x"), ("d", "z")}


def test_at_most_five_examples_are_named(store: Store, place: str, tmp_path: Path) -> None:
    names = {f"n{index}": str(index) for index in range(20)}
    train = make(store, join(place, "train"), tmp_path, names)
    overlap = split_overlap(store, [train], [train])
    assert overlap.count == 20
    assert len(overlap.examples) == 5
    assert all(first == second for first, second in overlap.examples)


def test_a_manifest_that_was_changed_is_refused(store: Store, place: str, tmp_path: Path) -> None:
    train = make(store, join(place, "train"), tmp_path, {"a": "1"})
    store.write_bytes(join(train, "manifest.parquet"), b"other")
    with pytest.raises(DigestMismatch, match=r"manifest\.parquet"):
        split_overlap(store, [train], [train])


def test_what_is_no_snapshot_is_named(store: Store, place: str) -> None:
    store.write_bytes(join(place, "snapshot.json"), b"[]")
    with pytest.raises(StoreError, match=r"snapshot\.json is no snapshot"):
        read_snapshot(store, place)
