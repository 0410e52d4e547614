"""Comparisons of splits: once for the same snapshots, one at a time, and errors become facts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import dataset, snapshot_status
from tests.unit.snapshots import Snapshots, grouped, sample
from trainyard.api.comparison import Comparison, SharedGroups, SplitContent, SplitPair
from trainyard.api.dataset import Dataset
from trainyard.api.process import Splits
from trainyard.api.reasons import Reason
from trainyard.cluster import artefacts
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.datasets.labels import Label
from trainyard.datasets.samples import Sample
from trainyard.decide.facts import Unavailable
from trainyard.stores.errors import (
    AccessDenied,
    BucketNotFound,
    DigestMismatch,
    StoreError,
    StoreUnavailable,
)
from trainyard.stores.folder import FolderStore

SPLITS = Splits(train=("train",), dev=("dev",))


class Counting(FolderStore):
    """A store that counts what is read, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.fails: StoreError | None = None

    def read_bytes(self, uri: str, *arguments: Any, **more: Any) -> bytes:
        if self.fails is not None:
            raise self.fails
        self.read.append(uri)
        return super().read_bytes(uri, *arguments, **more)


class World:
    def __init__(self, folder: Path) -> None:
        self.store = Counting()
        self.snapshots = Snapshots(self.store, f"file://{folder}/objects", folder)
        self.reader = ArtefactReader(self.store)
        self.datasets: dict[str, Dataset] = {}

    def dataset(self, name: str, *samples: Sample, digest: str) -> None:
        """A ready Dataset with a snapshot of the samples."""
        snapshot = snapshot_status(digest * 64) | {"uri": self.snapshots.make(samples)}
        self.datasets[name] = dataset(name, snapshot=snapshot)

    def compare(self, splits: Splits = SPLITS) -> Comparison | Unavailable:
        return self.reader.comparison(splits, self.datasets)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.dataset("train", *grouped(a="p", b="q"), digest="a")
    made.dataset("dev", *grouped(c="p"), digest="b")
    yield made


def test_splits_are_compared_by_their_snapshots(world: World) -> None:
    assert world.compare() == Comparison(
        {"train": SplitContent(2), "dev": SplitContent(1)},
        (SplitPair("train", "dev", groups=SharedGroups(1, (1, 1), ("p",))),),
    )


def test_the_same_snapshots_are_read_once(world: World) -> None:
    first = world.compare()
    read = len(world.store.read)
    # By their content: another Dataset may have it too.
    again = {"t2": world.datasets["train"], "d2": world.datasets["dev"]}
    assert world.reader.comparison(Splits(train=("t2",), dev=("d2",)), again) == first
    assert len(world.store.read) == read
    world.dataset("dev", sample("other"), digest="c")
    assert world.compare() != first


def test_the_same_datasets_in_other_splits_are_compared_anew(world: World) -> None:
    first = world.compare()
    assert world.compare(Splits(train=("dev",), dev=("train",))) != first


def test_a_store_that_does_not_answer_is_asked_again(world: World) -> None:
    waits = "waiting for the store to compare the splits"
    for error, reason, remedy in (
        (StoreUnavailable("no answer"), Reason.STORE_UNAVAILABLE, ""),
        (
            AccessDenied("it refuses"),
            Reason.STORE_ACCESS_DENIED,
            "; correct the keys in the operator's own Secret (store.existingSecret)",
        ),
        *(
            (error, Reason.STORE_CONTENT_UNUSABLE, f"; {Reason.STORE_CONTENT_UNUSABLE.remedy}")
            for error in (BucketNotFound("no bucket"), DigestMismatch("changed"))
        ),
    ):
        world.store.fails = error
        assert world.compare() == Unavailable(f"{waits}: {error}{remedy}", reason)
    world.store.fails = None
    assert isinstance(world.compare(), Comparison)


def test_one_comparison_at_a_time_and_who_waits_too_long_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "PATIENCE_SECONDS", 0.05)
    begun, go_on = threading.Event(), threading.Event()
    real = artefacts.compare_splits

    def slow(*arguments: Any) -> Comparison:
        begun.set()
        assert go_on.wait(10)
        return real(*arguments)

    monkeypatch.setattr(artefacts, "compare_splits", slow)
    thread = threading.Thread(target=world.compare)
    thread.start()
    assert begun.wait(10)
    found = world.compare(Splits(train=("dev",), dev=("train",)))
    go_on.set()
    thread.join()
    assert found == Unavailable(
        "waiting for the splits of another process to be compared", Reason.COMPARING_SPLITS
    )
    assert isinstance(world.compare(Splits(train=("dev",), dev=("train",))), Comparison)


def test_what_is_remembered_is_bounded_by_its_classes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "REMEMBERED_CLASSES", 5)
    labels = tuple(Label("class", f"v{number}", "image") for number in range(3))
    names = ("one", "two", "three")
    for digest, name in zip("cde", names, strict=True):
        world.dataset(name, sample(name, labels=labels), digest=digest)

    def reads(name: str) -> int:
        before = len(world.store.read)
        world.compare(Splits(train=(name,), dev=("dev",)))
        return len(world.store.read) - before

    assert [reads(name) for name in names] == [2, 2, 2]
    assert [reads("three"), reads("one")] == [0, 2]
