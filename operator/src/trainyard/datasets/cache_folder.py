"""A folder of files named by their SHA-256 that the runs of a node share, bounded in bytes."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trainyard.api.manifest import StoredFile

_LOCK = ".lock"
_ENTRY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"\.[0-9a-f]{64}\..+\.partial")
# Nothing is done under the lock that takes long; whoever keeps it for so long stands still.
_LOCK_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Partial:
    """A file that will be an entry; it lives as long as the process that has it open."""

    path: Path
    file: BinaryIO


class CacheFolder:
    """Entries and what is being written, with room for them, on a disk that several runs use.

    The time of an entry's last use is its modification time; the least recently used go first.
    What goes wrong with the disk is raised as OSError, also if another run does not let go of the
    folder's lock.

    Parameters
    ----------
    path
        Where the entries lie. Files with other names are left alone.
    limit_bytes
        What all entries together may take, those that are being written included.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path, self.limit_bytes = path, limit_bytes

    def entry(self, file: StoredFile) -> Path:
        """Where an entry lies if it is there."""
        return self.path / file.sha256

    def has(self, file: StoredFile) -> bool:
        """Whether there seems to be such an entry."""
        try:
            return self.entry(file).stat().st_size == file.size_bytes
        except OSError:
            return False

    def tidy(self) -> None:
        """Remove what killed runs left, and what is over the limit."""
        with self._locked():
            self._make_room(0)

    def reserve(self, file: StoredFile) -> Partial | None:
        """Room for a new entry; None if it is there or there is no room that may be freed."""
        with self._locked():
            # Another run may have added it meanwhile.
            if self.has(file) or not self._make_room(file.size_bytes):
                return None
            return self._take_room(file)

    def publish(self, partial: Partial, file: StoredFile) -> None:
        """Give a finished entry its name."""
        with self._locked():
            partial.path.rename(self.entry(file))

    def _take_room(self, file: StoredFile) -> Partial:
        """A temporary file that takes the entry's room at once; a full disk is noticed here."""
        handle, name = tempfile.mkstemp(dir=self.path, prefix=f".{file.sha256}.", suffix=".partial")
        path = Path(name)
        try:
            # Held while this process lives: without it the file is a dead process's.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.size_bytes:
                os.posix_fallocate(handle, 0, file.size_bytes)
            return Partial(path, os.fdopen(handle, "wb"))
        except OSError:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise

    def _make_room(self, size: int) -> bool:
        """Remove the least recently used entries until `size` bytes fit; under the lock."""
        entries, used = [], 0
        with os.scandir(self.path) as found:
            for item in found:
                if _ENTRY.fullmatch(item.name):
                    with suppress(FileNotFoundError):
                        state = item.stat(follow_symlinks=False)
                        entries.append((state.st_mtime_ns, item.name, state.st_size))
                elif _PARTIAL.fullmatch(item.name):
                    used += self._size_if_alive(Path(item.path))
        if used + size > self.limit_bytes:
            return False
        used += sum(entry[2] for entry in entries)
        for _, name, freed in sorted(entries):
            if used + size <= self.limit_bytes:
                break
            (self.path / name).unlink(missing_ok=True)
            used -= freed
        return True

    def _size_if_alive(self, path: Path) -> int:
        """Bytes of an entry that is being written; what a dead process left is removed."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return 0
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.fstat(handle).st_size
        else:
            path.unlink(missing_ok=True)
            return 0
        finally:
            os.close(handle)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone in the folder, of all processes of the node.

        Raises
        ------
        OSError
            Also if another one does not let go.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self.path / _LOCK, flags, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(handle):
                if time.monotonic() >= deadline:
                    raise TimeoutError(0, f"another run has held {_LOCK} for {_LOCK_SECONDS:g} s")
                time.sleep(_LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
