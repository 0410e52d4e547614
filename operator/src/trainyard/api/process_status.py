"""TrainingProcess: where it stands."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from trainyard.api._base import ApiModel, Line, Sha256, atomic_list, map_list
from trainyard.api.meta import Condition


class ProcessPhase(StrEnum):
    """Where a process stands. Succeeded and Failed never change."""

    CREATED = "Created"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        """Whether this phase never changes again."""
        return self in (ProcessPhase.SUCCEEDED, ProcessPhase.FAILED)


class ResolvedInput(ApiModel):
    """One input as it was when the first attempt was made."""

    name: str
    """Its name."""
    digest: str
    """SHA-256 of its content."""


class Resolved(ApiModel):
    """What the run is made of, frozen at the first attempt."""

    capability: ResolvedInput | None = None
    """The capability's spec."""
    template: ResolvedInput | None = None
    """The template's spec with the overrides applied."""
    base: ResolvedInput | None = None
    """The weights that it starts from: the name of the TrainedModel, or the place of the file, and
    the digest of the file. Absent for a training from scratch."""
    datasets: Annotated[
        tuple[ResolvedInput, ...], Field(max_length=192, json_schema_extra=map_list("name"))
    ] = ()
    """The snapshots."""
    image: str | None = None
    """The trainer image."""
    fingerprint: str | None = None
    """SHA-256 over all of them: runs with equal fingerprints train on equal inputs."""


class LeftOut(ApiModel):
    """Annotations of one class and geometry that the run does not use."""

    attribute: str
    """What is said."""
    value: str
    """Its value."""
    geometry: str
    """`image`, `box` or `polygon`."""
    count: int
    """Number of annotations."""


class SplitStatus(ApiModel):
    """What a split holds."""

    samples: int
    """Number of distinct images."""
    annotations: int
    """Annotations that the run uses: the capability names their class, and has their geometry."""
    left_out_annotations: int = 0
    """Annotations that it does not use. An image that is left without any is a background for a
    detector, and left out otherwise."""
    left_out: Annotated[
        tuple[LeftOut, ...], Field(max_length=20, json_schema_extra=atomic_list())
    ] = ()
    """What they are; of more than 20 classes those with the most."""


class DataWarning(ApiModel):
    """Something worth knowing about the data that does not keep the run from starting."""

    reason: str
    """In one word."""
    message: str
    """In a sentence, with examples."""


class DataStatus(ApiModel):
    """The data of the run, seen through its capability; frozen at the first attempt.

    Annotations of an image that is in two datasets of a split count twice.
    """

    train: SplitStatus | None = None
    """What the model learns from."""
    dev: SplitStatus | None = None
    """What the best epoch is chosen on."""
    test: SplitStatus | None = None
    """What the finished model is measured on."""
    warnings: Annotated[
        tuple[DataWarning, ...], Field(max_length=16, json_schema_extra=atomic_list())
    ] = ()
    """What is worth knowing about it."""


class QueueStatus(ApiModel):
    """Why the process waits."""

    position: int | None = None
    """1 is the next to start."""
    waiting_for: str | None = None
    """Who holds the node or goes first: `namespace/name`, or `a training of another namespace`
    where the operator's settings hide names."""
    held_until: datetime | None = None
    """When who holds the node will probably be done."""
    estimated_start_time: datetime | None = None
    """When it will probably start. Like heldUntil it is written anew only when it is wrong by more
    than a minute, and by more than a tenth of the wait."""
    estimated_at: datetime | None = None
    """When these two times were written. Others follow after a minute, or a tenth of the wait, at
    the earliest."""


class ProgressStatus(ApiModel):
    """How far the training is."""

    stage: Annotated[str, StringConstraints(max_length=32)] | None = None
    """What the trainer is doing: prepare, train, evaluate, export or publish."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """0..100, of the whole run."""
    epoch: int | None = None
    """Epochs done."""
    epochs: int | None = None
    """Epochs in all."""
    estimated_remaining_seconds: int | None = None
    """Seconds that the rest will probably take."""
    estimated_completion_time: datetime | None = None
    """When it will probably be done."""
    last_updated_time: datetime | None = None
    """When the trainer last reported."""


class MetricValue(ApiModel):
    """One number, as a string so that no float is rounded by a client."""

    name: str
    """For example mAP50-95 or top-1."""
    value: str
    """The number in decimal notation."""


class HistoryPoint(ApiModel):
    """One point of the learning curves."""

    epoch: int
    """Epochs done."""
    learning_rate: str | None = None
    """Learning rate of the epoch."""
    train_loss: str | None = None
    """Mean train loss of the epoch."""
    dev_accuracy: str | None = None
    """The primary metric on dev."""


class Attempt(ApiModel):
    """One try on the node: a record that is written once and completed once."""

    number: int
    """1 is the first."""
    node: str
    """Where it runs."""
    start_time: datetime | None = None
    """When its Job was created."""
    finish_time: datetime | None = None
    """When its Job was over."""
    reason: str | None = None
    """How it ended, in one word; before finishTime: why it is being ended."""
    message: str | None = None
    """How it ended, in a sentence, and what to do."""
    log_tail: Annotated[str, StringConstraints(max_length=2048)] | None = None
    """The end of its log, when it did not end well."""
    batch_size: int | None = None
    """Its batch size, when it is not the recipe's."""
    resumed_from_epoch: int | None = None
    """Epochs that were taken over from a checkpoint."""
    location: Annotated[Line, StringConstraints(max_length=2048)] | None = None
    """The folder of its files: metrics.jsonl and curves.png while it trains, train.log at its end,
    unverified; a finished run's are in artefacts."""


