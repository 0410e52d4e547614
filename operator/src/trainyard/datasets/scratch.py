"""Tables on this machine's disk, for what may be larger than its memory."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from trainyard.datasets.errors import DiskFull

_CACHE_KIB = 16 << 10
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Scratch:
    """An SQLite database that is gone at the end. Threads may share it.

    Nothing in it survives a crash, so it writes no journal; and no more than a stated part of it
    is in memory.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trainyard-scratch-")
        self.database = sqlite3.connect(
            Path(self._folder.name) / "scratch.db",
            check_same_thread=False,
            isolation_level=None,
            # From Python 3.12 on, two threads that ask the same at the same time may get one cached
            # statement, and then one of them the other's answer: each question gets its own.
            cached_statements=0,
        )
        for setting in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            "temp_store = FILE",
            f"cache_size = -{_CACHE_KIB}",
        ):
            self.database.execute(f"PRAGMA {setting}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it."""
        self.database.close()
        self._folder.cleanup()


@contextmanager
def full_disk_explained() -> Iterator[None]:
    """Say in a sentence that the disk is full, whoever found out.

    Raises
    ------
    DiskFull
        If that is what went wrong.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        full = getattr(error, "errno", None) in _FULL
        if not full and getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
            raise
        raise DiskFull(
            f"the disk under {tempfile.gettempdir()} is full: a snapshot needs room there for its "
            "tables (about 500 bytes a file), one shard and its manifest; give the node more "
            "ephemeral storage"
        ) from error
