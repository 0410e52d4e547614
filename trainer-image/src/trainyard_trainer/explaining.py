"""What an exception ends a run with: exit code, one-word reason, one sentence."""

from __future__ import annotations

from trainyard.api.documents import DocumentError
from trainyard.api.reasons import Reason
from trainyard.api.report import ExitCode, LastWords
from trainyard.datasets.errors import BadData, DiskFull
from trainyard.stores import StoreError
from trainyard.stores.errors import (
    AccessDenied,
    ArtefactMismatch,
    DigestMismatch,
    ObjectChanged,
    ObjectNotFound,
)
from trainyard_trainer.exhausted import disk_is_full, shared_memory_is_full
from trainyard_trainer.faults import Fault
from trainyard_trainer.machine import workdir

_STORE_CONTENT = (ObjectNotFound, ObjectChanged, DigestMismatch, ArtefactMismatch)


def explain(error: BaseException) -> tuple[ExitCode, LastWords]:
    """The exit code and the last words that an exception ends a run with.

    Texts of unknown exceptions are kept to one line; they come from libraries, which know no
    credential of ours: those are handed to the store's client alone.
    """
    code, reason, message = _explained(error)
    return code, LastWords(reason=str(reason), message=" ".join(message.split())[:1500])


def _explained(error: BaseException) -> tuple[ExitCode, str, str]:
    text = str(error)
    if isinstance(error, Fault):
        return error.exit_code, error.reason, text
    if isinstance(error, BadData):
        return ExitCode.BAD_DATA, error.reason, text
    if isinstance(error, AccessDenied):
        return ExitCode.ACCESS_DENIED, Reason.STORE_ACCESS_DENIED, text
    if isinstance(error, _STORE_CONTENT):
        return ExitCode.STORE_UNAVAILABLE, Reason.STORE_CONTENT_UNUSABLE, text
    if isinstance(error, StoreError):
        return ExitCode.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE, text
    if isinstance(error, DocumentError):
        return ExitCode.BAD_CONFIG, Reason.INVALID_RUN_FILE, text
    if isinstance(error, DiskFull):
        return ExitCode.DISK_FULL, Reason.DISK_FULL, text
    if type(error).__name__ == "OutOfMemoryError":
        said = "the GPU's memory did not suffice: make batchSize or imageSize smaller"
        return ExitCode.GPU_OUT_OF_MEMORY, Reason.GPU_OUT_OF_MEMORY, said
    if shared_memory_is_full(error):
        reason = Reason.SHARED_MEMORY_FULL
        return ExitCode.INTERNAL_ERROR, reason, reason.sentence
    if disk_is_full(error):
        said = f"no room is left on the disk under {workdir()}: {Reason.DISK_FULL.remedy}"
        return ExitCode.DISK_FULL, Reason.DISK_FULL, said
    return ExitCode.INTERNAL_ERROR, Reason.TRAINER_ERROR, f"{type(error).__name__}: {text}"
