"""The format of labelled images that nobody has named."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from trainyard.api.dataset import DataFormat
from trainyard.cli.errors import CommandError
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import is_hidden, is_image
from trainyard.datasets.formats.record_files import SUFFIXES
from trainyard.stores import ObjectInfo, Store

SPLIT_FILE = "trainyard-split.jsonl"
"""Written by `trainyard datasets split`: which image is in which split. It says nothing of the
format that the data has itself."""

_HEAD_BYTES = 64 << 10
# Enough to know a file by; who has thousands has them all alike.
_LOOKED_INTO = 20
_COCO = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_VOC = re.compile(rb"<annotation[\s>]")
_YOLO = re.compile(rb"\s*\d+(\s+-?[\d.eE+-]+){4,}\s*(\n|$)")


@dataclass(frozen=True)
class Guess:
    """A format and what speaks for it."""

    format: DataFormat
    because: str


def guess_format(store: Store, files: SourceFiles) -> Guess:
    """What the files most probably are.

    Raises
    ------
    CommandError
        If they are nothing that is known.
    """
    counts: Counter[str] = Counter()
    candidates: dict[str, list[ObjectInfo]] = {}
    in_folders = 0
    for entry in files.listing:
        if is_image(entry.name):
            counts["image"] += 1
            in_folders += "/" in entry.name
            continue
        if entry.name == SPLIT_FILE or is_hidden(entry.name):
            continue
        kind = PurePosixPath(entry.name).suffix.lower()
        counts[kind] += 1
        if len(found := candidates.setdefault(kind, [])) < _LOOKED_INTO:
            found.append(entry)
    if not counts["image"]:
        raise CommandError(f"there is no image in {files.uri} ({counts.total():,} other files)")
    for name in ("data.yaml", "data.yml"):
        if name in files.listing:
            return Guess(DataFormat.YOLO, f"there is a {name}")
    for kinds, pattern, format_ in (
        (SUFFIXES, None, DataFormat.RECORDS),
        ((".json",), _COCO, DataFormat.COCO),
        ((".xml",), _VOC, DataFormat.VOC),
        ((".txt",), _YOLO, DataFormat.YOLO),
    ):
        for entry in (entry for kind in kinds for entry in candidates.get(kind, ())):
            if pattern is None or pattern.search(_head(store, entry)):
                return Guess(format_, f"there is {entry.name}")
    if in_folders:
        return Guess(
            DataFormat.FOLDERS, "the images lie in folders, and there are no files of labels"
        )
    raise CommandError(
        f"the format of {files.uri} cannot be told: it has {counts['image']:,} images, none of "
        "them in a folder, and no file of labels that is known; give --format"
    )


def _head(store: Store, entry: ObjectInfo) -> bytes:
    chunks = store.stream(entry.uri, _HEAD_BYTES)
    try:
        return next(chunks, b"")
    finally:
        # Closes the connection of a large file that is not read on.
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
