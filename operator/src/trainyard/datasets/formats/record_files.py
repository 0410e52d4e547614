"""Rows of records, from Parquet and from JSON lines, a piece at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from trainyard.datasets.errors import BadData
from trainyard.datasets.parquet import open_parquet
from trainyard.datasets.problems import Problems

_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".parquet", *_LINES)
"""How the names of records files end."""

COLUMNS = frozenset(
    {
        "image",
        "entity",
        "attribute",
        "value",
        "box",
        "polygon",
        "tags",
        "submission",
        "submittedAt",
    }
)
"""Columns that have a meaning; `groupBy` may name any other, and the rest is not looked at."""

_LONGEST_LINE = 8 << 20
_ROWS_AT_ONCE = 512
# Unpacked; what tools write is far smaller (a million rows of boxes are about 100 MB).
_LARGEST_ROW_GROUP = 1 << 30
_BOM = b"\xef\xbb\xbf"


def read_rows(
    path: Path, name: str, problems: Problems, group_by: str | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The number and the cells of each row; see `where` for what the number counts.

    Parameters
    ----------
    path
        A local copy of the file.
    name
        Its name in the source: tells the kind, and errors begin with it.
    problems
        Is told of lines that are no rows.
    group_by
        A further column that is wanted.

    Raises
    ------
    BadData
        If the file is not what its name says, or what `problems` raises.
    """
    if name.endswith(_LINES):
        return _json_lines(path, name, problems)
    return _parquet(path, name, COLUMNS | ({group_by} if group_by else set()))


def where(name: str, number: int) -> str:
    """The place of a row for errors: `file:line`, or the row of a Parquet file, both from 1."""
    return f"{name}:{number}" if name.endswith(_LINES) else f"{name}: row {number}"


def _json_lines(
    path: Path, name: str, problems: Problems
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            place = where(name, number)
            if len(line) > _LONGEST_LINE:
                raise BadData(f"{place}: the line is longer than {_LONGEST_LINE >> 20} MiB")
            if number == 1:
                line = line.removeprefix(_BOM)
            if not line.strip():
                continue
            try:
                row = _row(line, place)
            except BadData as error:
                problems.add(error)
            else:
                yield number, row


def _row(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_refuse)
    except RecursionError:
        raise BadData(f"{place}: nested too deep") from None
    except ValueError as error:
        # Also bytes that are not UTF-8, and numbers of thousands of digits.
        raise BadData(f"{place}: not valid JSON: {str(error)[:160]}") from None
    if not isinstance(row, dict):
        raise BadData(f"{place}: it is not an object")
    return row


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _parquet(
    path: Path, name: str, wanted: frozenset[str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = 0
    try:
        with open_parquet(path) as file:
            if "image" not in file.schema_arrow.names:
                raise BadData(f"{name}: it has no column 'image'")
            columns = sorted(wanted.intersection(file.schema_arrow.names))
            for index in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(index).total_byte_size
                if size > _LARGEST_ROW_GROUP:
                    raise BadData(
                        f"{name}: its row group {index} unpacks to {size} bytes: write row groups "
                        f"of less than {_LARGEST_ROW_GROUP}"
                    )
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                for row in _plain(batch).to_pylist():
                    number += 1
                    yield number, row
    except OverflowError as error:
        # Of a time that is no date of Python, before the year 1 or after 9999.
        raise BadData(f"{name}: a row after {number} has a time out of range: {error}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise BadData(f"{name}: not a Parquet file that can be read: {said}") from None


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With times in microseconds, which are those of Python.

    A zone says how a time is shown and not when it was: none of them need be known here.
    """
    arrays = [
        # Nanoseconds are cut off.
        column.cast(
            pa.timestamp("us", "UTC" if getattr(column.type, "tz", None) else None), safe=False
        )
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
