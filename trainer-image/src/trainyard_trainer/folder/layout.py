"""The data of a folder, laid out once: what was laid out, and whether a person changed it since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from trainyard.api._base import Sha256, StrictModel
from trainyard.api.documents import digest
from trainyard.api.metrics import TrainData
from trainyard.api.run import RunFile
from trainyard.datasets.labels import Label
from trainyard.stores.digests import sha256_of

if TYPE_CHECKING:
    from trainyard_trainer.prepare import Prepared

SPLITS = ("train", "dev", "test")
_VERSION = 1
"""Another one when engines lay data out otherwise."""
_CACHE = ".cache"
"""Suffix of what the library writes beside the data."""


class KeptImage(StrictModel):
    """A `HeldOut`."""

    path: str
    name: str
    labels: tuple[Label, ...]


class LaidOut(StrictModel):
    """What lies in train, dev and test."""

    key: Sha256
    """Of what decides it."""
    digest: Sha256
    """Of the files' names and contents."""
    counts: dict[str, int]
    held_out: tuple[KeptImage, ...]
    held_out_split: str
    names: dict[str, str]
    train: TrainData | None = None
    """How often each class is labelled in train."""

    def prepared(self, root: Path, data: Path, *, edited: bool) -> Prepared:
        """The same for the recipe; an image that is not there any more is not shown.

        What was counted is not said of data that was `edited` since.
        """
        # They bring the libraries, which read their environment when they are imported.
        from trainyard_trainer.engines.base import Layout
        from trainyard_trainer.prepare import HeldOut, Prepared

        held = (HeldOut(root / x.path, x.name, x.labels) for x in self.held_out)
        return Prepared(
            Layout(data, self.counts),
            tuple(entry for entry in held if entry.path.is_file()),
            self.held_out_split,
            self.names,
            None if edited else self.train,
        )


def key_of(run: RunFile) -> str:
    """Digest of what decides how the data of a run is laid out."""
    return digest(
        {
            "version": _VERSION,
            "engine": run.template.engine.value,
            "type": run.capability.type.value,
            "outputs": [output.to_wire() for output in run.capability.outputs],
            "datasets": run.datasets.to_wire(),
        }
    )


def content_digest(root: Path) -> str:
    """SHA-256 over the names and contents of all files of the splits."""
    whole = hashlib.sha256()
    for path in _files(root):
        whole.update(f"{path.relative_to(root).as_posix()}\0{sha256_of(path)}\n".encode())
    return whole.hexdigest()


def laid_out(run: RunFile, root: Path, prepared: Prepared) -> LaidOut:
    """What was just laid out."""
    return LaidOut(
        key=key_of(run),
        digest=content_digest(root),
        counts=prepared.layout.counts,
        held_out=tuple(
            KeptImage(path=x.path.relative_to(root).as_posix(), name=x.name, labels=x.labels)
            for x in prepared.held_out
        ),
        held_out_split=prepared.held_out_split,
        names=prepared.names,
        train=prepared.train,
    )


def read(path: Path, run: RunFile) -> LaidOut | None:
    """What an earlier command laid out of a run; None if none did, or did not finish."""
    try:
        known = LaidOut.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return known if known.key == key_of(run) else None


def _files(root: Path) -> Iterator[Path]:
    for split in SPLITS:
        for path in sorted((root / split).rglob("*")):
            if path.is_file() and path.suffix != _CACHE:
                yield path
