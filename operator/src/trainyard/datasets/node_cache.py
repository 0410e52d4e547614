"""Files of the store, kept on a node by their SHA-256, so that later runs need not fetch them."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from trainyard.api.manifest import StoredFile
from trainyard.api.run import CACHE_BYTES_ENV, CACHE_ENV

_LOCK = ".lock"
_ENTRY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"\.[0-9a-f]{64}\..+\.partial")
# Nothing is done under the lock that takes long; whoever keeps it for so long stands still.
_LOCK_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.01

_log = logging.getLogger("trainyard")


class NodeCache:
    """A folder that the runs of a node share, bounded in bytes.

    An entry is a file named by its SHA-256, and believed only after its content was hashed: who
    can write into the folder can waste a run's time, but not change its data. The time of an
    entry's last use is its modification time; the least recently used go first.

    Nothing here fails a run. What goes wrong is said once in the log; entries that can be read
    are used nevertheless.

    Parameters
    ----------
    folder
        Where the entries lie. Files with other names are left alone.
    limit_bytes
        What all entries together may take, those that are being written included.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._adds = True
        self._said_too_large = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> NodeCache | None:
        """The cache that TRAINYARD_NODE_CACHE names, tidied up; None without a usable one."""
        environ = os.environ if environ is None else environ
        named, size = environ.get(CACHE_ENV), environ.get(CACHE_BYTES_ENV, "")
        if not named:
            return None
        if not size.isdecimal() or not int(size):
            _log.warning(
                "%s is %r: give the bytes that the cache in %s may take; it is not used",
                CACHE_BYTES_ENV,
                size,
                named,
            )
            return None
        folder = Path(named)
        if not folder.is_dir():
            _log.warning("the cache %s is no folder: it is not used", folder)
            return None
        cache = cls(folder, int(size))
        cache.tidy()
        return cache

    def tidy(self) -> None:
        """Remove what killed runs left, and what is over the limit."""
        try:
            with self._locked():
                self._make_room(0)
        except OSError as error:
            self._add_no_more(error)

    def has(self, file: StoredFile) -> bool:
        """Whether there seems to be such an entry."""
        try:
            return (self._folder / file.sha256).stat().st_size == file.size_bytes
        except OSError:
            return False

    def open(self, file: StoredFile) -> BufferedReader | None:
        """An entry, its content verified, or None.

        What is open stays readable when it is evicted meanwhile. A damaged entry is removed.
        """
        path = self._folder / file.sha256
        try:
            # Neither led elsewhere by a link nor kept waiting by a pipe.
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._discard(path, error.strerror or type(error).__name__)
            return None
        try:
            opened = os.fdopen(handle, "rb")
        except OSError as error:
            os.close(handle)
            self._discard(path, error.strerror or type(error).__name__)
            return None
        if (damage := _damage(opened, file)) is not None:
            opened.close()
            self._discard(path, damage)
            return None
        with suppress(OSError):  # A read-only folder: the order of eviction is another's business.
            os.utime(opened.fileno())
        opened.seek(0)
        return opened

    @contextmanager
    def adding(self, file: StoredFile) -> Iterator[Addition]:
        """Room for a new entry, which is there as soon as it is kept, and whole.

        Everything written counts as thrown away unless `keep` is called.
        """
        addition = Addition(self, file, self._begin(file))
        try:
            yield addition
        finally:
            addition.drop()

    def _begin(self, file: StoredFile) -> _Partial | None:
        if not self._adds:
            return None
        if file.size_bytes > self._limit:
            if not self._said_too_large:
                _log.warning(
                    "%s has %d bytes, more than the %d of the cache %s: such files are not kept",
                    file.name,
                    file.size_bytes,
                    self._limit,
                    self._folder,
                )
            self._said_too_large = True
            return None
        try:
            with self._locked():
                # Another run may have added it meanwhile.
                if self.has(file) or not self._make_room(file.size_bytes):
                    return None
                return self._reserve(file)
        except OSError as error:
            self._add_no_more(error)
            return None

    def _reserve(self, file: StoredFile) -> _Partial:
        """A temporary file that takes the entry's room at once; a full disk is noticed here."""
        handle, name = tempfile.mkstemp(
            dir=self._folder, prefix=f".{file.sha256}.", suffix=".partial"
        )
        path = Path(name)
        try:
            # Held while this process lives: without it the file is a dead process's.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.size_bytes:
                os.posix_fallocate(handle, 0, file.size_bytes)
            return _Partial(path, os.fdopen(handle, "wb"))
        except OSError:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise

    def _make_room(self, size: int) -> bool:
        """Remove the least recently used entries until `size` bytes fit; under the lock."""
        entries, used = [], 0
        with os.scandir(self._folder) as found:
            for item in found:
                if _ENTRY.fullmatch(item.name):
                    with suppress(FileNotFoundError):
                        state = item.stat(follow_symlinks=False)
                        entries.append((state.st_mtime_ns, item.name, state.st_size))
                elif _PARTIAL.fullmatch(item.name):
                    used += self._size_if_alive(Path(item.path))
        if used + size > self._limit:
            return False
        used += sum(entry[2] for entry in entries)
        for _, name, freed in sorted(entries):
            if used + size <= self._limit:
                break
            (self._folder / name).unlink(missing_ok=True)
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

    def publish(self, partial: Path, file: StoredFile) -> None:
        """Give a finished entry its name; raises OSError."""
        with self._locked():
            partial.rename(self._folder / file.sha256)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone in the folder, of all processes of the node.

        Raises
        ------
        OSError
            Also if another one does not let go.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self._folder / _LOCK, flags, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(handle):
                if time.monotonic() >= deadline:
                    raise TimeoutError(0, f"another run has held {_LOCK} for {_LOCK_SECONDS:g} s")
                time.sleep(_LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(handle)

    def _discard(self, path: Path, damage: str) -> None:
        _log.warning("the cached file %s is damaged (%s): it is fetched again", path, damage)
        with suppress(OSError):
            path.unlink()

    def _add_no_more(self, error: OSError) -> None:
        if self._adds:
            _log.warning(
                "the cache %s cannot be written to (%s): nothing is added to it",
                self._folder,
                error.strerror or type(error).__name__,
            )
        self._adds = False


@dataclass(frozen=True)
class _Partial:
    path: Path
    file: BinaryIO


class Addition:
    """A new entry while its content comes. Nothing of it raises.

    Parameters
    ----------
    cache, file
        What it becomes, and where.
    partial
        What is written to; None if it is not kept.
    """

    def __init__(self, cache: NodeCache, file: StoredFile, partial: _Partial | None) -> None:
        self._cache, self._file, self._partial = cache, file, partial

    def write(self, chunk: bytes) -> None:
        """More of its content."""
        if self._partial is None:
            return
        try:
            self._partial.file.write(chunk)
        except OSError as error:
            self._give_up(error)

    def keep(self) -> None:
        """The content is complete and has the right digest: from now on it is an entry."""
        if self._partial is None:
            return
        try:
            # Nothing is synchronised: what a power cut damages is noticed when it is read.
            self._partial.file.flush()
            self._cache.publish(self._partial.path, self._file)
        except OSError as error:
            self._give_up(error)
        else:
            self._partial.file.close()
            self._partial = None

    def drop(self) -> None:
        """Forget what is not kept."""
        if self._partial is None:
            return
        with suppress(OSError):
            self._partial.path.unlink(missing_ok=True)
        with suppress(OSError):
            self._partial.file.close()
        self._partial = None

    def _give_up(self, error: OSError) -> None:
        self._cache._add_no_more(error)
        self.drop()


def _damage(opened: BufferedReader, file: StoredFile) -> str | None:
    """What is wrong with an entry, or None."""
    try:
        state = os.fstat(opened.fileno())
        if not stat.S_ISREG(state.st_mode):
            return "it is no file"
        if state.st_size != file.size_bytes:
            return f"it has {state.st_size} bytes instead of {file.size_bytes}"
        if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
            return "its content has another digest"
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
