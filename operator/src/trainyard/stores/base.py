"""What a store can do, whatever keeps the bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self

from trainyard.api.manifest import StoredFile
from trainyard.stores.errors import DigestMismatch, InvalidUri, ObjectChanged

CHUNK_BYTES = 1 << 20
"""Bytes that are read and hashed at a time."""

DOCUMENT_LIMIT = 16 << 20
"""Largest document (bytes) that is read into memory unless a caller says otherwise."""


@dataclass(frozen=True)
class Credentials:
    """Keys of an S3 account. They appear in no repr, log line or error."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> Self | None:
        """Keys from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, if set.

        Nothing else is asked, in particular no metadata service: a pod talks to its store only.
        """
        access, secret = (
            os.environ.get("AWS_ACCESS_KEY_ID"),
            os.environ.get("AWS_SECRET_ACCESS_KEY"),
        )
        if not access or not secret:
            return None
        return cls(access, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


@dataclass(frozen=True)
class Uri:
    """A place in a store.

    Attributes
    ----------
    scheme
        `s3` or `file`.
    bucket
        Bucket name; empty for `file`.
    key
        Key in the bucket without a leading slash, or the absolute path of a file.
    """

    scheme: str
    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Read `s3://bucket/key` or `file:///path`.

        Raises
        ------
        InvalidUri
            If it is neither, or has a `..` segment.
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in {"s3", "file"}:
            raise InvalidUri(
                f"{text!r} is no place in a store: give s3://bucket/key or file:///path"
            )
        if ".." in rest.split("/"):
            raise InvalidUri(f"{text!r} has a '..' segment: write the place out in full")
        if scheme == "file":
            if not rest.startswith("/"):
                raise InvalidUri(f"{text!r} is not absolute: give file:///path")
            return cls("file", "", rest)
        bucket, _, key = rest.partition("/")
        if not bucket:
            raise InvalidUri(f"{text!r} names no bucket: give s3://bucket/key")
        return cls("s3", bucket, key)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}{'/' if self.scheme == 's3' else ''}{self.key}"


def join(folder: str, *parts: str) -> str:
    """The URI of something inside a folder: `join("s3://b/runs/", "a", "x.json")`."""
    return "/".join((folder.rstrip("/"), *(part.strip("/") for part in parts)))


def parent(folder: str) -> str:
    """The URI of the folder that a folder lies in."""
    return folder.rstrip("/").rpartition("/")[0]


@dataclass(frozen=True)
class ObjectInfo:
    """One entry of a listing.

    Attributes
    ----------
    uri
        Its place.
    name
        Its path below the listed prefix.
    size
        Bytes.
    version
        Changes when the content changes: the ETag, or a file's time and size.
    """

    uri: str
    name: str
    size: int
    version: str


class Store(Protocol):
    """Bytes by URI. Instances may be used by several threads at once.

    All methods raise a `StoreError`: `StoreUnavailable`, `AccessDenied`, `BucketNotFound`,
    `ObjectNotFound`, `InvalidUri`, and those they name themselves.
    """

    def read_bytes(
        self, uri: str, limit: int = DOCUMENT_LIMIT, version: str | None = None
    ) -> bytes:
        """Whole content of an object of at most `limit` bytes.

        Raises
        ------
        ObjectTooLarge
            If it is larger.
        ObjectChanged
            If `version` (of `ObjectInfo`) is given and the object has another one by now.
        """
        ...

    def read_part(self, uri: str, offset: int, size: int) -> bytes:
        """`size` bytes of an object from `offset` on (both in bytes, `size` at least 1).

        Raises
        ------
        ObjectChanged
            If the object ends before them.
        """
        ...

    def read_json(self, uri: str, limit: int = DOCUMENT_LIMIT) -> Any:
        """Plain values of a JSON document; raises `StoreError` if it is none."""
        ...

    def stream(
        self, uri: str, chunk_bytes: int = CHUNK_BYTES, version: str | None = None
    ) -> Iterator[bytes]:
        """Content in pieces of at most `chunk_bytes`; a lost connection is taken up again.

        Raises
        ------
        ObjectChanged
            If `version` (of `ObjectInfo`) is given and the object has another one by now.
        """
        ...

    def download(self, uri: str, path: Path, sha256: str | None = None) -> str:
        """Write the object to `path`, which appears at once and whole, and return its SHA-256.

        Raises
        ------
        DigestMismatch
            If the content has another digest than `sha256`; nothing is left at `path`.
        """
        ...

    def upload(self, path: Path, uri: str) -> StoredFile:
        """Store a file; the digest is that of the bytes sent, the name the URI's last segment."""
        ...

    def write_bytes(self, uri: str, data: bytes, *, if_absent: bool = False) -> StoredFile:
        """Store `data`.

        Raises
        ------
        PreconditionFailed
            With `if_absent`, if an object with other content is there. The same content counts
            as written: the reply to an earlier try may have been lost.
        """
        ...

    def delete(self, uri: str) -> None:
        """Remove an object; one that is not there counts as removed."""
        ...

    def stat(self, uri: str) -> int | None:
        """Size in bytes, or None if there is no such object."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a prefix (a folder), in the order of their keys."""
        ...


def stored_file(uri: str, sha256: str, size_bytes: int) -> StoredFile:
    """What was stored at a URI.

    The name is as it is: images that people upload are called what they like. A manifest that
    names a file is checked when it is read.
    """
    name = PurePosixPath(uri).name
    return StoredFile.model_construct(name=name, sha256=sha256, size_bytes=size_bytes)


def whole_part(data: bytes, uri: str, offset: int, size: int) -> bytes:
    """The part that was read, if it is all that was asked for.

    Raises
    ------
    ObjectChanged
        If the object ended before.
    """
    if len(data) != size:
        raise ObjectChanged(
            f"{uri} ends before byte {offset + size}: it is not the object that it was"
        )
    return data


def save_stream(chunks: Iterator[bytes], path: Path, uri: str, sha256: str | None) -> str:
    """Write `chunks` to a temporary file beside `path`, check the digest, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary, digest = Path(name), hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        check_digest(uri, digest.hexdigest(), sha256)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def check_digest(uri: str, found: str, expected: str | None) -> None:
    """Compare digests, unless nothing is expected.

    Raises
    ------
    DigestMismatch
        If they differ.
    """
    if expected is not None and found != expected:
        raise DigestMismatch(
            f"{uri} has the SHA-256 {found}, expected {expected}: it was damaged or changed"
        )
