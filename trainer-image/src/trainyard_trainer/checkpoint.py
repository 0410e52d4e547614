"""Checkpoints in the store: what a later attempt needs to go on, written whole or not at all.

A checkpoint is a folder `OUTPUT/checkpoints/EPOCH/`: the engine's own files, `metrics.jsonl` with
every epoch so far, `training.json` (`Notes`), and `checkpoint.json`, written last, which names all
of them with their digests. Going on from one is not bit-exact: the libraries keep weights in half
precision, go on from the averaged weights, and draw other random numbers than an undisturbed run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from trainyard.api._base import StrictModel
from trainyard.api.documents import first_problem
from trainyard.api.manifest import CHECKPOINT_NAME, CHECKPOINTS_FOLDER, CheckpointManifest
from trainyard.api.report import EpochReport
from trainyard.api.run import ResumeFrom, RunFile
from trainyard.stores import (
    ObjectNotFound,
    PreconditionFailed,
    Store,
    StoreError,
    join,
    parent,
)
from trainyard.stores.base import check_digest
from trainyard_trainer.faults import InvalidRunFile

HISTORY = "metrics.jsonl"
NOTES = "training.json"

_MEMBER = re.compile(r"\d{6}/[^/]+")
"""What may be removed below a folder of checkpoints."""

_log = logging.getLogger("trainyard")


class Notes(StrictModel):
    """training.json: what neither the engine's files nor the epochs tell."""

    finished: bool
    """All epochs are done, or it was stopped early: what is left is the evaluation."""
    earlier: tuple[str, ...] = ()
    """Folders of checkpoints of the attempts that this one went on from, the oldest first."""


class Abandoned(Exception):
    """An upload was given up between two files, because a newer checkpoint has to be sent."""


@dataclass(frozen=True)
class Resumed:
    """A checkpoint that was fetched and verified.

    Attributes
    ----------
    location
        Its folder in the store.
    epoch
        Epochs done.
    folder
        Where its files lie now.
    history
        The epochs done, in order, each once.
    notes
        Its training.json.
    """

    location: str
    epoch: int
    folder: Path
    history: tuple[EpochReport, ...]
    notes: Notes

    @property
    def earlier(self) -> tuple[str, ...]:
        """Folders of checkpoints of all attempts up to the one that wrote this."""
        return (*self.notes.earlier, parent(self.location))


def place_of(output: str, epoch: int) -> str:
    """Folder of the checkpoint of an epoch."""
    return join(output, CHECKPOINTS_FOLDER, f"{epoch:06d}")


def write_history(path: Path, history: Iterable[EpochReport]) -> None:
    """One line an epoch."""
    lines = (json.dumps(report.to_wire()) + "\n" for report in history)
    path.write_text("".join(lines), encoding="utf-8")


def publish(
    store: Store, run: RunFile, folder: Path, epoch: int, abandoned: Callable[[], bool]
) -> str:
    """Upload all files of a folder, checkpoint.json last; returns where they are.

    Parameters
    ----------
    store, run
        Where to, and whose it is.
    folder
        Nothing but the files of the checkpoint, which nobody changes any more.
    epoch
        Epochs done.
    abandoned
        Asked before each file.

    Raises
    ------
    Abandoned
        When `abandoned` says so. Without a checkpoint.json, what was sent counts for nothing.
    PreconditionFailed
        If a checkpoint of another run or attempt is there.
    StoreError
        If the store does not take a file.
    """
    location = place_of(run.output, epoch)
    if _is_there(store, run, location, epoch):
        return location
    files = []
    for path in sorted(folder.iterdir()):
        if abandoned():
            raise Abandoned
        files.append(store.upload(path, join(location, path.name)))
    manifest = CheckpointManifest(
        uid=run.uid,
        attempt=run.attempt,
        fingerprint=run.fingerprint,
        epoch=epoch,
        epochs=run.template.hyperparameters.epochs,
        files=tuple(files),
        created_at=datetime.now(UTC),
    )
    document = json.dumps(manifest.to_wire(), indent=2, ensure_ascii=False).encode()
    store.write_bytes(join(location, CHECKPOINT_NAME), document, if_absent=True)
    return location


