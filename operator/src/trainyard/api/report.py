"""What a trainer pod says: progress reports, its last words, its exit codes."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Literal

from pydantic import Field

from trainyard.api._base import StrictModel

TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes that the kubelet keeps of a container's termination message."""

Metrics = dict[Annotated[str, Field(max_length=64)], float]


class ExitCode(IntEnum):
    """How the trainer ends. 64..78 follow sysexits.h."""

    OK = 0
    BAD_DATA = 65
    """EX_DATAERR: labels, images or a checkpoint that cannot be used."""
    STORE_UNAVAILABLE = 69
    """EX_UNAVAILABLE: the object store did not answer, or refused."""
    INTERNAL_ERROR = 70
    """EX_SOFTWARE: a fault of the trainer or of a library."""
    DISK_FULL = 74
    """EX_IOERR: no room was left on the disk."""
    STOPPED = 75
    """EX_TEMPFAIL: stopped from outside."""
    BAD_CONFIG = 78
    """EX_CONFIG: the run file cannot be used."""
    GPU_NOT_VISIBLE = 80
    """A GPU was asked for and none can be seen."""
    GPU_OUT_OF_MEMORY = 81
    """The GPU's memory did not suffice."""
    LOSS_NOT_FINITE = 82
    """The loss became NaN or infinite."""
    BASE_MODEL_UNUSABLE = 83
    """The weights that training starts from cannot be used."""


class Stage(StrEnum):
    """The steps of a run, and of a snapshot."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"
    EXPORT = "export"
    PUBLISH = "publish"
    READ = "read"
    WRITE = "write"


class EpochReport(StrictModel):
    """What one epoch gave."""

    epoch: Annotated[int, Field(ge=1)]
    """Number of the epoch, from 1."""
    learning_rate: float | None = None
    train_loss: float | None = None
    dev_accuracy: float | None = None
    """The primary metric on dev."""
    metrics: Annotated[Metrics, Field(max_length=64)] = {}
    """All metrics on dev."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Wall-clock time of the epoch."""


class ProgressReport(StrictModel):
    """One report of a running pod; each stands alone, later ones replace earlier ones."""

    kind: Literal["run", "snapshot"]
    uid: Annotated[str, Field(max_length=64)]
    """UID of the TrainingProcess or Dataset; must be that of the pod."""
    attempt: Annotated[int, Field(ge=1)] = 1
    stage: Stage
    """What it is doing."""
    percent: Annotated[int, Field(ge=0, le=100)]
    """0..100, of the whole run."""
    message: Annotated[str, Field(max_length=512)] = ""
    """What it is doing, in words."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """Epochs done."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs in all."""
    estimated_remaining_seconds: Annotated[int, Field(ge=0)] | None = None
    history: Annotated[tuple[EpochReport, ...], Field(max_length=50)] = ()
    """The epochs so far, thinned out to at most 50, the first and the last among them."""


class LastWords(StrictModel):
    """The termination message of a trainer pod, at most `TERMINATION_MESSAGE_LIMIT` bytes."""

    reason: Annotated[str, Field(max_length=64)]
    """One CamelCase word; `Succeeded` or a reason of failure."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """One sentence, without credentials."""
    manifest_sha256: str | None = None
    """Digest of the artefacts' manifest.json, or of snapshot.json."""
    location: Annotated[str, Field(max_length=1024)] | None = None
    """Folder of the artefacts or of the snapshot."""
    log_tail: Annotated[str, Field(max_length=2048)] = ""
    """The last lines of the log, when it did not end well."""
