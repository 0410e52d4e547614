"""Shards: images packed into tar files that are named by their content."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from trainyard.api.manifest import StoredFile
from trainyard.stores import Store, join
from trainyard.stores.digests import sha256_of

SHARD_LIMIT = 64 << 20
"""Largest shard, in bytes."""

_BLOCK = 512
# The end of an archive: two empty blocks, filled up to a record.
_TRAILER = 2 * _BLOCK + tarfile.RECORDSIZE


class ShardWriter:
    """Packs images in the order given; the same order gives the same bytes.

    Parameters
    ----------
    store
        Where finished shards go.
    output
        Folder above `shards/`.
    limit
        Bytes at which a shard is closed.
    """

    def __init__(self, store: Store, output: str, limit: int = SHARD_LIMIT) -> None:
        self._store, self._output, self._limit = store, output, limit
        self._folder = tempfile.TemporaryDirectory(prefix="trainyard-shards-")
        self._path = Path(self._folder.name) / "open.tar"
        self._tar: tarfile.TarFile | None = None
        self.finished: list[StoredFile] = []

    def full_with(self, size: int) -> bool:
        """Whether an image of `size` bytes has no room in the open shard."""
        if self._tar is None:
            return False
        return self._tar.offset + _padded(size) + _TRAILER > self._limit

    def add(self, data: bytes, name: str) -> tuple[int, int]:
        """Pack one image; returns the index of its shard and its offset there, in bytes."""
        if self._tar is None:
            self._tar = tarfile.TarFile(self._path, "w", format=tarfile.USTAR_FORMAT)
        # Only what the content itself says: no times, no owners.
        header = tarfile.TarInfo(name)
        header.size = len(data)
        header.mode = 0o644
        offset = self._tar.offset + _BLOCK
        self._tar.addfile(header, io.BytesIO(data))
        # It would keep every header until the end.
        self._tar.getmembers().clear()
        return len(self.finished), offset

    def finish(self) -> StoredFile | None:
        """Finish the open shard and put it into the store, unless it is there; None if none is."""
        if self._tar is None:
            return None
        self._tar.close()
        self._tar = None
        digest = sha256_of(self._path)
        stored = StoredFile(
            name=f"shards/{digest}.tar", sha256=digest, size_bytes=self._path.stat().st_size
        )
        uri = join(self._output, stored.name)
        if self._store.stat(uri) != stored.size_bytes:
            self._store.upload(self._path, uri)
        self.finished.append(stored)
        self._path.unlink()
        return stored

    def close(self) -> None:
        """Remove what is left on this machine; an unfinished shard is dropped."""
        if self._tar is not None:
            self._tar.close()
        self._folder.cleanup()


def _padded(size: int) -> int:
    return _BLOCK + -(-size // _BLOCK) * _BLOCK
