"""A number of images chosen at random, the same ones each time, in memory that does not grow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from trainyard.datasets.scratch import Scratch
from trainyard.stores import ObjectInfo

_ROWS_AT_ONCE = 4096


class Shuffled:
    """Files in the order of SHA-256 over seed and name: random, and the same for the same names.

    A file that comes or goes moves no other, so that a choice of the first N changes as little as
    the source does.

    Parameters
    ----------
    entries
        Read once, in any order.
    seed
        Another seed gives another order.
    """

    def __init__(self, entries: Iterable[ObjectInfo], seed: int) -> None:
        self._scratch = Scratch()
        self._database = self._scratch.database
        self._database.execute("CREATE TABLE found (key BLOB, uri, name, size, version)")
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO found VALUES (?, ?, ?, ?, ?)",
            (
                (order_of(entry.name, seed), entry.uri, entry.name, entry.size, entry.version)
                for entry in entries
            ),
        )
        # Sorted once, by merging on disk: an index would be written at random places.
        self._database.execute(
            "CREATE TABLE files (place INTEGER PRIMARY KEY, uri, name, size, version)"
        )
        self._database.execute(
            "INSERT INTO files (uri, name, size, version)"
            " SELECT uri, name, size, version FROM found ORDER BY key"
        )
        self._database.execute("DROP TABLE found")
        self._database.execute("COMMIT")

    def after(self, count: int) -> Iterator[ObjectInfo]:
        """All files but the first `count`."""
        cursor = self._database.execute(
            "SELECT uri, name, size, version FROM files WHERE place > ? ORDER BY place", (count,)
        )
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in rows:
                yield ObjectInfo(*row)

    def close(self) -> None:
        """Remove it from this machine's disk."""
        self._scratch.close()


class Distinct:
    """A set of digests on this machine's disk."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._scratch.database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, digest: bytes) -> None:
        """Add it, unless it is there."""
        self._count += self._scratch.database.execute(
            "INSERT OR IGNORE INTO seen VALUES (?)", (digest,)
        ).rowcount

    def close(self) -> None:
        """Remove it from this machine's disk."""
        self._scratch.close()


def order_of(name: str, seed: int) -> bytes:
    """What a choice at random sorts by."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
