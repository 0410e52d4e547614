"""Selections of labelled images in the bucket, and snapshots of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.unit.labelled import BUCKET, put
from trainyard.api.dataset import Selection
from trainyard.api.run import SnapshotRunFile
from trainyard.datasets.snapshot import MadeSnapshot, make_snapshot
from trainyard.stores import Store


def selection(prefix: str, kind: str = "folders", **options: Any) -> dict[str, Any]:
    """A selection of what lies below a prefix of the bucket, as a manifest writes it."""
    return {"source": {"s3": {"bucket": BUCKET, "prefix": prefix}}, "format": kind, **options}


def snapshot_run(
    output: str, *selections: Selection | dict[str, Any], **more: Any
) -> SnapshotRunFile:
    """What a snapshot Job is told; `more` by the names of the file's fields."""
    document = {"name": "d", "namespace": "n", "uid": "u", "selections": selections, **more}
    return SnapshotRunFile.model_validate(document | {"output": output})


def snapshot_of(
    store: Any, output: str, *selections: Selection | dict[str, Any], **more: Any
) -> MadeSnapshot:
    """Make a snapshot."""
    return make_snapshot(store, snapshot_run(output, *selections, **more), lambda *_: None)


def snapshot_of_files(
    store: Store, prefix: str, kind: str, files: Mapping[str, bytes | str], **more: Any
) -> str:
    """Put files below a prefix of the bucket; the folder of a snapshot of them."""
    put(store, prefix, files)
    output = f"s3://{BUCKET}/{prefix}-out"
    return snapshot_of(store, output, selection(prefix, kind), **more).location
