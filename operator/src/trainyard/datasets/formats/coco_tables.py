"""What COCO files say, in tables on this machine's disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.base import rows_of_image, value_of
from trainyard.datasets.formats.coco_json import SECTIONS, CocoFile
from trainyard.datasets.formats.places import inner_path
from trainyard.datasets.formats.tables import Tables
from trainyard.datasets.images import MAX_PIXELS
from trainyard.datasets.problems import Problems

_TABLES = """
CREATE TABLE images (file INTEGER, id TEXT, name TEXT, width INTEGER, height INTEGER);
CREATE TABLE categories (file INTEGER, id TEXT, name TEXT);
CREATE TABLE annotations (
    file INTEGER, id TEXT, image TEXT, category TEXT, crowd INTEGER, shape TEXT
);
CREATE TABLE samples (name TEXT, file INTEGER, id TEXT, width INTEGER, height INTEGER);
"""
_INDEXES = """
CREATE INDEX images_by_id ON images (file, id);
CREATE INDEX categories_by_id ON categories (file, id);
CREATE INDEX annotations_by_id ON annotations (file, id);
CREATE INDEX annotations_by_image ON annotations (file, image);
"""


@dataclass(frozen=True)
class CocoImage:
    """An entry of `images`. `id` is JSON, `name` what `file_name` says; pixels."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoSample:
    """An image that was found, as one of the files has it."""

    number: int
    file: str
    id: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoAnnotation:
    """An entry of `annotations` with its category; ids are JSON."""

    id: str
    category: str
    category_name: Any
    shape: dict[str, Any]


class CocoTables(Tables):
    """The entries of all files of a source.

    Of what cannot be used, the first entry is kept in the tables, or none.
    """

    _TABLES = _TABLES
    _INDEXES = _INDEXES
    _IMAGES = "samples"

    def __init__(self) -> None:
        super().__init__()
        self._incomplete: set[int] = set()

    def load(self, path: Path, name: str, problems: Problems) -> bool:
        """Add a file; False if it is JSON, but not one of COCO.

        Raises
        ------
        BadData
            If it is not JSON, or what `problems` raises of an entry.
        """
        number = len(self.files)
        # They count only if the file turns out to be one of COCO.
        found = Problems(lenient=True)
        counts = dict.fromkeys(SECTIONS, 0)
        try:
            with path.open("rb") as opened:
                file = CocoFile(opened, name)
                for section, entry in file:
                    counts[section] += 1
                    try:
                        row = _row(section, entry, f"{name}: entry {counts[section]} of {section}")
                    except BadData as error:
                        found.add(error)
                    else:
                        self._database.execute(_INSERT[section], (number, *row))
        except BadData:
            self._forget(number)
            raise
        if file.seen != SECTIONS:
            self._forget(number)
            return False
        problems.add_all(found)
        if found.count:
            self._incomplete.add(number)
        self.files.append(name)
        return True

    def check(self, class_names: Sequence[str], problems: Problems) -> None:
        """Check what all entries of a file say together; called once, when all files are loaded.

        Raises
        ------
        BadData
            What `problems` raises: an id is repeated, an annotation is of no image or no category,
            or a category that is used is not covered by `class_names`.
        """
        for number, file in enumerate(self.files):
            for section, query in _REPEATED.items():
                for (found,) in self._stream(query, number):
                    said = f"{file}: the id {found} is given twice in {section}"
                    problems.add(BadData(said))
            # What they are of may be an entry that could not be used.
            if number not in self._incomplete:
                self._check_references(number, problems)
            unused = []
            for found, name in self._stream(_USED, number):
                try:
                    value_of(json.loads(name), class_names, f"{file}: category {found}")
                except BadData as error:
                    problems.add(error)
                    unused.append((number, found))
            # Said once, not of each image that has it.
            self._database.executemany(_DELETE_CATEGORY, unused)
        if problems.count:
            self._database.executescript(_KEEP_FIRST)

    def images(self, number: int) -> Iterator[CocoImage]:
        """Entries of `images` of a file, in its order."""
        query = "SELECT id, name, width, height FROM images WHERE file = ? ORDER BY rowid"
        return (CocoImage(*row) for row in self._stream(query, number))

    def add_sample(self, number: int, image: CocoImage, name: str) -> None:
        """Note that the image of a file was found."""
        row = (name, number, image.id, image.width, image.height)
        self._database.execute("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", row)

    def check_samples(self, problems: Problems) -> None:
        """Check that no two images of a file are one; called once, when all were found.

        Raises
        ------
        BadData
            What `problems` raises, if they are.
        """
        self._database.execute("CREATE INDEX samples_by_name ON samples (name)")
        for number, name, first, last in self._stream(_SAME_IMAGE):
            said = f"{self.files[number]}: the images {first} and {last} are both {name}"
            problems.add(BadData(said))
        if problems.count:
            self._database.execute(_KEEP_FIRST_SAMPLE)

    def crowds(self) -> Iterator[str]:
        """The file and the id of each annotation of a crowd."""
        query = "SELECT file, id FROM annotations WHERE crowd ORDER BY file, rowid"
        for number, found in self._database.execute(query):
            yield f"{self.files[number]}: annotation {found}"

    def take_out_crowds(self) -> Iterator[str]:
        """Forget the images that have crowds and nothing else; yields their names."""
        self._database.executescript(_ONLY_CROWDS)
        for (name,) in self._database.execute("SELECT name FROM only_crowds ORDER BY name"):
            yield name

    def is_known(self, name: str) -> bool:
        """See `Tables.is_known`; also an image that was taken out."""
        query = "SELECT 1 FROM only_crowds WHERE name = ?"
        left_out = self._database.execute(query, (name,)).fetchone() is not None
        return left_out or super().is_known(name)

    def samples(self, name: str) -> list[CocoSample]:
        """An image as each of the files has it that name it."""
        query = "SELECT file, id, width, height FROM samples WHERE name = ? ORDER BY file"
        return [
            CocoSample(number, self.files[number], found, width, height)
            for number, found, width, height in self._database.execute(query, (name,)).fetchall()
        ]

    def annotations(self, sample: CocoSample) -> list[CocoAnnotation]:
        """Its annotations but for crowds, in the order of the file.

        Raises
        ------
        BadData
            If they are too many.
        """
        rows = rows_of_image(
            self._database.execute(_ANNOTATIONS, (sample.number, sample.id)),
            f"{sample.file}: image {sample.id}",
            "annotations",
        )
        return [
            CocoAnnotation(found, category, json.loads(name), json.loads(shape))
            for found, category, name, shape in rows
        ]

    def _check_references(self, number: int, problems: Problems) -> None:
        for what, query in _MISSING.items():
            for found, missing in self._stream(query, number):
                problems.add(
                    BadData(
                        f"{self.files[number]}: annotation {found} is of the {what} {missing}, "
                        "which the file does not list"
                    )
                )

    def _forget(self, number: int) -> None:
        for delete in _DELETE:
            self._database.execute(delete, (number,))


