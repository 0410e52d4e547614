"""Keeps the newest epoch's checkpoint at hand, and some of them in the store."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard.api.manifest import CHECKPOINTS_FOLDER
from trainyard.api.report import EpochReport, LastWords
from trainyard.api.run import RunFile
from trainyard.stores import Store, StoreError, join
from trainyard_trainer import checkpoint, termination
from trainyard_trainer.checkpoint import Abandoned, Notes, Resumed
from trainyard_trainer.explaining import explain
from trainyard_trainer.faults import ArtefactUploadFailed, InvalidRunFile, Stopped

SECONDS_VARIABLE = "TRAINYARD_CHECKPOINT_SECONDS"
CHECKPOINT_SECONDS = 300.0
"""Least time between two uploads while training goes on."""
_STORED = 2
"""Checkpoints of this attempt that stay in the store: the newest, and one that is whole while
the newest is looked at or replaced."""
_PATIENCE_SECONDS = 30.0

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class Kept:
    """A checkpoint on this machine.

    Attributes
    ----------
    epoch
        Epochs done.
    folder
        Its files and nothing else.
    """

    epoch: int
    folder: Path


@dataclass(frozen=True)
class Place:
    """A checkpoint in the store."""

    epoch: int
    location: str


def interval_seconds() -> float:
    """Least time between two uploads.

    Raises
    ------
    InvalidRunFile
        If the variable that overrides it is no number.
    """
    text = os.environ.get(SECONDS_VARIABLE) or str(CHECKPOINT_SECONDS)
    try:
        return float(text)
    except ValueError:
        raise InvalidRunFile(f"{SECONDS_VARIABLE} is {text!r}; give seconds") from None


class Keeper:
    """Copies what the engine saved, and uploads it: now and then, and when asked to.

    Parameters
    ----------
    store, run
        Where to, and whose checkpoints.
    folder
        For the copies.
    prove
        Loads a folder's files, of an epoch, and raises if that cannot be done. The files are
        this process's own copies: nothing that came from elsewhere is loaded here.
    every_seconds
        Least time between two uploads in the background.
    """

    def __init__(
        self,
        store: Store,
        run: RunFile,
        folder: Path,
        prove: Callable[[Path, int], None],
        every_seconds: float,
    ) -> None:
        self._store, self._run, self._folder, self._prove = store, run, folder, prove
        self._earlier: tuple[str, ...] = ()
        # What a signal finds while the checkpoint is still being fetched.
        self._done = 0 if run.resume is None else run.resume.epoch
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds
        self._latest: Kept | None = None
        self._uploading: Kept | None = None
        self._uploaded: list[Place] = []
        self._newest = None if run.resume is None else Place(self._done, run.resume.location)
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()

    def go_on(self, resumed: Resumed) -> None:
        """Remember where the attempts before left checkpoints."""
        self._earlier = resumed.earlier

    def keep(
        self, history: Sequence[EpochReport], files: Iterable[Path], *, finished: bool
    ) -> None:
        """An epoch is done: copy its checkpoint, and upload it if it is time.

        Uploading goes on beside the training, one at a time. Neither a full disk nor a store
        that does not answer ends a training: a checkpoint is an insurance.

        Parameters
        ----------
        history
            The epochs done.
        files
            Of the engine, which writes them in place during the next epoch: hence the copies.
        finished
            No more epochs will come.
        """
        epoch = self._done = len(history)
        fresh, target = self._folder / "fresh", self._folder / f"{epoch:06d}"
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for path in files:
                shutil.copyfile(path, fresh / path.name)
            checkpoint.write_history(fresh / checkpoint.HISTORY, history)
            notes = Notes(finished=finished, earlier=self._earlier)
            (fresh / checkpoint.NOTES).write_text(notes.model_dump_json(by_alias=True))
            # Whole or not at all: the signal to stop may come anywhere in here.
            fresh.rename(target)
        except OSError as error:
            _log.warning("no checkpoint of epoch %d could be kept: %s", epoch, error.strerror)
            return
        before, self._latest = self._latest, Kept(epoch, target)
        if before is not None and before != self._uploading:
            shutil.rmtree(before.folder, ignore_errors=True)
        busy = self._thread is not None and self._thread.is_alive()
        if not busy and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self._uploading = self._latest
            self._thread = threading.Thread(
                target=self._work, args=(self._latest,), name="checkpoint", daemon=True
            )
            self._thread.start()

    def stopped(self) -> str:
        """See that the newest epoch's checkpoint is in the store; say what was done and kept."""
        if not self._done:
            return "stopped before the first epoch was done; nothing to keep"
        epochs = self._run.template.hyperparameters.epochs
        said = f"stopped after epoch {self._done} of {epochs}"
        # What is read should the pod's time be over before the upload is.
        unfinished = f"{said}; there was no time to store its checkpoint"
        termination.say(LastWords(reason=Stopped.reason, message=unfinished))
        if problem := self._store_latest():
            said += f"; its checkpoint could not be stored: {problem}"
        if self._newest is not None:
            place = self._newest
            return f"{said}; the checkpoint of epoch {place.epoch} is at {place.location}"
        return said if problem else f"{said}; no checkpoint of it could be kept"

    def failed(self, error: BaseException) -> None:
        """Keep the newest epoch for another try, unless it is the store that failed."""
        if isinstance(error, StoreError | ArtefactUploadFailed):
            self.close()
        elif problem := self._store_latest():
            _log.warning("the last checkpoint could not be stored: %s", problem)

    def forget(self) -> None:
        """The run is published: remove its checkpoints, those of earlier attempts too."""
        self.close()
        for folder in (*self._earlier, join(self._run.output, CHECKPOINTS_FOLDER)):
            checkpoint.remove(self._store, folder)

    def close(self) -> None:
        """Give up an upload that goes on."""
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)

    def _store_latest(self) -> str:
        """Upload the newest epoch's checkpoint, unless it is there; says why that failed.

        An upload of an older epoch is given up; one of the same epoch is waited for.
        """
        latest, uploading = self._latest, self._uploading
        if uploading is not None and uploading != latest:
            self._hurry.set()
        if self._thread is not None:
            self._thread.join()
        self._hurry.clear()
        if latest is None:
            return ""
        try:
            self._upload(latest)
        except Exception as error:  # noqa: BLE001 -- the run ends with its own reason all the same
            return explain(error)[1].message
        return ""

    def _work(self, kept: Kept) -> None:
        try:
            self._upload(kept)
        except Abandoned:
            pass
        except Exception as error:  # noqa: BLE001 -- whatever it is, the training goes on
            _log.warning("the checkpoint of epoch %d is not stored: %s", kept.epoch, error)
        finally:
            self._uploading = None
            if kept != self._latest:
                shutil.rmtree(kept.folder, ignore_errors=True)

    def _upload(self, kept: Kept) -> None:
        if any(place.epoch == kept.epoch for place in self._uploaded):
            return
        self._prove(kept.folder, kept.epoch)
        location = checkpoint.publish(
            self._store, self._run, kept.folder, kept.epoch, self._hurry.is_set
        )
        self._newest = Place(kept.epoch, location)
        self._uploaded.append(self._newest)
        _log.info("checkpoint: epoch %d is at %s", kept.epoch, location)
        while len(self._uploaded) > _STORED:
            checkpoint.remove(self._store, self._uploaded.pop(0).location)
