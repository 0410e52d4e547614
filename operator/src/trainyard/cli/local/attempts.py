"""The attempts of a run on this machine: one that is done, or where the next one goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainyard.api.manifest import MANIFEST_NAME, ArtefactManifest
from trainyard.api.process_status import CheckpointStatus
from trainyard.api.run import RunFile
from trainyard.cli.errors import CommandError
from trainyard.decide.attempts import run_of
from trainyard.stores import ArtefactMismatch, Store, Uri, join, parent, verify_manifest
from trainyard.stores.verify import newest_checkpoint


@dataclass(frozen=True)
class Done:
    """A run whose model is there, every file verified.

    Attributes
    ----------
    location
        URI of its folder.
    """

    location: str
    manifest: ArtefactManifest

    @property
    def folder(self) -> Path:
        """Its folder on this machine."""
        return Path(Uri.parse(self.location).key)


def standing(store: Store, first: RunFile) -> Done | RunFile:
    """What is there of a run: its model, or the run.yaml of the attempt that is next.

    Parameters
    ----------
    first
        The run.yaml of the first attempt; its output is `.../1`.

    Raises
    ------
    CommandError
        If the run was done and its files are not what they were.
    """
    whole = parent(first.output)
    tried = _tried(store, whole)
    for number in tried:
        location = join(whole, str(number))
        if store.stat(join(location, MANIFEST_NAME)) is not None:
            return done(store, location)
    if not tried:
        return first
    point = None
    for number in tried:
        found = newest_checkpoint(store, join(whole, str(number)), first.uid)
        if found is not None:
            location, sha256, manifest = found
            point = CheckpointStatus(
                location=location, sha256=sha256, epoch=manifest.epoch, attempt=number
            )
            break
    number = tried[0] + 1
    batch = first.template.hyperparameters.batch_size
    return run_of(first, number, join(whole, str(number)), point, batch)


def done(store: Store, location: str) -> Done:
    """A finished run.

    Raises
    ------
    CommandError
        If one of its files is not what its manifest states.
    """
    try:
        return Done(location, verify_manifest(store, location))
    except ArtefactMismatch as error:
        folder = Uri.parse(parent(location)).key
        raise CommandError(f"{error}: remove {folder} to train again") from None


def _tried(store: Store, whole: str) -> list[int]:
    """Numbers of the attempts of which something is there, the newest first."""
    numbers = {entry.name.partition("/")[0] for entry in store.list(whole)}
    return sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)
