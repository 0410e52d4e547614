"""Proof that the files of a finished run or of a checkpoint are in the store, whole."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from trainyard.api.documents import first_problem
from trainyard.api.manifest import (
    CHECKPOINT_NAME,
    CHECKPOINTS_FOLDER,
    MANIFEST_NAME,
    ArtefactManifest,
    CheckpointManifest,
    StoredFile,
)
from trainyard.stores.base import Store, join
from trainyard.stores.digests import stored_sha256
from trainyard.stores.errors import ArtefactMismatch, ObjectNotFound


def verify_manifest(
    store: Store, location: str, manifest_sha256: str | None = None
) -> ArtefactManifest:
    """Read a run's manifest and check the size and SHA-256 of every file that it names.

    Parameters
    ----------
    store
        Where to read.
    location
        URI of the run's folder.
    manifest_sha256
        Expected digest of manifest.json itself; None accepts any.

    Raises
    ------
    ArtefactMismatch
        If the manifest or a file is missing, has another size, or another digest; the text names
        the file.
    StoreError
        If the store cannot be read.
    """
    uri = join(location, MANIFEST_NAME)
    try:
        data = store.read_bytes(uri)
    except ObjectNotFound:
        raise ArtefactMismatch(f"{uri} does not exist: the run was not published") from None
    found = hashlib.sha256(data).hexdigest()
    if manifest_sha256 is not None and found != manifest_sha256:
        raise ArtefactMismatch(
            f"{uri} has the SHA-256 {found}, but the trainer reported {manifest_sha256}"
        )
    try:
        manifest = ArtefactManifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtefactMismatch(f"{uri} is no manifest: {first_problem(error)}") from None
    names = {file.name for file in manifest.files}
    for role, name in manifest.roles.items():
        if name not in names:
            raise ArtefactMismatch(f"{uri}: the role {role} points to {name!r}, which is no file")
    for file in manifest.files:
        _verify_file(store, location, file)
    return manifest


def newest_checkpoint(
    store: Store, output: str, uid: str
) -> tuple[str, str, CheckpointManifest] | None:
    """The newest checkpoint of an attempt of which every file is whole.

    Parameters
    ----------
    store
        Where to read.
    output
        URI of the attempt's folder.
    uid
        UID of the TrainingProcess; a checkpoint of another one does not count.

    Returns
    -------
    Folder, SHA-256 of its checkpoint.json, and what that says; None if there is none.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    suffix = f"/{CHECKPOINT_NAME}"
    folder = join(output, CHECKPOINTS_FOLDER)
    found = sorted(
        (entry.uri for entry in store.list(folder) if entry.uri.endswith(suffix)), reverse=True
    )
    for uri in found:
        location = uri.removesuffix(suffix)
        try:
            data = store.read_bytes(uri)
            manifest = CheckpointManifest.model_validate_json(data)
            if manifest.uid != uid:
                continue
            for file in manifest.files:
                _verify_file(store, location, file)
        except (ArtefactMismatch, ObjectNotFound, ValidationError):
            continue
        return location, hashlib.sha256(data).hexdigest(), manifest
    return None


def _verify_file(store: Store, location: str, file: StoredFile) -> None:
    uri = join(location, file.name)
    size = store.stat(uri)
    if size is None:
        raise ArtefactMismatch(f"{uri} is in the manifest and does not exist")
    if size != file.size_bytes:
        raise ArtefactMismatch(f"{uri} has {size} bytes, the manifest says {file.size_bytes}")
    try:
        found = stored_sha256(store, uri)
    except ObjectNotFound:
        raise ArtefactMismatch(f"{uri} is in the manifest and does not exist") from None
    if found != file.sha256:
        raise ArtefactMismatch(f"{uri} has the SHA-256 {found}, the manifest says {file.sha256}")
