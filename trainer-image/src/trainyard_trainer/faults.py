"""Everything that can end a run early, each with its exit code and its one-word reason."""

from __future__ import annotations

from trainyard.api.report import ExitCode, LastWords
from trainyard.datasets.errors import BadData


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
