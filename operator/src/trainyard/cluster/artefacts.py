"""What the store says, as facts: verified artefacts, verified snapshots, overlaps of splits."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from trainyard.api.dataset import Dataset
from trainyard.api.manifest import SNAPSHOT_NAME, SnapshotManifest
from trainyard.api.process import Splits
from trainyard.datasets.splits import split_overlap
from trainyard.decide.facts import (
    Mismatch,
    Overlap,
    Unavailable,
    VerifiedArtefacts,
    VerifiedCheckpoint,
    VerifiedSnapshot,
)
from trainyard.stores.base import Store, join
from trainyard.stores.errors import ArtefactMismatch, ObjectNotFound, StoreError
from trainyard.stores.verify import newest_checkpoint, verify_manifest

REMEMBERED = 1024
"""Overlaps that are kept in memory; snapshots never change, so they stay true."""


class ArtefactReader:
    """Reads the store on behalf of decisions; its errors become facts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._overlaps: OrderedDict[tuple[str, ...], tuple[Overlap, ...]] = OrderedDict()

    def verify(
        self, location: str, manifest_sha256: str | None
    ) -> VerifiedArtefacts | Mismatch | Unavailable:
        """Whether every file of a finished run is what its manifest states."""
        try:
            manifest = verify_manifest(self._store, location, manifest_sha256)
        except ArtefactMismatch as error:
            return Mismatch(f"{error}: create a new process to train again")
        except StoreError as error:
            return Unavailable(f"the artefacts cannot be verified yet: {error}")
        return VerifiedArtefacts(location, manifest)

    def checkpoint(self, output: str, uid: str) -> VerifiedCheckpoint | Unavailable | None:
        """The newest whole checkpoint of an attempt; None if it left none.

        Parameters
        ----------
        output
            Folder of the attempt's artefacts.
        uid
            Of the TrainingProcess.
        """
        try:
            found = newest_checkpoint(self._store, output, uid)
        except StoreError as error:
            return Unavailable(f"the checkpoint cannot be verified yet: {error}")
        if found is None:
            return None
        location, sha256, manifest = found
        return VerifiedCheckpoint(location, sha256, manifest.epoch, manifest.attempt)

    def snapshot(
        self, location: str, sha256: str | None
    ) -> VerifiedSnapshot | Mismatch | Unavailable:
        """The snapshot in a folder, if it is the one that the snapshot Job reported."""
        uri = join(location, SNAPSHOT_NAME)
        try:
            data = self._store.read_bytes(uri)
        except ObjectNotFound:
            return Mismatch(f"{uri} does not exist although the snapshot Job reported it")
        except StoreError as error:
            return Unavailable(f"the snapshot cannot be verified yet: {error}")
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            return Mismatch(f"{uri} is not what the snapshot Job wrote")
        try:
            return VerifiedSnapshot(location, SnapshotManifest.model_validate_json(data))
        except ValidationError as error:
            return Mismatch(f"{uri} is no snapshot: {error.errors()[0]['msg']}")

    def overlaps(
        self, splits: Splits, datasets: dict[str, Dataset]
    ) -> tuple[Overlap, ...] | Unavailable:
        """Images that are in train and in dev, or in train and in test, of ready datasets."""

        def each(value: Callable[[Dataset], str], group: Sequence[str]) -> list[str]:
            return [value(datasets[name]) for name in group]

        key = tuple(
            ",".join(sorted(each(_digest, group)))
            for group in (splits.train, splits.dev, splits.test)
        )
        with self._lock:
            known = self._overlaps.get(key)
            if known is not None:
                self._overlaps.move_to_end(key)
                return known
        found = []
        train = each(_uri, splits.train)
        try:
            for split, group in (("dev", splits.dev), ("test", splits.test)):
                if group:
                    shared = split_overlap(self._store, train, each(_uri, group))
                    if shared.count:
                        found.append(Overlap(split, shared.count, shared.examples))
        except StoreError as error:
            return Unavailable(f"waiting for the store to compare the splits: {error}")
        with self._lock:
            self._overlaps[key] = tuple(found)
            if len(self._overlaps) > REMEMBERED:
                self._overlaps.popitem(last=False)
        return tuple(found)


def _digest(dataset: Dataset) -> str:
    return dataset.status.snapshot.digest if dataset.status.snapshot else ""


def _uri(dataset: Dataset) -> str:
    return dataset.status.snapshot.uri if dataset.status.snapshot else ""
