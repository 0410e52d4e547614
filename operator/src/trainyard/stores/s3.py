"""A store in S3 or anything that speaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from trainyard.api.manifest import StoredFile
from trainyard.api.run import StoreLocation
from trainyard.stores.base import (
    CHUNK_BYTES,
    DOCUMENT_LIMIT,
    Credentials,
    ObjectInfo,
    Uri,
    save_stream,
    stored_file,
    whole_part,
)
from trainyard.stores.documents import parse_json
from trainyard.stores.errors import (
    AccessDenied,
    BucketNotFound,
    InvalidUri,
    ObjectChanged,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    StoreUnavailable,
)
from trainyard.stores.quick import QuickReader
from trainyard.stores.s3_errors import translated
from trainyard.stores.s3_upload import send

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 5
_STREAM_RESUMPTIONS = 4
_CONNECTIONS = 32
_LOST = (HTTPError, HTTPClientError, ConnectionError, TimeoutError, BotoCoreError)


class S3Store:
    """Objects of buckets, `s3://bucket/key`, through boto3; source files faster where they can.

    Parameters
    ----------
    location
        Endpoint and region.
    credentials
        Keys; by default those of the environment.
    read_timeout_seconds
        Longest silence of the server within a reply.

    Raises
    ------
    AccessDenied
        If there are no credentials.
    """

    def __init__(
        self,
        location: StoreLocation,
        credentials: Credentials | None = None,
        *,
        read_timeout_seconds: float = _READ_TIMEOUT_SECONDS,
    ) -> None:
        keys = credentials or Credentials.from_environment()
        if keys is None:
            raise AccessDenied(
                "no credentials for the object store: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        self._quick = QuickReader(location, keys)
        self._where = location.endpoint_url or "the provider's S3 endpoint"
        session = boto3.session.Session(
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.session_token,
            region_name=location.region,
        )
        try:
            self._client: S3Client = session.client(
                "s3",
                endpoint_url=location.endpoint_url,
                config=Config(
                    connect_timeout=_CONNECT_TIMEOUT_SECONDS,
                    read_timeout=read_timeout_seconds,
                    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                    max_pool_connections=_CONNECTIONS,
                    # Own servers rarely have a DNS name per bucket.
                    s3={"addressing_style": "path" if location.endpoint_url else "auto"},
                    # Many servers do not know the newer checksums; every file that matters is
                    # checked by its SHA-256 anyway.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        except (ValueError, BotoCoreError):
            raise InvalidUri(
                f"the store's endpoint {location.endpoint_url!r} is not a URL such as "
                "http://host:port"
            ) from None

    def read_bytes(
        self, uri: str, limit: int = DOCUMENT_LIMIT, version: str | None = None
    ) -> bytes:
        """See `Store.read_bytes`."""
        if version is not None:
            # Somebody reads what was listed: files of a source, many of them and mostly small.
            quick = self._quick.read(_parse(uri), limit, version)
            if quick is not None:
                return quick
        data = bytearray()
        for chunk in self._chunks(uri, CHUNK_BYTES, version):
            data += chunk
            if len(data) > limit:
                raise ObjectTooLarge(f"{uri} is larger than the {limit} bytes allowed for it")
        return bytes(data)

    def read_part(self, uri: str, offset: int, size: int) -> bytes:
        """See `Store.read_part`."""
        place = _parse(uri)
        wanted = f"bytes={offset}-{offset + size - 1}"
        with self._explained(uri):
            try:
                reply = self._client.get_object(Bucket=place.bucket, Key=place.key, Range=wanted)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "InvalidRange":
                    raise
                data = b""
            else:
                data = reply["Body"].read()
        return whole_part(data, uri, offset, size)

    def read_json(self, uri: str, limit: int = DOCUMENT_LIMIT) -> Any:
        """See `Store.read_json`."""
        return parse_json(self.read_bytes(uri, limit), uri)

    def stream(
        self, uri: str, chunk_bytes: int = CHUNK_BYTES, version: str | None = None
    ) -> Iterator[bytes]:
        """See `Store.stream`."""
        return self._chunks(uri, chunk_bytes, version)

    def download(self, uri: str, path: Path, sha256: str | None = None) -> str:
        """See `Store.download`."""
        return save_stream(self.stream(uri), path, uri, sha256)

    def upload(self, path: Path, uri: str) -> StoredFile:
        """See `Store.upload`."""
        place = _parse(uri)
        with self._explained(uri):
            sha256, size = send(self._client, path, place)
        return stored_file(uri, sha256, size)

    def write_bytes(self, uri: str, data: bytes, *, if_absent: bool = False) -> StoredFile:
        """See `Store.write_bytes`."""
        place = _parse(uri)
        stored = stored_file(uri, hashlib.sha256(data).hexdigest(), len(data))
        try:
            with self._explained(uri):
                if if_absent:
                    self._client.put_object(
                        Bucket=place.bucket, Key=place.key, Body=data, IfNoneMatch="*"
                    )
                else:
                    self._client.put_object(Bucket=place.bucket, Key=place.key, Body=data)
        except PreconditionFailed:
            if self.stat(uri) != len(data) or self.read_bytes(uri, len(data)) != data:
                raise
        return stored

    def delete(self, uri: str) -> None:
        """See `Store.delete`."""
        place = _parse(uri)
        try:
            with self._explained(uri):
                self._client.delete_object(Bucket=place.bucket, Key=place.key)
        except BucketNotFound:
            raise
        except ObjectNotFound:
            return

    def stat(self, uri: str) -> int | None:
        """See `Store.stat`."""
        place = _parse(uri)
        try:
            with self._explained(uri):
                found = self._client.head_object(Bucket=place.bucket, Key=place.key)
        except BucketNotFound:
            raise
        except ObjectNotFound:
            return None
        return found["ContentLength"]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`."""
        place = _parse(prefix)
        # "data/a" must not list what lies under "data/ab".
        folder = f"{place.key.rstrip('/')}/" if place.key else ""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=place.bucket, Prefix=folder
        )
        iterator = iter(pages)
        while True:
            with self._explained(prefix):
                page = next(iterator, None)
            if page is None:
                return
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if not key.endswith("/"):
                    yield ObjectInfo(
                        f"s3://{place.bucket}/{key}",
                        key[len(folder) :],
                        entry["Size"],
                        entry.get("ETag", ""),
                    )

    def _chunks(self, uri: str, chunk_bytes: int, version: str | None) -> Iterator[bytes]:
        """Content in pieces; after a lost connection the rest of the same version is asked for."""
        place = _parse(uri)
        offset, resumptions = 0, 0
        while True:
            with self._explained(uri):
                # A range that starts at 0 is refused for an empty object.
                if offset:
                    reply = self._client.get_object(
                        Bucket=place.bucket, Key=place.key, Range=f"bytes={offset}-"
                    )
                else:
                    reply = self._client.get_object(Bucket=place.bucket, Key=place.key)
            found = reply.get("ETag", "")
            if version is not None and found != version:
                reply["Body"].close()
                raise ObjectChanged(f"{uri} was changed while it was being read")
            version = found
            end = offset + reply["ContentLength"]
            body = reply["Body"]
            try:
                while True:
                    try:
                        chunk = body.read(chunk_bytes)
                    except _LOST as error:
                        resumptions += 1
                        if resumptions > _STREAM_RESUMPTIONS:
                            raise StoreUnavailable(
                                f"{self._where} broke off {resumptions} times while sending "
                                f"{uri} ({type(error).__name__})"
                            ) from None
                        break
                    if not chunk:
                        return
                    offset += len(chunk)
                    yield chunk
            finally:
                body.close()
            if offset >= end:
                return

    def _explained(self, uri: str) -> AbstractContextManager[None]:
        """Errors of boto3 while it is asked for `uri`, as errors of a store."""
        return translated(uri, self._where)


def _parse(uri: str) -> Uri:
    place = Uri.parse(uri)
    if place.scheme != "s3":
        raise InvalidUri(f"{uri!r} does not lie in a bucket: give s3://bucket/key")
    return place