_ONE = {"images": "image", "categories": "category", "annotations": "annotation"}
_INSERT = {
    "images": "INSERT INTO images VALUES (?, ?, ?, ?, ?)",
    "categories": "INSERT INTO categories VALUES (?, ?, ?)",
    "annotations": "INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?)",
}
_DELETE = tuple(
    f"DELETE FROM {table} WHERE file = ?"  # noqa: S608 -- of our own names
    for table in sorted(SECTIONS)
)
_REPEATED = {
    table: f"SELECT id FROM {table} WHERE file = ? GROUP BY id HAVING count(*) > 1"  # noqa: S608 -- of our own names
    for table in ("images", "categories", "annotations")
}
_MISSING = {
    "image": "SELECT a.id, a.image FROM annotations a LEFT JOIN images i "
    "ON i.file = a.file AND i.id = a.image WHERE a.file = ? AND i.id IS NULL",
    "category": "SELECT a.id, a.category FROM annotations a LEFT JOIN categories c "
    "ON c.file = a.file AND c.id = a.category WHERE a.file = ? AND c.id IS NULL",
}
_DELETE_CATEGORY = "DELETE FROM categories WHERE file = ? AND id = ?"
_KEEP_FIRST = "".join(
    f"DELETE FROM {table} WHERE rowid NOT IN (SELECT min(rowid) FROM {table} GROUP BY file, id);"  # noqa: S608 -- of our own names
    for table in ("images", "categories", "annotations")
)
_SAME_IMAGE = (
    "SELECT file, name, min(id), max(id) FROM samples GROUP BY name, file HAVING count(*) > 1"
)
_KEEP_FIRST_SAMPLE = (
    "DELETE FROM samples WHERE rowid NOT IN (SELECT min(rowid) FROM samples GROUP BY name, file)"
)
_USED = (
    "SELECT id, name FROM categories c WHERE file = ?1 AND EXISTS "
    "(SELECT 1 FROM annotations a WHERE a.file = ?1 AND a.category = c.id)"
)
_ONLY_CROWDS = """
CREATE TABLE only_crowds AS
    SELECT s.name FROM samples s JOIN annotations a ON a.file = s.file AND a.image = s.id
    GROUP BY s.name HAVING min(a.crowd) = 1;
CREATE INDEX only_crowds_by_name ON only_crowds (name);
DELETE FROM samples WHERE name IN (SELECT name FROM only_crowds);
"""
_ANNOTATIONS = (
    "SELECT a.id, a.category, c.name, a.shape FROM annotations a JOIN categories c "
    "ON c.file = a.file AND c.id = a.category "
    "WHERE a.file = ? AND a.image = ? AND NOT a.crowd ORDER BY a.rowid"
)


def _row(section: str, entry: object, where: str) -> tuple[object, ...]:
    """The columns of an entry behind the file's number."""
    if not isinstance(entry, dict):
        raise BadData(f"{where}: it is not an object")
    found = _id(entry, "id", where)
    where = f"{where.partition(': entry')[0]}: {_ONE[section]} {found}"
    match section:
        case "images":
            width, height = (_side(entry.get(side), side, where) for side in ("width", "height"))
            if width * height > MAX_PIXELS:
                raise BadData(
                    f"{where} claims {width} x {height} pixels, more than the {MAX_PIXELS} allowed"
                )
            return found, str(inner_path(entry.get("file_name"), where)), width, height
        case "categories":
            return found, json.dumps(entry.get("name"))
        case _:
            crowd = entry.get("iscrowd") not in (None, 0, False)
            shape = {key: entry[key] for key in ("segmentation", "bbox") if key in entry}
            return (
                found,
                _id(entry, "image_id", where),
                _id(entry, "category_id", where),
                int(crowd),
                json.dumps(shape, separators=(",", ":")),
            )


def _id(entry: dict[str, Any], key: str, where: str) -> str:
    """An id as JSON: 7 and "7" are two."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or len(str(value)) > 200:
        raise BadData(f"{where}: its {key} is neither a whole number nor a short text")
    return json.dumps(value)


def _side(value: object, side: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < 1 << 31:
        raise BadData(f"{where}: its {side} {str(value)[:40]!r} is no size of an image in pixels")
    if value != int(value):
        raise BadData(f"{where}: its {side} {value} is not a whole number of pixels")
    return int(value)
