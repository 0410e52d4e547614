"""What records say, in tables on this machine's disk."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainyard.datasets.formats.record_rows import Row
from trainyard.datasets.labels import Label
from trainyard.datasets.scratch import Scratch

_ROWS_AT_ONCE = 1024

# `submission` has no type, so that numbers stay numbers and texts stay texts.
_TABLES = """
CREATE TABLE images (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE missing (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE rows (
    image TEXT, file INTEGER, number INTEGER, entity TEXT, attribute TEXT, value TEXT,
    geometry TEXT, points BLOB, tags TEXT, submission, submitted_at INTEGER, grp TEXT
);
"""
_INSERT = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = (
    "SELECT file, number, entity, attribute, value, geometry, points, tags, submission, "
    "submitted_at, grp FROM rows WHERE image = ? ORDER BY rowid"
)


@dataclass(frozen=True)
class StoredRow:
    """A row of an image: see `Row`, and where it stands."""

    file: str
    number: int
    entity: str | None
    label: Label | None
    tags: tuple[str, ...]
    submission: int | str | None
    submitted_at: int | None
    group: str | None


class RecordTables:
    """The rows of all files of a source."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._scratch = Scratch()
        self._database = self._scratch.database
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Remove them from this machine's disk."""
        self._scratch.close()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """The time in which rows are added; they can be read after it."""
        self._database.execute("BEGIN")
        yield
        self._database.execute("COMMIT")
        # So many insertions at random places of an index would be slow.
        self._database.execute("CREATE INDEX rows_by_image ON rows (image)")

    def add_file(self, name: str) -> int:
        """Note a file; returns its number."""
        self._files.append(name)
        return len(self._files) - 1

    def add_image(self, name: str) -> None:
        """Note that an image is named and there."""
        self._database.execute("INSERT OR IGNORE INTO images VALUES (?)", (name,))

    def add_missing(self, name: str) -> bool:
        """Note that an image is named and not there; False if that was known."""
        query = "INSERT OR IGNORE INTO missing VALUES (?)"
        return self._database.execute(query, (name,)).rowcount > 0

    def add_row(self, image: str, file: int, number: int, row: Row) -> None:
        """Keep a row."""
        label: tuple[object, ...] = (None, None, None, None)
        if row.label is not None:
            points = array("d", row.label.points).tobytes()
            label = (row.label.attribute, row.label.value, row.label.geometry, points)
        self._database.execute(
            _INSERT,
            (
                *(image, file, number, row.entity, *label),
                *(json.dumps(row.tags) if row.tags else None, row.submission),
                *(row.submitted_at, row.group),
            ),
        )

    def count_images(self) -> int:
        """Number of images that are named and there."""
        return int(self._database.execute("SELECT count(*) FROM images").fetchone()[0])

    def image_names(self) -> Iterator[str]:
        """Their names, sorted by code point."""
        cursor = self._database.execute("SELECT name FROM images ORDER BY name")
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield from (name for (name,) in rows)

    def is_known(self, name: str) -> bool:
        """Whether a row names the image."""
        query = "SELECT 1 FROM images WHERE name = ?"
        return self._database.execute(query, (name,)).fetchone() is not None

    def rows(self, image: str) -> list[StoredRow]:
        """The rows that were kept of an image, in the order of the files."""
        return [
            StoredRow(
                file=self._files[file],
                number=number,
                entity=entity,
                label=_label(*label),
                tags=tuple(json.loads(tags)) if tags else (),
                submission=submission,
                submitted_at=submitted_at,
                group=group,
            )
            for file, number, entity, *label, tags, submission, submitted_at, group in (
                self._database.execute(_SELECT, (image,)).fetchall()
            )
        ]


def _label(attribute: str | None, value: str, geometry: str, points: bytes) -> Label | None:
    if attribute is None:
        return None
    numbers = array("d")
    numbers.frombytes(points)
    return Label(attribute, value, geometry, tuple(numbers))  # type: ignore[arg-type]
