"""Putting a finished run into the store: files first, the manifest last."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from trainyard.api.documents import dump_yaml
from trainyard.api.manifest import (
    MANIFEST_NAME,
    ArtefactManifest,
    ArtefactRole,
    SplitMetrics,
    StoredFile,
)
from trainyard.api.metrics import METRICS_NAME
from trainyard.api.report import LastWords
from trainyard.api.run import RUN_FILE, RunFile
from trainyard.stores import ObjectNotFound, PreconditionFailed, Store, StoreError, join
from trainyard_trainer.checkpoint import HISTORY
from trainyard_trainer.engines.base import SplitResult
from trainyard_trainer.faults import ArtefactUploadFailed

WEIGHTS = "model.pth"
CONFIG = "config.yaml"
ARCHIVE = "model.zip"
ONNX = "model.onnx"
TORCHSCRIPT = "model.torchscript"
METRICS = METRICS_NAME
EPOCHS = HISTORY
CURVES = "curves.png"
CONFUSION = "confusion.png"
PRECISION_RECALL = "pr-curves.png"
PREDICTIONS = "predictions.png"
AUGMENTED = "batch.png"
LOG = "train.log"

ROLES = {
    ArtefactRole.WEIGHTS: WEIGHTS,
    ArtefactRole.CONFIG: CONFIG,
    ArtefactRole.ARCHIVE: ARCHIVE,
    ArtefactRole.ONNX: ONNX,
    ArtefactRole.TORCHSCRIPT: TORCHSCRIPT,
    ArtefactRole.METRICS: METRICS,
    ArtefactRole.CURVES: CURVES,
    ArtefactRole.CONFUSION: CONFUSION,
    ArtefactRole.PRECISION_RECALL: PRECISION_RECALL,
    ArtefactRole.PREDICTIONS: PREDICTIONS,
    ArtefactRole.AUGMENTED: AUGMENTED,
    ArtefactRole.RUN: RUN_FILE,
    ArtefactRole.LOG: LOG,
}
"""What the files are that a run may leave; the manifest names those that it left."""

# The date of every member, so that the same files give the same archive.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

_log = logging.getLogger("trainyard")


def write_archive(path: Path, members: Sequence[Path]) -> None:
    """A zip of files; the same files give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member.name, _ZIP_DATE), member.read_bytes())


def write_run(path: Path, run: RunFile) -> None:
    """run.yaml as the trainer was given it: the recipe as resolved. It holds no credential."""
    path.write_text(dump_yaml(run.to_wire()), encoding="utf-8")


def split_metrics(result: SplitResult) -> SplitMetrics:
    """The short form for manifest and config."""
    return SplitMetrics(
        metrics={name: round(value, 6) for name, value in result.metrics.items()},
        samples=result.samples,
    )


def already_published(store: Store, run: RunFile) -> LastWords | None:
    """The last words of this very run, if it is in the store already.

    That is so, for example, when the reply to the last request of an earlier container was lost.

    Raises
    ------
    ArtefactUploadFailed
        If another run is there.
    """
    uri = join(run.output, MANIFEST_NAME)
    try:
        data = store.read_bytes(uri)
    except ObjectNotFound:
        return None
    try:
        manifest = ArtefactManifest.model_validate_json(data)
    except ValidationError:
        manifest = None
    if manifest is None or manifest.run_digest != run.digest:
        raise ArtefactUploadFailed(f"{uri} is the manifest of another run: give another output")
    return _last_words(run, data, manifest)


def is_published(store: Store, run: RunFile) -> bool:
    """Whether a finished run is in the place of this one: its files are not to be touched.

    Raises
    ------
    StoreError
        If the store does not answer.
    """
    return store.stat(join(run.output, MANIFEST_NAME)) is not None


def upload(store: Store, run: RunFile, files: Sequence[Path]) -> list[StoredFile]:
    """Upload the artefacts; without a manifest they count for nothing yet.

    Parameters
    ----------
    store, run
        Where to, and what the run was.
    files
        All artefacts; train.log last, for nothing is added to it afterwards.

    Raises
    ------
    ArtefactUploadFailed
        If the store does not take a file.
    """
    try:
        return [store.upload(path, join(run.output, path.name)) for path in files]
    except StoreError as error:
        raise ArtefactUploadFailed(f"the artefacts could not be stored: {error}") from None


def finish(
    store: Store,
    run: RunFile,
    stored: Sequence[StoredFile],
    primary: str,
    results: dict[str, SplitResult],
    epochs: int,
) -> LastWords:
    """Write the manifest: the run is published.

    Parameters
    ----------
    store, run
        Where to, and what the run was.
    stored
        All artefacts, as they were uploaded.
    primary
        Name of the primary metric.
    results
        By split: dev and perhaps test.
    epochs
        Epochs trained, over all attempts.

    Raises
    ------
    ArtefactUploadFailed
        If the store does not take it, or another run is there.
    """
    names = {file.name for file in stored}
    manifest = ArtefactManifest(
        uid=run.uid,
        attempt=run.attempt,
        run_digest=run.digest,
        fingerprint=run.fingerprint,
        files=tuple(stored),
        roles={role: name for role, name in ROLES.items() if name in names},
        primary_metric=primary,
        dev=split_metrics(results["dev"]),
        test=split_metrics(results["test"]) if "test" in results else None,
        epochs_trained=epochs,
        created_at=datetime.now(UTC),
    )
    document = json.dumps(manifest.to_wire(), indent=2, ensure_ascii=False).encode()
    try:
        store.write_bytes(join(run.output, MANIFEST_NAME), document, if_absent=True)
    except PreconditionFailed:
        raise ArtefactUploadFailed(
            f"{join(run.output, MANIFEST_NAME)} was written by another run meanwhile"
        ) from None
    except StoreError as error:
        raise ArtefactUploadFailed(f"the artefacts could not be stored: {error}") from None
    return _last_words(run, document, manifest)


def upload_log(store: Store, run: RunFile, path: Path) -> None:
    """Keep the log of a failed run, if the store answers; a finished run's log is left alone."""
    try:
        if not is_published(store, run):
            store.upload(path, join(run.output, LOG))
    except (StoreError, OSError) as error:
        _log.warning("the log cannot be stored: %s", error)


def _last_words(run: RunFile, document: bytes, manifest: ArtefactManifest) -> LastWords:
    name = manifest.primary_metric
    value = (manifest.test or manifest.dev).metrics.get(name, 0.0)
    split = "test" if manifest.test else "dev"
    return LastWords(
        reason="Succeeded",
        message=f"{name} {value:.4f} on {split}, {manifest.epochs_trained} epochs",
        manifest_sha256=hashlib.sha256(document).hexdigest(),
        location=run.output,
    )
