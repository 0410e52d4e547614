"""What every format of labelled images can say about a source."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from trainyard.datasets.errors import BadData
from trainyard.datasets.images import EXTENSIONS, ImageFacts
from trainyard.datasets.labels import Label, checked_name
from trainyard.datasets.listing import Listing
from trainyard.datasets.refusals import Refusals
from trainyard.stores import ObjectInfo

LABEL_FILE_LIMIT = 8 << 20
"""Largest label file of one image, in bytes."""

MOST_ROWS = 100_000
"""Most rows or annotations about one image: they are in memory together."""

_ARCHIVES = frozenset({"zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar", "zst"})


@dataclass(frozen=True)
class Annotations:
    """What a source says about one image.

    Attributes
    ----------
    labels
        Sorted, without repeats.
    tags
        Of the image.
    group
        What the source itself says the image belongs to (a column of records); a pattern over
        names is applied elsewhere.
    wanted
        False if a filter over submissions leaves nothing of the image.
    size
        Width and height, in pixels, that the labels were measured in, if the source says so.
    """

    labels: tuple[Label, ...] = ()
    tags: frozenset[str] = frozenset()
    group: str | None = None
    wanted: bool = True
    size: tuple[int, int] | None = None


class Format(Protocol):
    """One selection's files, understood.

    Attributes
    ----------
    refused
        Files that are no samples, by reason; complete once the format is opened.
    """

    refused: Refusals

    def __len__(self) -> int:
        """Number of images."""
        ...

    def images(self) -> Iterator[ObjectInfo]:
        """The images in the order of their names."""
        ...

    def annotations(self, image: ObjectInfo) -> Annotations:
        """What is said about an image. Called by several threads at once.

        Raises
        ------
        BadData
            If that cannot be used; the sentence begins with `file:line` or `file`.
        """
        ...

    def close(self) -> None:
        """Forget what lies on this machine's disk."""
        ...


def is_image(name: str) -> bool:
    """Whether the name makes a file an image; hidden files are none."""
    return not is_hidden(name) and PurePosixPath(name).suffix.lower().lstrip(".") in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a file or a folder above it is hidden, or one that macOS leaves in archives."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def value_of(name: object, class_names: Sequence[str], where: str) -> str:
    """The value that a name of the data stands for.

    With `class_names` it must be one of them, or the index of one; without, it is the value.

    Raises
    ------
    BadData
        If it is neither, or no name at all.
    """
    value = checked_name(name, where)
    if not class_names or value in class_names:
        return value
    if value.isascii() and value.isdecimal() and int(value) < len(class_names):
        return class_names[int(value)]
    raise BadData(
        f"{where} {value!r} is neither one of the classNames nor a number below "
        f"{len(class_names)}: rename it, or leave classNames out to use the names of the data"
    )


def rows_of_image(cursor: sqlite3.Cursor, image: str, what: str) -> list[Any]:
    """All rows of a question about one image, if they are not too many.

    Parameters
    ----------
    image, what
        The image, and what the rows are, for the error.

    Raises
    ------
    BadData
        If they are more than `MOST_ROWS`.
    """
    rows = cursor.fetchmany(MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise BadData(
            f"{image} has more than {MOST_ROWS} {what}: check that all of them are about this image"
        )
    return rows


def check_size(annotations: Annotations, facts: ImageFacts, name: str) -> None:
    """Check that labels were measured in the pixels of the image that they are about.

    Raises
    ------
    BadData
        If the image has another size: it was resized or turned after it was labelled.
    """
    if annotations.size is None or annotations.size == (facts.width, facts.height):
        return
    width, height = annotations.size
    turned = annotations.size == (facts.height, facts.width)
    raise BadData(
        f"{name} is {facts.width} x {facts.height} pixels"
        f"{', upright as its EXIF orientation says,' if turned else ''} but its labels are for "
        f"{width} x {height}: label the image as it is now"
    )


def nothing_found(uri: str, listing: Listing, form: Format, name: str) -> str:
    """The sentence for a source without a single image that the format `name` would take."""
    archive = next((entry.name for entry in listing if _is_archive(entry.name)), None)
    if archive is not None:
        return (
            f"no images found under {uri}, but the archive {archive}: archives are not unpacked, "
            "so unpack it and upload what is inside"
        )
    reasons = "; ".join(
        f"{entry.reason} {entry.count} ({', '.join(entry.examples[:2])})"
        for entry in form.refused.counts()
    )
    return (
        f"no images found under {uri} (files there: {len(listing)}"
        f"{f', left out: {reasons}' if reasons else ''}): check {_place(uri)}, and "
        f"whether the format is {name!r}"
    )


def no_files(uri: str) -> str:
    """The sentence for a source without a single file, whatever the format."""
    return f"there are no files under {uri}: check {_place(uri)}"


def _place(uri: str) -> str:
    return "bucket and prefix" if uri.startswith("s3://") else "the path"


def _is_archive(name: str) -> bool:
    return PurePosixPath(name).suffix.lower().lstrip(".") in _ARCHIVES
