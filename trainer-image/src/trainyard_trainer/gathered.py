"""The images of a run's splits with their labels, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from types import TracebackType
from typing import Self

from trainyard.datasets.labels import Label
from trainyard.datasets.samples import Sample
from trainyard.datasets.scratch import Scratch
from trainyard.datasets.staging import Shard
from trainyard.datasets.union import labels_from_json, labels_to_json

_ROWS_AT_ONCE = 1024
_SAMPLE = "digest, name, width, height, place, offset, size, labels"


@dataclass(frozen=True)
class Shared:
    """What two splits have in common: how much, and the names of the first."""

    count: int
    examples: tuple[str, ...]


class Gathered:
    """The distinct images of each split; with the labels of all snapshots that have an image."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._shards: dict[Shard, int] = {}
        self._database = self._scratch.database
        for statement in (
            "CREATE TABLE images (split TEXT, digest BLOB, name TEXT, width INTEGER,"
            " height INTEGER, shard INTEGER, place INTEGER, offset INTEGER, size INTEGER,"
            " labels TEXT, PRIMARY KEY (split, digest))",
            "CREATE INDEX of_shard ON images (shard, digest)",
            "CREATE TABLE groups (split TEXT, name TEXT, PRIMARY KEY (split, name)) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scratch.close()

    def add(self, split: str, sample: Sample, shard: Shard) -> None:
        """Take an image of a snapshot; known ones of the split get the labels as well."""
        if sample.group is not None:
            self._database.execute(
                "INSERT OR IGNORE INTO groups VALUES (?, ?)", (split, sample.group)
            )
        number = self._shards.setdefault(shard, len(self._shards))
        added = self._database.execute(
            "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(split, sample.digest, sample.name, sample.width, sample.height),
                *(number, sample.shard, sample.offset, sample.size, _text(sample.labels)),
            ),
        )
        if not added.rowcount:
            of_image = (split, sample.digest)
            ((known,),) = self._database.execute(
                "SELECT labels FROM images WHERE split = ? AND digest = ?", of_image
            )
            self._database.execute(
                "UPDATE images SET labels = ? WHERE split = ? AND digest = ?",
                (_text((*_labels(known), *sample.labels)), *of_image),
            )

    def drop(self, split: str, digest: bytes) -> None:
        """Forget an image."""
        self._database.execute("DELETE FROM images WHERE split = ? AND digest = ?", (split, digest))

    def count(self, split: str) -> int:
        """Number of images of a split."""
        ((count,),) = self._database.execute(
            "SELECT count(*) FROM images WHERE split = ?", (split,)
        )
        return int(count)

    def of(self, split: str) -> Iterator[Sample]:
        """The images of a split, sorted by digest; they may be dropped meanwhile."""
        last = b""
        while rows := self._database.execute(
            f"SELECT {_SAMPLE} FROM images WHERE split = ? AND digest > ?"  # noqa: S608
            " ORDER BY digest LIMIT ?",
            (split, last, _ROWS_AT_ONCE),
        ).fetchall():
            yield from map(_sample, rows)
            last = rows[-1][0]

    def of_shard(self, shard: Shard, digest: bytes) -> list[tuple[str, Sample]]:
        """The splits that an image of a shard is of, each with what it says of the image."""
        rows = self._database.execute(
            f"SELECT split, {_SAMPLE} FROM images WHERE shard = ? AND digest = ?",  # noqa: S608
            (self._shards[shard], digest),
        )
        return [(split, _sample(row)) for split, *row in rows.fetchall()]

    @property
    def wanted(self) -> Mapping[Shard, list[Sample]]:
        """The images by shard, each once whatever the splits are; read when asked for."""
        return _Wanted(self._scratch, self._shards)

    def shared_images(self, first: str, second: str, examples: int) -> Shared:
        """Images that are in both splits; named as in the second."""
        return self._shared("images", "digest", first, second, examples)

    def shared_groups(self, first: str, second: str, examples: int) -> Shared:
        """Groups that have images in both splits."""
        return self._shared("groups", "name", first, second, examples)

    def _shared(self, table: str, key: str, first: str, second: str, examples: int) -> Shared:
        both = (
            f"FROM {table} AS second JOIN {table} AS first USING ({key})"
            " WHERE first.split = ? AND second.split = ?"
        )
        splits = (first, second)
        ((count,),) = self._database.execute(f"SELECT count(*) {both}", splits)
        names = self._database.execute(
            f"SELECT second.name {both} ORDER BY {key} LIMIT ?", (*splits, examples)
        )
        return Shared(int(count), tuple(name for (name,) in names))


class _Wanted(Mapping[Shard, list[Sample]]):
    def __init__(self, scratch: Scratch, shards: dict[Shard, int]) -> None:
        self._database, self._numbers = scratch.database, shards
        used = self._database.execute("SELECT DISTINCT shard FROM images")
        numbers = {number for (number,) in used}
        self._shards = [shard for shard, number in shards.items() if number in numbers]

    def __len__(self) -> int:
        return len(self._shards)

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards)

    def __getitem__(self, shard: Shard) -> list[Sample]:
        rows = self._database.execute(
            f"SELECT {_SAMPLE} FROM images WHERE shard = ?",  # noqa: S608
            (self._numbers[shard],),
        )
        return list({row[0]: _sample(row) for row in rows}.values())


def _sample(row: tuple[object, ...] | list[object]) -> Sample:
    *facts, text = row
    digest, name, width, height, place, offset, size = facts
    return Sample(digest, name, width, height, place, offset, size, _labels(str(text)))  # type: ignore[arg-type]


def _text(labels: tuple[Label, ...]) -> str:
    ordered = sorted(set(labels))
    by_attribute = groupby(ordered, key=attrgetter("attribute"))
    return labels_to_json({attribute: tuple(some) for attribute, some in by_attribute})


def _labels(text: str) -> tuple[Label, ...]:
    """Sorted, without repeats."""
    return tuple(label for some in labels_from_json(text).values() for label in some)
