"""How files are sent to S3: in parts, hashed on the way."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from boto3.s3.transfer import TransferConfig

from trainyard.stores.base import CHUNK_BYTES, Uri

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_PART_BYTES = 16 << 20
# Fewer threads than the client has connections: others list and read while a file is being sent.
_TRANSFER = TransferConfig(
    multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=4
)


def send(client: S3Client, path: Path, place: Uri) -> tuple[str, int]:
    """Send a file; its SHA-256 and its size as they were sent."""
    with path.open("rb") as file:
        reader = _HashingReader(file)
        client.upload_fileobj(cast("IO[bytes]", reader), place.bucket, place.key, Config=_TRANSFER)
    return reader.digest.hexdigest(), reader.size


def etag_of(path: Path) -> str:
    """The ETag that an object has which `send` made of a file, as `list` shows it.

    The MD5 of the content, or of the MD5s of its parts with their number. A store that encrypts
    with keys of its own, or another program that sent larger or smaller parts, gives others: equal
    ETags say that the content is equal, different ones say nothing.
    """
    parts: list[bytes] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(0, max(size, 1), _PART_BYTES):
            part = hashlib.md5(usedforsecurity=False)
            left = _PART_BYTES
            while left and (data := file.read(min(left, CHUNK_BYTES))):
                part.update(data)
                left -= len(data)
            parts.append(part.digest())
    if size < _PART_BYTES:
        return f'"{parts[0].hex()}"'
    return f'"{hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"'


class _HashingReader(io.RawIOBase):
    """Hashes what is read. Not seekable, so that every byte is read, and sent, exactly once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        self.size += len(data)
        return data
