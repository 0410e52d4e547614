"""What a trainer pod says: progress reports, its last words, its exit codes."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trainyard.api._base import NonNegativeInt32, PositiveInt32, StrictModel

TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes that the kubelet keeps of a container's termination message."""

LONGEST_REMAINING_SECONDS = 10 * 365 * 86_400
"""An estimate of more says nothing, and times are reckoned with it."""


def _printable(text: str) -> str:
    """Without what would act on a terminal: names of files and classes stand in it."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


Finite = Annotated[float, Field(allow_inf_nan=False)]
Metrics = dict[Annotated[str, Field(max_length=64), AfterValidator(_printable)], Finite]


class ExitCode(IntEnum):
    """How the trainer ends. 64..78 follow sysexits.h."""

    OK = 0
    BAD_DATA = 65
    """EX_DATAERR: labels, images or a checkpoint that cannot be used."""
    STORE_UNAVAILABLE = 69
    """EX_UNAVAILABLE: the object store did not answer, or does not have what is needed."""
    INTERNAL_ERROR = 70
    """EX_SOFTWARE: a fault of the trainer or of a library."""
    DISK_FULL = 74
    """EX_IOERR: no room was left on the disk."""
    STOPPED = 75
    """EX_TEMPFAIL: stopped from outside."""
    ACCESS_DENIED = 77
    """EX_NOPERM: the object store refuses the credentials, or what is asked with them."""
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

    epoch: PositiveInt32
    """Number of the epoch, from 1."""
    learning_rate: Finite | None = None
    train_loss: Finite | None = None
    dev_accuracy: Finite | None = None
    """The primary metric on dev."""
    metrics: Annotated[Metrics, Field(max_length=64)] = {}
    """All metrics on dev."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Wall-clock time of the epoch."""


class ProgressReport(StrictModel):
    """One report of a running pod; each stands alone, later ones replace earlier ones."""

    kind: Literal["run", "snapshot"]
    uid: Annotated[str, Field(max_length=64)]
    """UID of the TrainingProcess or Dataset; must be that of the pod."""
    attempt: PositiveInt32 = 1
    stage: Stage
    """What it is doing."""
    percent: Annotated[int, Field(ge=0, le=100)]
    """0..100, of the whole run."""
    message: Annotated[str, Field(max_length=512), AfterValidator(_printable)] = ""
    """What it is doing, in words."""
    epoch: NonNegativeInt32 | None = None
    """Epochs done."""
    epochs: PositiveInt32 | None = None
    """Epochs in all."""
    estimated_remaining_seconds: (
        Annotated[int, Field(ge=0, le=LONGEST_REMAINING_SECONDS)] | None
    ) = None
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
