"""SHA-256 of files, here and in a store, a piece at a time."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trainyard.stores.base import Store


def sha256_of(path: Path) -> str:
    """Digest of a file on this machine.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored_sha256(store: Store, uri: str) -> str:
    """Digest of a stored file, read as a stream.

    Raises
    ------
    StoreError
        If the store does not give it.
    """
    digest = hashlib.sha256()
    for chunk in store.stream(uri):
        digest.update(chunk)
    return digest.hexdigest()
