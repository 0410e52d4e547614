"""What records say, in tables on this machine's disk."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass

from trainyard.datasets.formats.base import rows_of_image
from trainyard.datasets.formats.record_rows import Row
from trainyard.datasets.formats.tables import Tables
from trainyard.datasets.labels import Label

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


class RecordTables(Tables):
    """The rows of all files of a source."""

    _TABLES = _TABLES
    _INDEXES = "CREATE INDEX rows_by_image ON rows (image);"
    _IMAGES = "images"

    def add_file(self, name: str) -> int:
        """Note a file; returns its number."""
        self.files.append(name)
        return len(self.files) - 1

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

    def rows(self, image: str) -> list[StoredRow]:
        """The rows that were kept of an image, in the order of the files.

        Raises
        ------
        BadData
            If they are too many.
        """
        return [
            StoredRow(
                file=self.files[file],
                number=number,
                entity=entity,
                label=_label(*label),
                tags=tuple(json.loads(tags)) if tags else (),
                submission=submission,
                submitted_at=submitted_at,
                group=group,
            )
            for file, number, entity, *label, tags, submission, submitted_at, group in (
                rows_of_image(self._database.execute(_SELECT, (image,)), image, "rows")
            )
        ]


def _label(attribute: str | None, value: str, geometry: str, points: bytes) -> Label | None:
    if attribute is None:
        return None
    numbers = array("d")
    numbers.frombytes(points)
    return Label(attribute, value, geometry, tuple(numbers))  # type: ignore[arg-type]
