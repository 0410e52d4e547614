"""A store in a folder of this machine, for local use and tests."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from trainyard.api.manifest import StoredFile
from trainyard.stores.base import (
    CHUNK_BYTES,
    DOCUMENT_LIMIT,
    ObjectInfo,
    Uri,
    save_stream,
    stored_file,
    whole_part,
)
from trainyard.stores.documents import parse_json
from trainyard.stores.errors import (
    AccessDenied,
    InvalidUri,
    ObjectChanged,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
)


class FolderStore:
    """Objects are files, `file:///path`. Writes appear at once and whole."""

    def read_bytes(
        self, uri: str, limit: int = DOCUMENT_LIMIT, version: str | None = None
    ) -> bytes:
        """See `Store.read_bytes`."""
        with _translated(uri), _path(uri).open("rb") as file:
            data = file.read(limit + 1)
            _check_version(file, uri, version)
        if len(data) > limit:
            raise ObjectTooLarge(f"{uri} is larger than the {limit} bytes allowed for it")
        return data

    def read_part(self, uri: str, offset: int, size: int) -> bytes:
        """See `Store.read_part`."""
        with _translated(uri), _path(uri).open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        return whole_part(data, uri, offset, size)

    def read_json(self, uri: str, limit: int = DOCUMENT_LIMIT) -> Any:
        """See `Store.read_json`."""
        return parse_json(self.read_bytes(uri, limit), uri)

    def stream(
        self, uri: str, chunk_bytes: int = CHUNK_BYTES, version: str | None = None
    ) -> Iterator[bytes]:
        """See `Store.stream`."""
        with _translated(uri), _path(uri).open("rb") as file:
            while chunk := file.read(chunk_bytes):
                yield chunk
            _check_version(file, uri, version)

    def download(self, uri: str, path: Path, sha256: str | None = None) -> str:
        """See `Store.download`."""
        return save_stream(self.stream(uri), path, uri, sha256)

    def upload(self, path: Path, uri: str) -> StoredFile:
        """See `Store.upload`."""
        digest, size = hashlib.sha256(), 0
        target = _path(uri)
        with _translated(uri), _beside(target) as temporary:
            with path.open("rb") as source, temporary.open("wb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size += file.write(chunk)
            temporary.replace(target)
        return stored_file(uri, digest.hexdigest(), size)

    def write_bytes(self, uri: str, data: bytes, *, if_absent: bool = False) -> StoredFile:
        """See `Store.write_bytes`."""
        target = _path(uri)
        with _translated(uri), _beside(target) as temporary:
            temporary.write_bytes(data)
            if if_absent:
                try:
                    target.hardlink_to(temporary)
                except FileExistsError:
                    if target.read_bytes() != data:
                        raise PreconditionFailed(
                            f"{uri} is there already with other content"
                        ) from None
            else:
                temporary.replace(target)
        return stored_file(uri, hashlib.sha256(data).hexdigest(), len(data))

    def delete(self, uri: str) -> None:
        """See `Store.delete`. Folders that are left empty go too: a store has none."""
        path = _path(uri)
        with _translated(uri):
            path.unlink(missing_ok=True)
        for folder in path.parents:
            try:
                folder.rmdir()
            except OSError:
                return

    def stat(self, uri: str) -> int | None:
        """See `Store.stat`."""
        path = _path(uri)
        with _translated(uri):
            return path.stat().st_size if path.is_file() else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`. Symbolic links are left out: they may lead outside.

        The names of one folder at a time are in memory, with those of the folders above it.
        """
        yield from _files_below(_path(prefix), "")


def _files_below(folder: Path, prefix: str) -> Iterator[ObjectInfo]:
    try:
        with os.scandir(folder) as found:
            # As keys sort: "a-b" comes before "a/b", because "-" comes before "/".
            entries = sorted(
                (entry.name + ("/" if entry.is_dir(follow_symlinks=False) else ""), entry.path)
                for entry in found
                if not entry.is_symlink()
            )
    except (FileNotFoundError, NotADirectoryError):
        # Of a folder that is not there nothing is listed, as in a bucket.
        return
    except OSError as error:
        if isinstance(error, PermissionError) and folder.name == "lost+found":
            # Of the file system, at the root of many volumes.
            return
        raise _explained(error, f"file://{folder}") from None
    for name, path in entries:
        if not _is_utf8(name):
            raise InvalidUri(f"{folder} has a file whose name is not in UTF-8: {name!r}: rename it")
        if name.endswith("/"):
            yield from _files_below(Path(path), prefix + name)
            continue
        with _translated(f"file://{path}"):
            state = Path(path).stat(follow_symlinks=False)
        if stat.S_ISREG(state.st_mode):
            yield ObjectInfo(f"file://{path}", prefix + name, state.st_size, _version(state))


def _path(uri: str) -> Path:
    parsed = Uri.parse(uri)
    if parsed.scheme != "file":
        raise InvalidUri(f"{uri!r} does not lie in a folder: give file:///path")
    return Path(parsed.key)


def _version(state: os.stat_result) -> str:
    return f"{state.st_mtime_ns}-{state.st_size}"


def _check_version(file: BinaryIO, uri: str, version: str | None) -> None:
    """After reading: what was read is that version, unless somebody wrote meanwhile."""
    if version is not None and _version(os.fstat(file.fileno())) != version:
        raise ObjectChanged(f"{uri} was changed while it was being read")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary file in the folder of `target`, gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _explained(error, uri) from None


def _explained(error: OSError, uri: str) -> StoreError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return ObjectNotFound(f"{uri} does not exist")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{uri} may not be accessed by this user")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreUnavailable(f"the disk that {uri} lies on is full")
    return StoreUnavailable(f"{uri}: {error.strerror or type(error).__name__}")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
