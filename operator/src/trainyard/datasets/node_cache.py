"""Files of the store, kept on a node so that later runs need not fetch them."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from trainyard.api.manifest import StoredFile
from trainyard.api.run import CACHE_BYTES_ENV, CACHE_ENV
from trainyard.datasets.cache_folder import CacheFolder, Partial
from trainyard.stores.base import CHUNK_BYTES

_log = logging.getLogger("trainyard")


class NodeCache:
    """A folder that the runs of a node share, bounded in bytes.

    An entry is a file named by its SHA-256, and believed only after its content was hashed: who
    can write into the folder can waste a run's time, but not change its data.

    Nothing here fails a run. What goes wrong is said once in the log; entries that can be read
    are used nevertheless. (What is written into an entry after it was hashed and before it is
    used, nobody does by accident: the digests of the images in it find that out.)

    Parameters
    ----------
    folder
        Where the entries lie. Files with other names are left alone.
    limit_bytes
        What all entries together may take, those that are being written included.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = CacheFolder(folder, limit_bytes)
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
            self._folder.tidy()
        except OSError as error:
            self._add_no_more(error)

    def has(self, file: StoredFile) -> bool:
        """Whether there seems to be such an entry."""
        return self._folder.has(file)

    def open(self, file: StoredFile) -> BufferedReader | None:
        """An entry, its content verified, or None.

        What is open stays readable when it is evicted meanwhile. A damaged entry is removed.
        """
        path = self._folder.entry(file)
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

    def chunks(self, opened: BufferedReader, file: StoredFile) -> Iterator[bytes]:
        """What an opened entry holds, as far as it can be read: a disk may fail at any time.

        An entry that ends too early is removed.
        """
        left, damage = file.size_bytes, "it was cut off while it was read"
        try:
            while left and (chunk := opened.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk
        except OSError as error:
            damage = error.strerror or type(error).__name__
        if left:
            self._discard(self._folder.entry(file), damage)

    @contextmanager
    def adding(self, file: StoredFile) -> Iterator[Addition]:
        """Room for a new entry, which is there as soon as it is kept, and whole.

        Everything written counts as thrown away unless `keep` is called.
        """
        addition = Addition(self._folder, file, self._begin(file), self._add_no_more)
        try:
            yield addition
        finally:
            addition.drop()

    def _begin(self, file: StoredFile) -> Partial | None:
        if not self._adds:
            return None
        if file.size_bytes > self._folder.limit_bytes:
            if not self._said_too_large:
                _log.warning(
                    "%s has %d bytes, more than the %d of the cache %s: such files are not kept",
                    file.name,
                    file.size_bytes,
                    self._folder.limit_bytes,
                    self._folder.path,
                )
            self._said_too_large = True
            return None
        try:
            return self._folder.reserve(file)
        except OSError as error:
            self._add_no_more(error)
            return None

    def _discard(self, path: Path, damage: str) -> None:
        _log.warning("the cached file %s is damaged (%s): it is fetched again", path, damage)
        with suppress(OSError):
            path.unlink()

    def _add_no_more(self, error: OSError) -> None:
        if self._adds:
            _log.warning(
                "the cache %s cannot be written to (%s): nothing is added to it",
                self._folder.path,
                error.strerror or type(error).__name__,
            )
        self._adds = False


class Addition:
    """A new entry while its content comes. Nothing of it raises.

    Parameters
    ----------
    folder, file
        What it becomes, and where.
    partial
        What is written to; None if it is not kept.
    failed
        Told what went wrong with the disk.
    """

    def __init__(
        self,
        folder: CacheFolder,
        file: StoredFile,
        partial: Partial | None,
        failed: Callable[[OSError], None],
    ) -> None:
        self._folder, self._file, self._partial = folder, file, partial
        self._failed = failed

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
            self._folder.publish(self._partial, self._file)
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
        self._failed(error)
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
