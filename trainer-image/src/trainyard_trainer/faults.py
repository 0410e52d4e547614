"""Everything that can end a run early, each with its exit code and its one-word reason."""

from __future__ import annotations

import errno

from pydantic import ValidationError

from trainyard.api.documents import DocumentError
from trainyard.api.report import ExitCode, LastWords
from trainyard.datasets.errors import BadData, DiskFull
from trainyard.stores import StoreError


class Fault(Exception):
    """Base of the faults that have a reason of their own. The text is one sentence."""

    reason = "TrainerError"
    exit_code = ExitCode.INTERNAL_ERROR


class ClassesMissing(BadData):
    """The train data lacks a class of the capability."""

    reason = "ClassesMissing"


class InvalidRunFile(Fault):
    """The run file cannot be used."""

    reason = "InvalidRunFile"
    exit_code = ExitCode.BAD_CONFIG


class GPUNotVisible(Fault):
    """A GPU was asked for and none can be seen."""

    reason = "GPUNotVisible"
    exit_code = ExitCode.GPU_NOT_VISIBLE


class GPUOutOfMemory(Fault):
    """The GPU's memory did not suffice."""

    reason = "GPUOutOfMemory"
    exit_code = ExitCode.GPU_OUT_OF_MEMORY


class LossNotFinite(Fault):
    """The loss became NaN or infinite."""

    reason = "LossNotFinite"
    exit_code = ExitCode.LOSS_NOT_FINITE


class BaseModelUnusable(Fault):
    """The weights that training starts from cannot be used."""

    reason = "BaseModelUnusable"
    exit_code = ExitCode.BASE_MODEL_UNUSABLE


class ArtefactUploadFailed(Fault):
    """An artefact could not be put into the store."""

    reason = "ArtefactUploadFailed"
    exit_code = ExitCode.STORE_UNAVAILABLE


class Stopped(Fault):
    """The pod was told to stop (SIGTERM)."""

    reason = "Stopped"
    exit_code = ExitCode.STOPPED


class Ended(Exception):
    """A run ended with a fault, which has been explained and logged.

    Attributes
    ----------
    code, words
        What it ends with.
    """

    def __init__(self, code: ExitCode, words: LastWords) -> None:
        super().__init__(words.message)
        self.code, self.words = code, words


def explain(error: BaseException) -> tuple[ExitCode, LastWords]:
    """The exit code and the last words that an exception ends a run with.

    Texts of unknown exceptions are kept to one line; they come from libraries, which know no
    credential of ours: those are handed to the store's client alone.
    """
    if isinstance(error, Fault):
        return error.exit_code, LastWords(reason=error.reason, message=_one_line(error))
    if isinstance(error, BadData):
        return ExitCode.BAD_DATA, LastWords(reason=error.reason, message=_one_line(error))
    if isinstance(error, StoreError):
        return ExitCode.STORE_UNAVAILABLE, LastWords(
            reason="StoreUnavailable", message=_one_line(error)
        )
    if isinstance(error, DocumentError):
        return ExitCode.BAD_CONFIG, LastWords(reason="InvalidRunFile", message=_one_line(error))
    if isinstance(error, DiskFull):
        return ExitCode.INTERNAL_ERROR, LastWords(reason="DiskFull", message=_one_line(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ExitCode.INTERNAL_ERROR, LastWords(
            reason="DiskFull",
            message=f"no room is left on the disk for {error.filename or 'what is written'}: free "
            "the disk, or give the node more ephemeral storage",
        )
    if type(error).__name__ == "OutOfMemoryError":
        return ExitCode.GPU_OUT_OF_MEMORY, LastWords(
            reason="GPUOutOfMemory",
            message="the GPU's memory did not suffice: make batchSize or imageSize smaller",
        )
    return ExitCode.INTERNAL_ERROR, LastWords(
        reason="TrainerError", message=f"{type(error).__name__}: {_one_line(error)}"
    )


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as `field: what is wrong`, without its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:1500]
