"""Reading snapshots from the store."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from trainyard.api.documents import first_problem
from trainyard.api.manifest import SNAPSHOT_NAME, SnapshotManifest
from trainyard.stores.base import Store, join
from trainyard.stores.errors import StoreError


def read_snapshot(store: Store, uri: str) -> SnapshotManifest:
    """The description of the snapshot in the folder `uri`.

    Raises
    ------
    StoreError
        If there is none, or it is not valid.
    """
    place = join(uri, SNAPSHOT_NAME)
    data = store.read_bytes(place)
    try:
        return SnapshotManifest.model_validate_json(data)
    except ValidationError as error:
        raise StoreError(f"{place} is no snapshot: {first_problem(error)}") from None


def download_samples(store: Store, uri: str, path: Path) -> SnapshotManifest:
    """Fetch and verify a snapshot's manifest.parquet to `path`; returns the description."""
    snapshot = read_snapshot(store, uri)
    store.download(join(uri, snapshot.manifest.name), path, snapshot.manifest.sha256)
    return snapshot
