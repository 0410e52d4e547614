"""manifest.json and snapshot.json: written last, they say that everything before is there."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from trainyard.api._base import Sha256, StrictModel
from trainyard.api.dataset import ClassCount, RefusedCount
from trainyard.api.report import Metrics

MANIFEST_NAME = "manifest.json"
SNAPSHOT_NAME = "snapshot.json"
SAMPLES_NAME = "manifest.parquet"
CHECKPOINTS_FOLDER = "checkpoints"
"""Below the output of an attempt; one folder a checkpoint, named after its epoch (`000012`)."""
CHECKPOINT_NAME = "checkpoint.json"

FileName = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._/-]*$")
]


class StoredFile(StrictModel):
    """One file beside the manifest."""

    name: FileName
    """Path relative to the manifest's folder."""
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class ArtefactRole(StrEnum):
    """What a file of a finished run is; the keys of `status.artefacts`."""

    WEIGHTS = "weights"
    CONFIG = "config"
    ARCHIVE = "archive"
    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    METRICS = "metrics"
    CURVES = "curves"
    CONFUSION = "confusion"
    PRECISION_RECALL = "precisionRecall"
    PREDICTIONS = "predictions"
    AUGMENTED = "augmented"
    RUN = "run"
    LOG = "log"


class SplitMetrics(StrictModel):
    """Metrics on one split."""

    metrics: Metrics
    samples: int
    """Number of images."""


class ArtefactManifest(StrictModel):
    """manifest.json of a finished run: written last, with `If-None-Match: *`."""

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["ArtefactManifest"] = "ArtefactManifest"
    uid: str
    """UID of the TrainingProcess."""
    attempt: int
    run_digest: Sha256
    """Digest of the run.yaml."""
    fingerprint: str
    files: tuple[StoredFile, ...]
    """Every file of the run."""
    roles: dict[ArtefactRole, str]
    """Names of the files that status.artefacts points to."""
    primary_metric: str
    """For example mAP50-95 or top-1."""
    dev: SplitMetrics
    test: SplitMetrics | None = None
    epochs_trained: int
    created_at: datetime


class CheckpointManifest(StrictModel):
    """checkpoint.json of a checkpoint: written last, with `If-None-Match: *`.

    It lies in `OUTPUT/checkpoints/EPOCH/`, EPOCH with six digits, beside the files it names.
    """

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["CheckpointManifest"] = "CheckpointManifest"
    uid: str
    """UID of the TrainingProcess."""
    attempt: int
    """The attempt that wrote it."""
    fingerprint: str
    epoch: Annotated[int, Field(ge=1)]
    """Epochs done: the next attempt goes on with the one after it."""
    epochs: Annotated[int, Field(ge=1)]
    """Epochs in all."""
    files: tuple[StoredFile, ...]
    """Everything that is needed to go on."""
    created_at: datetime


class SnapshotManifest(StrictModel):
    """snapshot.json of a snapshot: written last.

    Beside it lies the file `manifest` (`manifest-<16 digits of its SHA-256>.parquet`), one row a
    sample, sorted by digest:

    ======== ======================= ====================================================
    column   type                    meaning
    ======== ======================= ====================================================
    digest   fixed_size_binary[32]   SHA-256 of the image bytes
    name     string                  path in the source, for people
    group    string, nullable        samples of one group are never spread over splits
    width    int32                   pixels, after EXIF orientation
    height   int32                   pixels, after EXIF orientation
    shard    int32                   index into `shards`
    offset   int64                   of the image's bytes in the shard, in bytes
    size     int64                   of the image's bytes
    look     fixed_size_binary[32],  difference hash of 16 x 16 places of the upright image in
             nullable                grey: few bits differ between images that look alike
    labels   list<struct>            attribute, value, geometry (`image`, `box`, `polygon`),
                                     points list<float64>: box x_min y_min x_max y_max, or
                                     polygon x y x y ..., all 0..1 of width and height
    ======== ======================= ====================================================

    Shards are uncompressed tar files, named by their SHA-256 under `shards/` of the folder
    above the snapshot's, so that snapshots of one namespace share them.
    """

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["SnapshotManifest"] = "SnapshotManifest"
    digest: Sha256
    """SHA-256 over samples and labels, independent of the packing."""
    samples: Annotated[int, Field(ge=1)]
    annotations: Annotated[int, Field(ge=0)]
    classes: tuple[ClassCount, ...]
    size_bytes: Annotated[int, Field(ge=0)]
    refused: tuple[RefusedCount, ...] = ()
    manifest: StoredFile
    """The samples, as a Parquet file."""
    shards: tuple[StoredFile, ...]
    """Names relative to the folder above the snapshot's."""
    created_at: datetime
