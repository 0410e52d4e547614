"""Snapshots of Datasets on this machine, made by the code of the snapshot Job."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass

from pydantic import ValidationError

from trainyard.api._base import Sha256, StrictModel
from trainyard.api.dataset import Dataset, DatasetPhase, DatasetStatus
from trainyard.api.manifest import SNAPSHOT_NAME, SnapshotManifest
from trainyard.api.report import Stage
from trainyard.api.run import SnapshotRunFile
from trainyard.cli.counting import counted
from trainyard.cli.errors import CommandError
from trainyard.cli.local.sources import Folders
from trainyard.cli.output import note
from trainyard.datasets.errors import BadData
from trainyard.datasets.parts import parts_key
from trainyard.datasets.snapshot import make_snapshot
from trainyard.datasets.source import Source
from trainyard.datasets.volumes import local_uri
from trainyard.decide.dataset import snapshot_root, snapshot_status
from trainyard.decide.display import size
from trainyard.stores import ObjectNotFound, Store, StoreError, join

RECORDS = "made"
"""Folder beside the snapshots with what each was made of."""


class Record(StrictModel):
    """What a snapshot was made of."""

    key: Sha256
    """Of the selections and the listings of their sources."""
    location: str
    """Where it is."""


@dataclass(frozen=True)
class Snapshots:
    """Makes snapshots, and makes none anew whose files have not changed.

    Attributes
    ----------
    store
        Reads the sources, and keeps the snapshots.
    root
        `file://` URI of everything that is kept.
    namespace
        Part of the places.
    folders
        Stand for claims and buckets.
    """

    store: Store
    root: str
    namespace: str
    folders: Folders

    def of_all(self, datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
        """Each with its snapshot; raises as `of`."""
        return {name: self.of(dataset) for name, dataset in datasets.items()}

    def of(self, dataset: Dataset) -> Dataset:
        """The dataset with its snapshot, as the operator would keep it.

        Raises
        ------
        CommandError
            If it is a draft, or its data cannot be used.
        """
        name, spec = dataset.metadata.name, dataset.spec
        if spec.suspend:
            raise CommandError(f"Dataset {name} is a draft: set spec.suspend to false to use it")
        output = snapshot_root(self.root, self.namespace)
        run = SnapshotRunFile(
            name=name,
            namespace=self.namespace,
            uid=name,
            selections=spec.selections,
            group_by=spec.group_by,
            output=output,
        ).sealed()
        try:
            key = self._key(run)
            record = join(output, RECORDS, f"{name}.json")
            location = self._made(record, key)
            if location is None:
                location = self._make(run)
                made = Record(key=key, location=location)
                self.store.write_bytes(record, made.model_dump_json(by_alias=True).encode())
            manifest = SnapshotManifest.model_validate_json(
                self.store.read_bytes(join(location, SNAPSHOT_NAME))
            )
        except (BadData, StoreError) as error:
            raise CommandError(f"Dataset {name}: {error}") from None
        note(
            f"Dataset {name}: {manifest.samples} images, {manifest.annotations} labels, "
            f"{size(manifest.size_bytes)}"
        )
        status = DatasetStatus(
            phase=DatasetPhase.READY, snapshot=snapshot_status(location, manifest)
        )
        return dataset.model_copy(update={"status": status})

    def _mount(self, run: SnapshotRunFile, index: int) -> str:
        volume = run.selections[index].source.volume
        if volume is None:
            raise ValueError(f"selection {index} of {run.name} lies on no volume")
        return str(self.folders.claims[volume.claim_name])

    def _key(self, run: SnapshotRunFile) -> str:
        """Another one if a file came, went or changed."""
        with ExitStack() as stack:
            listings = []
            for index, selection in enumerate(run.selections):
                uri = local_uri(
                    index, selection, lambda place: self._mount(run, place), self.folders.buckets
                )
                source = Source(self.store, selection, uri=uri, group_by=run.group_by)
                listings.append(stack.enter_context(closing(source)).listing_digest)
            return parts_key(run, listings)

    def _made(self, record: str, key: str) -> str | None:
        try:
            known = Record.model_validate_json(self.store.read_bytes(record))
        except (ObjectNotFound, ValidationError):
            return None
        there = self.store.stat(join(known.location, SNAPSHOT_NAME)) is not None
        return known.location if there and known.key == key else None

    def _make(self, run: SnapshotRunFile) -> str:
        with counted(f"Dataset {run.name}: reading", 100, "%") as advance:
            before = 0

            def say(stage: Stage, percent: float, message: str) -> None:  # noqa: ARG001
                nonlocal before
                advance(int(percent) - before)
                before = int(percent)

            return make_snapshot(
                self.store,
                run,
                say,
                mounts=lambda index: self._mount(run, index),
                buckets=self.folders.buckets,
            ).location
