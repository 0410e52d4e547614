"""Fetching a model's files: verified while they stream, whole or not at all, safe to repeat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic.alias_generators import to_snake

from trainyard.api.manifest import ArtefactRole
from trainyard.api.model import TrainedModel
from trainyard.api.process_status import ArtefactRef
from trainyard.cli.errors import CommandError
from trainyard.cli.locked import only_one
from trainyard.stores.base import Store
from trainyard.stores.digests import sha256_of
from trainyard.stores.errors import BucketNotFound, ObjectNotFound

PART = ".part"
"""Suffix of a file that is being written."""


@dataclass(frozen=True)
class WantedFile:
    """A file of a model and where it goes.

    Attributes
    ----------
    uri
        Where it lies.
    sha256, size_bytes
        What it must be.
    name
        Path below the folder that is downloaded to.
    """

    uri: str
    sha256: str
    size_bytes: int
    name: str


@dataclass(frozen=True)
class Downloaded:
    """What a download did.

    Attributes
    ----------
    fetched, kept
        Files that were fetched, and that were there already; all of them verified.
    damaged, missing
        One sentence for each file that is not what the model states, or not in the store.
    """

    fetched: tuple[WantedFile, ...]
    kept: tuple[WantedFile, ...]
    damaged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Progress(Protocol):
    """Who is told how far a download is."""

    def begin(self, files: Sequence[WantedFile]) -> None:
        """The files that are going to be fetched."""

    def kept(self, file: WantedFile) -> None:
        """A file is there already and verifies."""

    def advance(self, file: WantedFile, count: int) -> None:
        """`count` more bytes of a file are here."""

    def done(self, file: WantedFile) -> None:
        """A file is here, whole and verified."""


def files_of(model: TrainedModel) -> Iterator[tuple[ArtefactRole, ArtefactRef]]:
    """The files that a model names, by what they are."""
    for role in ArtefactRole:
        ref: ArtefactRef | None = getattr(model.spec.artefacts, to_snake(role))
        if ref is not None:
            yield role, ref


def wanted_files(model: TrainedModel) -> tuple[WantedFile, ...]:
    """The files that a model names, by their path below its location.

    A file that lies elsewhere goes into a folder named after what it is.

    Raises
    ------
    CommandError
        If a name leads out of the folder, or two files have the same one.
    """
    found: dict[str, WantedFile] = {}
    for role, ref in files_of(model):
        name = _name(ref.uri, model.spec.artefacts.location, role)
        file = WantedFile(ref.uri, ref.sha256, ref.size_bytes, name)
        if found.setdefault(name, file) != file:
            raise CommandError(
                f"TrainedModel {model.key} names two files {name}, {found[name].uri} and "
                f"{ref.uri}: it cannot be downloaded into one folder"
            )
    return tuple(found.values())


def _name(uri: str, location: str, role: str) -> str:
    folder = f"{location.rstrip('/')}/"
    name = uri[len(folder) :] if uri.startswith(folder) else f"{role}/{uri.rpartition('/')[2]}"
    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
        raise CommandError(f"the {role} of the model, {uri!r}, has no name that a file can have")
    return name


def download(
    store: Store,
    files: Sequence[WantedFile],
    folder: Path,
    progress: Progress,
    *,
    overwrite: bool = False,
) -> Downloaded:
    """Fetch what is not there yet. What was fetched before an error stays: it is verified.

    Parameters
    ----------
    folder
        Made if it is not there.
    overwrite
        Replace files that are there with other content.

    Raises
    ------
    CommandError
        Before anything is fetched, if a file is there with other content, or if another download
        writes to the folder.
    StoreError
        If the store does not answer or refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"another download is writing to {folder}: wait for it, or give another --out"
    with only_one(folder, busy):
        kept = tuple(file for file in files if _is_there(folder / file.name, file, overwrite))
        wanted = [file for file in files if file not in kept]
        progress.begin(wanted)
        for file in kept:
            progress.kept(file)
        fetched, damaged, missing = [], [], []
        for file in wanted:
            try:
                sentence = _fetch(store, file, folder / file.name, progress.advance)
            except BucketNotFound:
                raise
            except ObjectNotFound:
                missing.append(
                    f"{file.uri} is not in the store: expected SHA-256 {file.sha256}, found "
                    f"nothing, and {folder / file.name} was not written"
                )
                continue
            if sentence is None:
                fetched.append(file)
                progress.done(file)
            else:
                damaged.append(sentence)
    return Downloaded(tuple(fetched), kept, tuple(damaged), tuple(missing))


def _is_there(path: Path, file: WantedFile, overwrite: bool) -> bool:
    """Whether the file is there and verifies."""
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        return False
    if found == file.sha256:
        return True
    if overwrite:
        return False
    raise CommandError(
        f"{path} is there with other content (SHA-256 {found}, the model's has {file.sha256}): "
        "move it away, give another --out, or give --overwrite"
    )


def _fetch(
    store: Store, file: WantedFile, path: Path, advance: Callable[[WantedFile, int], None]
) -> str | None:
    """Fetch one file; a sentence if it is not what is wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as opened:
            for chunk in store.stream(file.uri):
                digest.update(chunk)
                size += len(chunk)
                # What is too long is hashed for the sentence and not kept.
                if size <= file.size_bytes:
                    opened.write(chunk)
                    advance(file, len(chunk))
            opened.flush()
            os.fsync(opened.fileno())
        if (digest.hexdigest(), size) != (file.sha256, file.size_bytes):
            return (
                f"{file.uri} is not the file that the model names: expected SHA-256 {file.sha256} "
                f"({file.size_bytes} bytes), found {digest.hexdigest()} ({size} bytes); it was "
                f"damaged or changed in the store, and {path} was not written"
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return None
