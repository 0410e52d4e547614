"""run.yaml and snapshot.yaml: what a trainer pod is told to do.

Both are written by the operator (or by the command line) once and never changed. They carry
their own digest, which the trainer verifies before it does anything.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from trainyard.api._base import Name, Sha256, StrictModel
from trainyard.api.capability import CapabilitySpec
from trainyard.api.dataset import Selection
from trainyard.api.documents import DocumentError, digest
from trainyard.api.template import TrainingTemplateSpec

RUN_FILE = "run.yaml"
SNAPSHOT_FILE = "snapshot.yaml"
MOUNT_PATH = "/etc/trainyard"
TOKEN_PATH = "/var/run/trainyard/token"  # noqa: S105 -- where the kubelet puts the token
CACHE_ENV = "TRAINYARD_NODE_CACHE"
"""Folder of the node in which a run keeps what it fetched; unset: nothing is kept."""
CACHE_BYTES_ENV = "TRAINYARD_NODE_CACHE_BYTES"
"""What that folder may hold, in bytes."""

SOURCES_PATH = "/sources"
"""Folder of a snapshot's pod under which the volumes that it reads are mounted."""


def source_mount(index: int) -> str:
    """Where a snapshot's pod has the volume of the selection of that index."""
    return f"{SOURCES_PATH}/{index}"


class StoreLocation(StrictModel):
    """How to reach the object store; credentials come from the environment, never from here."""

    endpoint_url: str | None = None
    """URL of the S3 endpoint; None means the provider's own."""
    region: str = "us-east-1"
    """Region name that requests are signed for."""


class Sealed(StrictModel):
    """A document that carries the digest of everything else in it."""

    digest: str = ""
    """SHA-256 of the document without this field."""

    def sealed(self) -> Self:
        """A copy that carries its digest."""
        return self.model_copy(update={"digest": self._compute()})

    def verify(self, name: str) -> None:
        """Check the digest.

        Raises
        ------
        DocumentError
            If the document is not what was sealed.
        """
        if self.digest != self._compute():
            raise DocumentError(
                f"{name}: the content does not match its digest {self.digest!r}: it was changed "
                "after it was written; create it again"
            )

    def _compute(self) -> str:
        return digest(self.model_copy(update={"digest": ""}))


class SnapshotRef(StrictModel):
    """One snapshot that the run reads."""

    name: Name
    """Name of the Dataset."""
    uri: str
    """Folder of the snapshot: `s3://bucket/prefix` or `file:///path`."""
    digest: Sha256
    """The snapshot's digest."""


class RunSplits(StrictModel):
    """The snapshots by their use."""

    train: tuple[SnapshotRef, ...]
    dev: tuple[SnapshotRef, ...]
    test: tuple[SnapshotRef, ...] = ()


class ProgressTarget(StrictModel):
    """Where reports are sent."""

    url: str
    """Base URL of the operator's progress service; reports go to `{url}/v1/progress`."""
    token_path: str = TOKEN_PATH
    """File with the token that authenticates the pod; read again for each report."""
    interval_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Least time between two reports."""


class ResumeFrom(StrictModel):
    """The checkpoint that an attempt goes on from."""

    location: str
    """Its folder."""
    sha256: Sha256
    """Digest of its checkpoint.json, which states the digests of the other files."""
    epoch: Annotated[int, Field(ge=1)]
    """Epochs that are done and not done again."""


class BaseWeights(StrictModel):
    """The `model.pth` that training starts from.

    It is one that Trainyard wrote (`{"state_dict": tensors, "config": ModelConfig as JSON}`), so
    that it loads with `weights_only=True` and says its own architecture and classes.
    """

    uri: str
    """Where it lies: `s3://bucket/key` or `file:///path`."""
    sha256: Sha256
    """Its digest, which the trainer verifies before it opens the file."""


class RunFile(Sealed):
    """Everything that one attempt of a training is made of."""

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["Run"] = "Run"
    name: str
    """Name of the TrainingProcess."""
    namespace: str
    """Its namespace."""
    uid: str
    """Its UID."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Number of the attempt, from 1."""
    fingerprint: str
    """SHA-256 over the inputs."""
    capability_name: str
    """Name of the Capability."""
    capability: CapabilitySpec
    """The capability as resolved."""
    template_name: str
    """Name of the TrainingTemplate."""
    template: TrainingTemplateSpec
    """The recipe as resolved, overrides applied."""
    base: BaseWeights | None = None
    """The weights that `template.baseModel.weights` or `.trainedModel` stand for; None when the
    template names an architecture, which is trained from scratch."""
    datasets: RunSplits
    """The snapshots."""
    output: str
    """Folder that the artefacts are written to: `s3://bucket/prefix` or `file:///path`."""
    store: StoreLocation = StoreLocation()
    """How to reach the object store."""
    progress: ProgressTarget | None = None
    """Where reports are sent; None: nowhere."""
    resume: ResumeFrom | None = None
    """The checkpoint to go on from; None: from the start."""


class SnapshotLimits(StrictModel):
    """How large a snapshot may become; None: as large as it likes."""

    max_samples: Annotated[int, Field(ge=1)] | None = None
    """Image files that the selections take, copies of an image included."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None
    """Their size in bytes."""


class SnapshotRunFile(Sealed):
    """Everything that a snapshot Job needs to know."""

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["SnapshotRun"] = "SnapshotRun"
    name: str
    """Name of the Dataset."""
    namespace: str
    """Its namespace."""
    uid: str
    """Its UID."""
    selections: tuple[Selection, ...]
    """What to read."""
    group_by: str | None = None
    """What must never be spread over splits, see `DatasetSpec.group_by`."""
    limits: SnapshotLimits = SnapshotLimits()
    """How large it may become."""
    output: str
    """Folder under which snapshots and shards are written."""
    store: StoreLocation = StoreLocation()
    """How to reach the object store."""
    progress: ProgressTarget | None = None
    """Where reports are sent; None: nowhere."""
