"""Images united by their digest, on this machine's disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag

from trainyard.datasets.labels import Label
from trainyard.datasets.refusals import Refusals
from trainyard.datasets.samples import Sample
from trainyard.datasets.scratch import Scratch

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Place:
    """Where an image's bytes lie: `size` of them at `offset` of a shard."""

    shard: int
    offset: int
    size: int


@dataclass(frozen=True)
class SeenImage:
    """An image that a selection gave, with what is said about it there.

    Attributes
    ----------
    name
        Path in the source.
    digest
        SHA-256 of its bytes, raw.
    width, height
        Pixels.
    look
        See `ImageFacts.look`.
    group
        What it belongs together with, or None.
    labels
        By attribute, sorted. An attribute without labels says that somebody looked and found
        nothing.
    place
        Of its bytes; None if an image with the same bytes was seen before.
    """

    name: str
    digest: bytes
    width: int
    height: int
    look: bytes
    group: str | None
    labels: dict[str, tuple[Label, ...]]
    place: Place | None


class _Conflict(IntFlag):
    """What the copies of an image disagree about."""

    LABELS = 1
    GROUPS = 2


class Union:
    """All images of a dataset, each once, in memory that does not grow with their number.

    Copies whose labels agree, or are about different attributes, are united. Copies that disagree
    about the labels of one attribute are all left out as `ConflictingLabels`; copies of different
    groups as `ConflictingGroups`.

    Attributes
    ----------
    taken
        Number of files that the samples are of, copies included; known once `samples` was read.
    """

    def __init__(self) -> None:
        self.taken = self._added = 0
        self._scratch = Scratch()
        self._database = self._scratch.database
        self._database.execute(
            "CREATE TABLE images (digest BLOB PRIMARY KEY, name TEXT, width INTEGER,"
            " height INTEGER, look BLOB, grp TEXT, shard INTEGER, offset INTEGER, size INTEGER,"
            " labels TEXT, conflict INTEGER)"
        )
        self._database.execute("CREATE TABLE copies (digest BLOB, name TEXT)")
        self._database.execute("CREATE INDEX copies_of ON copies (digest)")
        self._database.execute("BEGIN")

    def __contains__(self, digest: bytes) -> bool:
        found = self._database.execute("SELECT 1 FROM images WHERE digest = ?", (digest,))
        return found.fetchone() is not None

    def add(self, image: SeenImage) -> None:
        """Take an image; one without a place must have been added with one before."""
        self._added += 1
        if image.place is None:
            self._unite(image)
            return
        place = image.place
        self._database.execute(
            "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                image.digest,
                image.name,
                image.width,
                image.height,
                image.look,
                image.group,
                place.shard,
                place.offset,
                place.size,
                labels_to_json(image.labels),
            ),
        )

    def size_of(self, digest: bytes) -> int:
        """Bytes of an image that was added."""
        found = self._database.execute("SELECT size FROM images WHERE digest = ?", (digest,))
        return int(found.fetchone()[0])

    def samples(self, refused: Refusals) -> Iterator[Sample]:
        """The samples sorted by digest; the images whose copies disagree are counted instead."""
        self.taken = self._added
        # Rows are read while conflicts are looked up: each needs a cursor of its own.
        cursor = self._database.execute(
            "SELECT digest, name, width, height, look, grp, shard, offset, size, labels, conflict"
            " FROM images ORDER BY digest"
        )
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for digest, name, width, height, look, group, shard, offset, size, labels, bad in rows:
                if bad:
                    labels_differ = bool(_Conflict(bad) & _Conflict.LABELS)
                    reason = "ConflictingLabels" if labels_differ else "ConflictingGroups"
                    for copy in (name, *self._copies(digest)):
                        refused.add(reason, copy)
                        self.taken -= 1
                    continue
                found = labels_from_json(labels).values()
                yield Sample(
                    digest=digest,
                    name=name,
                    width=width,
                    height=height,
                    shard=shard,
                    offset=offset,
                    size=size,
                    labels=tuple(sorted(label for some in found for label in some)),
                    group=group,
                    look=look,
                )

    def close(self) -> None:
        """Remove it from this machine's disk."""
        self._scratch.close()

    def _unite(self, image: SeenImage) -> None:
        (text, group, conflict) = self._database.execute(
            "SELECT labels, grp, conflict FROM images WHERE digest = ?", (image.digest,)
        ).fetchone()
        labels = labels_from_json(text)
        for attribute, found in image.labels.items():
            if labels.setdefault(attribute, found) != found:
                conflict |= _Conflict.LABELS
        if group is None:
            group = image.group
        elif image.group is not None and image.group != group:
            conflict |= _Conflict.GROUPS
        self._database.execute(
            "UPDATE images SET labels = ?, grp = ?, conflict = ? WHERE digest = ?",
            (labels_to_json(labels), group, int(conflict), image.digest),
        )
        self._database.execute("INSERT INTO copies VALUES (?, ?)", (image.digest, image.name))

    def _copies(self, digest: bytes) -> Iterator[str]:
        found = self._database.execute(
            "SELECT name FROM copies WHERE digest = ? ORDER BY rowid", (digest,)
        )
        return (name for (name,) in found)


def labels_to_json(labels: dict[str, tuple[Label, ...]]) -> str:
    """As text, exactly."""
    plain = {
        attribute: [[label.value, label.geometry, label.points] for label in found]
        for attribute, found in labels.items()
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def labels_from_json(text: str) -> dict[str, tuple[Label, ...]]:
    """What `labels_to_json` wrote."""
    return {
        attribute: tuple(
            Label(attribute, value, geometry, tuple(points)) for value, geometry, points in found
        )
        for attribute, found in json.loads(text).items()
    }
