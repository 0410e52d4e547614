"""One store for all URIs: the scheme says who keeps the bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainyard.api.manifest import StoredFile
from trainyard.api.run import StoreLocation
from trainyard.stores.base import CHUNK_BYTES, DOCUMENT_LIMIT, Credentials, ObjectInfo, Store, Uri
from trainyard.stores.folder import FolderStore
from trainyard.stores.s3 import S3Store


def open_store(location: StoreLocation, credentials: Credentials | None = None) -> Store:
    """The store for `s3://` and `file://` URIs.

    Nothing is connected yet, and credentials are asked for only when the first `s3://` URI is
    used: a run between local folders needs none.

    Parameters
    ----------
    location
        Endpoint and region of S3.
    credentials
        Keys for S3; by default AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment.
    """
    return _RoutedStore(location, credentials)


class _RoutedStore:
    def __init__(self, location: StoreLocation, credentials: Credentials | None) -> None:
        self._location, self._credentials = location, credentials
        self._folder = FolderStore()
        self._s3: S3Store | None = None
        self._opening = threading.Lock()

    def _of(self, uri: str) -> Store:
        if Uri.parse(uri).scheme == "file":
            return self._folder
        with self._opening:
            if self._s3 is None:
                self._s3 = S3Store(self._location, self._credentials)
            return self._s3

    def read_bytes(
        self, uri: str, limit: int = DOCUMENT_LIMIT, version: str | None = None
    ) -> bytes:
        return self._of(uri).read_bytes(uri, limit, version)

    def read_part(self, uri: str, offset: int, size: int) -> bytes:
        return self._of(uri).read_part(uri, offset, size)

    def read_json(self, uri: str, limit: int = DOCUMENT_LIMIT) -> Any:
        return self._of(uri).read_json(uri, limit)

    def stream(
        self, uri: str, chunk_bytes: int = CHUNK_BYTES, version: str | None = None
    ) -> Iterator[bytes]:
        return self._of(uri).stream(uri, chunk_bytes, version)

    def download(self, uri: str, path: Path, sha256: str | None = None) -> str:
        return self._of(uri).download(uri, path, sha256)

    def upload(self, path: Path, uri: str) -> StoredFile:
        return self._of(uri).upload(path, uri)

    def write_bytes(self, uri: str, data: bytes, *, if_absent: bool = False) -> StoredFile:
        return self._of(uri).write_bytes(uri, data, if_absent=if_absent)

    def delete(self, uri: str) -> None:
        self._of(uri).delete(uri)

    def stat(self, uri: str) -> int | None:
        return self._of(uri).stat(uri)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._of(prefix).list(prefix)
