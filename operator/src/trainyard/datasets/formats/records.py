"""Format `records`: tables of what was said about images, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from trainyard.api.dataset import Selection, SelectionFilter
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import Annotations, is_hidden
from trainyard.datasets.formats.places import find_image, folder_of
from trainyard.datasets.formats.record_files import SUFFIXES, read_rows, where
from trainyard.datasets.formats.record_rows import Row, microseconds, parse_row
from trainyard.datasets.formats.record_tables import RecordTables, StoredRow
from trainyard.datasets.formats.tables import TableFormat
from trainyard.datasets.problems import Problems
from trainyard.stores import ObjectInfo


class Records(TableFormat[RecordTables]):
    """All `*.parquet`, `*.jsonl` and `*.ndjson` files of a source together are one table of rows.

    A row says something about an image, or about an entity in it. The filter over submissions acts
    here: first the time window, then `latestSubmissionsOnly`. Images that no row names are left
    out.

    Raises
    ------
    BadData
        If a row cannot be used; the sentence names file and line.
    """

    _NO_FILES = (
        "there are no records: put .parquet, .jsonl or .ndjson files "
        "with a row for each image or entity there"
    )

    def __init__(
        self,
        selection: Selection,
        files: SourceFiles,
        problems: Problems,
        group_by: str | None = None,
    ) -> None:
        self._group_by, self._grouped = group_by, False
        rule = selection.filter or SelectionFilter()
        self._after, self._before = _time(rule.submitted_after), _time(rule.submitted_before)
        self._latest = rule.latest_submissions_only
        super().__init__(selection, files, RecordTables(), problems)

    def annotations(self, image: ObjectInfo) -> Annotations:
        """See `Format.annotations`."""
        rows = self._tables.rows(image.name)
        if self._latest:
            rows = latest(rows)
        groups: dict[str, StoredRow] = {}
        for row in rows:
            if row.group is not None:
                groups.setdefault(row.group, row)
        if len(groups) > 1:
            first, second = list(groups)[:2]
            raise BadData(
                f"{where(groups[second].file, groups[second].number)}: {image.name} is of the "
                f"group {second!r}, but of {first!r} in "
                f"{where(groups[first].file, groups[first].number)}: an image belongs to one"
            )
        return Annotations(
            labels=tuple(sorted({row.label for row in rows if row.label is not None})),
            tags=frozenset(tag for row in rows for tag in row.tags),
            group=next(iter(groups), None),
            wanted=bool(rows),
        )

    @staticmethod
    def _is_label_file(name: str) -> bool:
        return not is_hidden(name) and name.endswith(SUFFIXES)

    def _connect(self) -> None:
        # Among rows that cannot be used may be those with the column.
        looked = self._tables.files and not self._problems.count
        if looked and self._group_by and not self._grouped:
            raise BadData(f"no records file has the column {self._group_by!r} that groupBy names")

    def _read_file(self, path: Path, name: str) -> None:
        folders = (folder_of(name), "")
        number_of_file = self._tables.add_file(name)
        # Rows of one image follow each other in most tables.
        last: tuple[PurePosixPath, str | None] | None = None
        for number, cells in read_rows(path, name, self._problems, self._group_by):
            place = where(name, number)
            self._grouped |= self._group_by in cells
            try:
                row = parse_row(
                    cells,
                    place,
                    attribute=self._selection.attribute,
                    class_names=self._selection.class_names,
                    group_by=self._group_by,
                )
                if last is None or last[0] != row.image:
                    last = (row.image, self._find(row.image, folders))
                if last[1] is not None and self._is_in_time(row, place):
                    self._tables.add_row(last[1], number_of_file, number, row)
            except BadData as error:
                self._problems.add(error)

    def _find(self, path: PurePosixPath, folders: Iterable[str]) -> str | None:
        """The name of the image that a row is about, if it is there."""
        image = find_image(path, folders, self._files.listing)
        if image is not None:
            self._tables.add_image(image)
        elif self._tables.add_missing(str(path)):
            self.refused.add("ImageMissing", str(path))
        return image

    def _is_in_time(self, row: Row, place: str) -> bool:
        """Whether the window of the filter takes the row; from its beginning, without its end."""
        if row.submitted_at is None:
            if self._latest or self._after is not None or self._before is not None:
                raise BadData(
                    f"{place}: it has no submittedAt, which the filter needs: give it, or remove "
                    "latestSubmissionsOnly, submittedAfter and submittedBefore"
                )
            return True
        return (self._after is None or row.submitted_at >= self._after) and (
            self._before is None or row.submitted_at < self._before
        )


def latest(rows: Sequence[StoredRow]) -> list[StoredRow]:
    """Per entity the rows of its last submission; rows without an entity are those of one more.

    The last submission is that of the latest row. Of several at the same time it is the one with
    the greatest id: numbers are compared as numbers and are below texts, which are compared by code
    point, and rows without an id are below all. Rows without an id and with the same time are one
    submission. So the order of rows and files never decides.
    """
    last: dict[str | None, tuple[int, tuple[int, int, str]]] = {}
    for row in rows:
        order = _order(row)
        if row.entity not in last or last[row.entity] < order:
            last[row.entity] = order
    return [row for row in rows if _is_of(row, last[row.entity])]


def _order(row: StoredRow) -> tuple[int, tuple[int, int, str]]:
    match row.submission:
        case None:
            found = (0, 0, "")
        case int():
            found = (1, row.submission, "")
        case _:
            found = (2, 0, row.submission)
    return row.submitted_at or 0, found


def _is_of(row: StoredRow, last: tuple[int, tuple[int, int, str]]) -> bool:
    time, submission = _order(row)
    return submission == last[1] and (row.submission is not None or time == last[0])


def _time(value: datetime | None) -> int | None:
    return microseconds(value, "filter")
