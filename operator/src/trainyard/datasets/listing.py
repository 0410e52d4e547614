"""What lies below a prefix, looked up by name, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

from trainyard.datasets.scratch import Scratch
from trainyard.stores import ObjectInfo

_ROWS_AT_ONCE = 4096


class Listing:
    """Files of a source by their names relative to it.

    Parameters
    ----------
    entries
        Read once, in any order.
    """

    def __init__(self, entries: Iterable[ObjectInfo]) -> None:
        self._scratch = Scratch()
        self._database = self._scratch.database
        self._database.execute(
            "CREATE TABLE files (name TEXT PRIMARY KEY, uri TEXT, size INTEGER, version TEXT)"
            " WITHOUT ROWID"
        )
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?)",
            ((entry.name, entry.uri, entry.size, entry.version) for entry in entries),
        )
        self._database.execute("COMMIT")

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM files").fetchone()
        return int(count)

    def __iter__(self) -> Iterator[ObjectInfo]:
        """All files in the order of their names (by code point)."""
        cursor = self._database.execute("SELECT uri, name, size, version FROM files ORDER BY name")
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in rows:
                yield ObjectInfo(*row)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> ObjectInfo | None:
        """The file of that name, if there is one."""
        row = self._database.execute(
            "SELECT uri, name, size, version FROM files WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else ObjectInfo(*row)

    def with_stem(self, stem: str) -> list[str]:
        """Names that are `stem`, a dot, and anything behind it."""
        # The slash follows the dot.
        rows = self._database.execute(
            "SELECT name FROM files WHERE name >= ? AND name < ? ORDER BY name",
            (f"{stem}.", f"{stem}/"),
        )
        return [name for (name,) in rows.fetchall()]

    @property
    def digest(self) -> str:
        """SHA-256 over all names, sizes and versions."""
        digest = hashlib.sha256()
        for entry in self:
            line = json.dumps([entry.name, entry.size, entry.version], ensure_ascii=False)
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    def close(self) -> None:
        """Remove it from this machine's disk."""
        self._scratch.close()