class CheckpointStatus(ApiModel):
    """The last verified checkpoint."""

    location: Annotated[Line, StringConstraints(max_length=2048)]
    """The folder it lies in."""
    sha256: Sha256
    """Digest of its checkpoint.json."""
    epoch: int
    """Epochs done."""
    attempt: int
    """The attempt that wrote it."""


class MetricSet(ApiModel):
    """Metrics on one split."""

    metrics: Annotated[
        tuple[MetricValue, ...], Field(max_length=64, json_schema_extra=map_list("name"))
    ] = ()
    """The metrics."""
    samples: int | None = None
    """Number of images."""


class EvaluationStatus(ApiModel):
    """How good the finished model is."""

    dev: MetricSet | None = None
    """On the data that the best epoch was chosen on."""
    test: MetricSet | None = None
    """On held-out data, measured once."""


class ArtefactRef(ApiModel):
    """One file in the store."""

    uri: Annotated[Line, StringConstraints(max_length=2048)]
    """Where it lies, `s3://bucket/key`."""
    sha256: Sha256
    """Its digest, verified by the operator."""
    size_bytes: int
    """Its size."""


class Artefacts(ApiModel):
    """The finished model's files."""

    location: Annotated[Line, StringConstraints(max_length=2048)]
    """The folder they lie in."""
    weights: ArtefactRef | None = None
    """`model.pth`: tensors and JSON, loads with weights_only=True."""
    config: ArtefactRef | None = None
    """`config.yaml`: all that is needed to rebuild the model and interpret its outputs."""
    archive: ArtefactRef | None = None
    """Both of them in one zip file."""
    onnx: ArtefactRef | None = None
    """`model.onnx`, if the template exports it."""
    torchscript: ArtefactRef | None = None
    """`model.torchscript`, if the template exports it."""
    metrics: ArtefactRef | None = None
    """`metrics.json`: all final numbers."""
    curves: ArtefactRef | None = None
    """A picture of the learning curves."""
    confusion: ArtefactRef | None = None
    """A picture of which class is taken for which."""
    precision_recall: ArtefactRef | None = None
    """A picture of the precision-recall curves."""
    predictions: ArtefactRef | None = None
    """Pictures of the best and the worst predictions."""
    augmented: ArtefactRef | None = None
    """A contact sheet of train images as they were augmented."""
    run: ArtefactRef | None = None
    """`run.yaml`: everything that the run was made of, overrides applied."""
    log: ArtefactRef | None = None
    """The trainer's log."""


class NotificationChannel(StrEnum):
    """How somebody is told."""

    EMAIL = "Email"
    WEBHOOK = "Webhook"


class NotificationState(StrEnum):
    """What became of a message. Sent and Failed never change."""

    PENDING = "Pending"
    SENDING = "Sending"
    SENT = "Sent"
    FAILED = "Failed"


class NotificationRecord(ApiModel):
    """One message that was or will be sent; it is sent once at most."""

    id: str
    """Identifies transition and recipient."""
    channel: NotificationChannel
    """Email or Webhook."""
    recipient: Annotated[str, StringConstraints(max_length=320)]
    """The e-mail address; of a webhook only scheme and host, because the rest may be a secret."""
    state: NotificationState
    """Pending; Sending, which is on record before anything is sent; Sent or Failed."""
    time: datetime
    """When the state last changed."""
    tries: Annotated[int, Field(ge=0, le=10)] = 0
    """Times that it was tried."""
    message: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Why the last try failed."""


class ProcessDisplay(ApiModel):
    """Strings for the columns of kubectl."""

    progress: str = ""
    """Percent and epoch."""
    eta: str = ""
    """Time left."""
    queue: str = ""
    """Position and whom it waits for."""
    metric: str = ""
    """The primary metric."""
    reason: str = ""
    """Why it stands where it stands."""


class TrainingProcessStatus(ApiModel):
    """Where the run stands."""

    observed_generation: int | None = None
    """The metadata.generation that this status is about."""
    phase: ProcessPhase | None = None
    """Created, Queued, Starting, Running, Suspending, Suspended, Succeeded or Failed."""
    start_time: datetime | None = None
    """When an attempt ran for the first time."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=map_list("type"))
    ] = ()
    """Validated, NodeReserved, Running, Suspended, ProgressStalled, Complete, Failed and
    Finished, which is true with either end."""
    resolved: Resolved | None = None
    """What the run is made of, frozen at the first attempt."""
    data: DataStatus | None = None
    """The data of the run, seen through its capability; frozen at the first attempt."""
    queue: QueueStatus | None = None
    """Set while it waits for its node."""
    progress: ProgressStatus | None = None
    """How far the training is."""
    metrics: Annotated[
        tuple[MetricValue, ...], Field(max_length=64, json_schema_extra=map_list("name"))
    ] = ()
    """The newest metrics on dev."""
    history: Annotated[
        tuple[HistoryPoint, ...], Field(max_length=50, json_schema_extra=atomic_list())
    ] = ()
    """Learning curves, thinned out to at most 50 points; the rest is in the store."""
    attempts: Annotated[
        tuple[Attempt, ...], Field(max_length=100, json_schema_extra=map_list("number"))
    ] = ()
    """Every try."""
    checkpoint: CheckpointStatus | None = None
    """The last verified checkpoint: the next attempt goes on from it."""
    evaluation: EvaluationStatus | None = None
    """How good the finished model is."""
    artefacts: Artefacts | None = None
    """The finished model's files, verified."""
    model: str | None = None
    """Name of the TrainedModel."""
    notifications: Annotated[
        tuple[NotificationRecord, ...], Field(max_length=200, json_schema_extra=map_list("id"))
    ] = ()
    """Messages that were or will be sent."""
    gpu_seconds: int | None = None
    """GPU time of all attempts, in seconds."""
    display: ProcessDisplay | None = None
    """Strings for the columns."""