def _is_there(store: Store, run: RunFile, location: str, epoch: int) -> bool:
    """An earlier process of this attempt may have got as far: its files are not to be mixed."""
    uri = join(location, CHECKPOINT_NAME)
    try:
        found = CheckpointManifest.model_validate_json(store.read_bytes(uri))
    except ObjectNotFound:
        return False
    except ValidationError:
        raise PreconditionFailed(f"{uri} is there already and no checkpoint of ours") from None
    if (found.uid, found.attempt, found.fingerprint, found.epoch) != (
        run.uid,
        run.attempt,
        run.fingerprint,
        epoch,
    ):
        raise PreconditionFailed(f"{uri} is the checkpoint of another run or attempt")
    return True


def fetch(
    store: Store, run: RunFile, resume: ResumeFrom, names: tuple[str, ...], folder: Path
) -> Resumed:
    """Download the checkpoint that the run file names.

    Nothing of it is opened before its digest was found to be the one that checkpoint.json states,
    whose own digest the run file states: so a pickle is only ever loaded as it was written.

    Parameters
    ----------
    store, run, resume
        Where from, for what, and which.
    names
        The engine's own files.
    folder
        Where the files go.

    Raises
    ------
    InvalidRunFile
        If it is the checkpoint of another process or of other inputs, or not whole.
    DigestMismatch
        If a file was damaged.
    StoreError
        If a file is missing or the store does not answer.
    """
    uri = join(resume.location, CHECKPOINT_NAME)
    data = store.read_bytes(uri)
    check_digest(uri, hashlib.sha256(data).hexdigest(), resume.sha256)
    try:
        manifest = CheckpointManifest.model_validate_json(data)
    except ValidationError as error:
        raise InvalidRunFile(f"resume: {uri}: {first_problem(error)}") from None
    for what, found, expected in (
        ("UID", manifest.uid, run.uid),
        ("fingerprint", manifest.fingerprint, run.fingerprint),
        ("epoch", manifest.epoch, resume.epoch),
        ("number of epochs", manifest.epochs, run.template.hyperparameters.epochs),
    ):
        if found != expected:
            raise InvalidRunFile(
                f"resume: {uri} has the {what} {found}, this run {expected}: a run goes on from a "
                "checkpoint of its own only"
            )
    stated = {file.name: file for file in manifest.files}
    # Names are taken from here, never from the document: they become paths.
    for name in (*names, HISTORY, NOTES):
        if name not in stated:
            raise InvalidRunFile(f"resume: {uri} names no {name}: start without a checkpoint")
        store.download(join(resume.location, name), folder / name, stated[name].sha256)
    return Resumed(
        resume.location,
        manifest.epoch,
        folder,
        _read_history(folder / HISTORY, manifest.epoch, uri),
        _read_notes(folder / NOTES, uri),
    )


def _read_history(path: Path, epochs: int, uri: str) -> tuple[EpochReport, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        history = tuple(EpochReport.model_validate_json(line) for line in lines)
    except ValueError:
        raise InvalidRunFile(f"resume: {path.name} of {uri} cannot be read") from None
    if [report.epoch for report in history] != list(range(1, epochs + 1)):
        raise InvalidRunFile(f"resume: {path.name} of {uri} lacks some of its {epochs} epochs")
    return history


def _read_notes(path: Path, uri: str) -> Notes:
    try:
        return Notes.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidRunFile(f"resume: {path.name} of {uri}: {first_problem(error)}") from None


def remove(store: Store, place: str) -> None:
    """Remove one checkpoint or a folder of checkpoints, as far as the store lets us.

    checkpoint.json goes first: what has lost other files already must not look whole.
    """
    folder = place if place.endswith(f"/{CHECKPOINTS_FOLDER}") else parent(place)
    if not folder.endswith(f"/{CHECKPOINTS_FOLDER}"):
        _log.warning("%s is no place of checkpoints: nothing is removed there", place)
        return
    start = place.removeprefix(folder).strip("/")
    try:
        found = [
            entry
            for entry in store.list(place)
            if _MEMBER.fullmatch(f"{start}/{entry.name}".strip("/"))
        ]
        for entry in sorted(found, key=lambda entry: not entry.uri.endswith(CHECKPOINT_NAME)):
            store.delete(entry.uri)
    except StoreError as error:
        _log.warning("a checkpoint that is not needed any more stays: %s", error)
