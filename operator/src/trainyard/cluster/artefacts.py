"""What the store says, as facts: verified artefacts and snapshots, evaluations, compared splits."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from trainyard.api.comparison import Comparison, SplitName
from trainyard.api.dataset import Dataset
from trainyard.api.documents import first_problem
from trainyard.api.evaluation import (
    EVALUATION_BYTES,
    EVALUATIONS_LISTED,
    EvaluationFile,
    evaluations_folder,
)
from trainyard.api.manifest import SNAPSHOT_NAME, SnapshotManifest
from trainyard.api.process import Splits
from trainyard.api.reasons import Reason
from trainyard.datasets.splits import compare_splits
from trainyard.decide.facts import (
    FoundEvaluations,
    Mismatch,
    Unavailable,
    VerifiedArtefacts,
    VerifiedCheckpoint,
    VerifiedSnapshot,
)
from trainyard.stores.base import ObjectInfo, Store, join
from trainyard.stores.errors import (
    AccessDenied,
    ArtefactMismatch,
    DigestMismatch,
    InvalidUri,
    ObjectNotFound,
    ObjectTooLarge,
    StoreError,
)
from trainyard.stores.verify import newest_checkpoint, verify_manifest

REMEMBERED = 1024
"""Comparisons that are kept in memory; snapshots never change, so they stay true."""
REMEMBERED_CLASSES = 100_000
"""Counts of classes in all of them together, about 200 bytes each."""
PATIENCE_SECONDS = 2.0
"""How long a pass waits for its turn to compare splits, before it comes back later."""


class ArtefactReader:
    """Reads the store on behalf of decisions; its errors become facts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._comparing = threading.Lock()
        self._compared: OrderedDict[tuple[str, ...], Comparison] = OrderedDict()

    def verify(
        self, location: str, manifest_sha256: str | None
    ) -> VerifiedArtefacts | Mismatch | Unavailable:
        """Whether every file of a finished run is what its manifest states."""
        try:
            manifest = verify_manifest(self._store, location, manifest_sha256)
        except (ArtefactMismatch, InvalidUri, ObjectTooLarge) as error:
            # None of them mends by itself.
            return Mismatch(f"{error}: create a new process to train again")
        except StoreError as error:
            return _unavailable("the artefacts cannot be verified yet", error)
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
            return _unavailable("the checkpoint cannot be verified yet", error)
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
            return _unavailable("the snapshot cannot be verified yet", error)
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            return Mismatch(f"{uri} is not what the snapshot Job wrote")
        try:
            return VerifiedSnapshot(location, SnapshotManifest.model_validate_json(data))
        except ValidationError as error:
            return Mismatch(f"{uri} is no snapshot: {first_problem(error)}")

    def evaluations(self, location: str) -> FoundEvaluations | Unavailable:
        """The evaluations of the model whose files lie at `location`.

        Files are looked at in the order of their names, no more than a status has room for.
        """
        folder = evaluations_folder(location)
        files: list[EvaluationFile] = []
        unusable: list[str] = []
        try:
            entries = list(itertools.islice(self._store.list(folder), EVALUATIONS_LISTED + 1))
            for entry in entries[:EVALUATIONS_LISTED]:
                try:
                    files.append(self._evaluation(entry))
                except ArtefactMismatch as error:
                    unusable.append(str(error))
        except StoreError as error:
            return _unavailable("the evaluations cannot be read yet", error)
        return FoundEvaluations(
            tuple(files), tuple(unusable), more=len(entries) > EVALUATIONS_LISTED
        )

    def _evaluation(self, entry: ObjectInfo) -> EvaluationFile:
        """The evaluation in a file.

        Raises
        ------
        ArtefactMismatch
            If it holds none; one sentence.
        """
        try:
            data = self._store.read_bytes(entry.uri, EVALUATION_BYTES)
            found = EvaluationFile.model_validate_json(data)
        except (ObjectTooLarge, ObjectNotFound) as error:
            raise ArtefactMismatch(str(error)) from None
        except ValidationError as error:
            raise ArtefactMismatch(
                f"{entry.name} is no evaluation: {first_problem(error)}"
            ) from None
        if entry.name != f"{found.plan}.json":
            raise ArtefactMismatch(
                f"{entry.name} is the evaluation of the plan {found.plan}: call it "
                f"{found.plan}.json"
            )
        return found

    def comparison(self, splits: Splits, datasets: dict[str, Dataset]) -> Comparison | Unavailable:
        """What the snapshots of ready datasets hold and have in common.

        Read once for the same snapshots. One comparison at a time: each holds memory for the
        samples of dev and test, and takes seconds for millions of them.
        """

        def each(value: Callable[[Dataset], str], names: Sequence[str]) -> list[str]:
            return [value(datasets[name]) for name in names]

        named: dict[SplitName, Sequence[str]] = {
            "train": splits.train,
            "dev": splits.dev,
            "test": splits.test,
        }
        key = tuple(",".join(sorted(each(_digest, names))) for names in named.values())
        known = self._remembered(key)
        if known is not None:
            return known
        if not self._comparing.acquire(timeout=PATIENCE_SECONDS):
            return Unavailable(
                "waiting for the splits of another process to be compared", Reason.COMPARING_SPLITS
            )
        try:
            known = self._remembered(key)
            if known is not None:
                return known
            found = compare_splits(
                self._store, {name: each(_uri, names) for name, names in named.items()}
            )
        except StoreError as error:
            return _unavailable("waiting for the store to compare the splits", error)
        finally:
            self._comparing.release()
        self._remember(key, found)
        return found

    def _remembered(self, key: tuple[str, ...]) -> Comparison | None:
        with self._lock:
            known = self._compared.get(key)
            if known is not None:
                self._compared.move_to_end(key)
            return known

    def _remember(self, key: tuple[str, ...], found: Comparison) -> None:
        with self._lock:
            self._compared[key] = found
            classes = sum(map(_classes, self._compared.values()))
            while len(self._compared) > 1 and (
                len(self._compared) > REMEMBERED or classes > REMEMBERED_CLASSES
            ):
                classes -= _classes(self._compared.popitem(last=False)[1])


def _unavailable(what: str, error: StoreError) -> Unavailable:
    """What cannot be done for now, why, and what to do where time alone does not help."""
    told = f"{what}: {error}"
    if isinstance(error, AccessDenied):
        told += "; correct the keys in the operator's own Secret (store.existingSecret)"
        return Unavailable(told, Reason.STORE_ACCESS_DENIED)
    if isinstance(error, ObjectNotFound | DigestMismatch | ArtefactMismatch):
        reason = Reason.STORE_CONTENT_UNUSABLE
        return Unavailable(f"{told}; {reason.remedy}", reason)
    return Unavailable(told)


def _classes(comparison: Comparison) -> int:
    return sum(len(content.labels) for content in comparison.splits.values())


def _digest(dataset: Dataset) -> str:
    return dataset.status.snapshot.digest if dataset.status.snapshot else ""


def _uri(dataset: Dataset) -> str:
    return dataset.status.snapshot.uri if dataset.status.snapshot else ""
