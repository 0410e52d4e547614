"""Splits of a source: a records file that tags each image with its split, and Datasets by tag.

One mechanism for all formats. The file lies beside the data, so that the Datasets have the source's
own place, the format `records` and a filter over the tag; nothing is moved or copied.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trainyard.api.dataset import DataFormat, Dataset, Selection, SelectionFilter
from trainyard.cli.data.check import problem_of, read_source
from trainyard.cli.data.dealing import Dealt, DealtFile, Deck, Share
from trainyard.cli.data.guess import SPLIT_FILE
from trainyard.cli.data.manifests import dataset_manifest
from trainyard.cli.errors import CommandError
from trainyard.datasets.formats.base import is_hidden
from trainyard.datasets.formats.record_files import SUFFIXES
from trainyard.datasets.found import LoadedImage
from trainyard.datasets.source import Source
from trainyard.datasets.union import Union
from trainyard.stores import Store, join

# In records that are there already, the tags are those of an entity of their own, which has no
# label and is older than everything: what the other rows say stays as it is.
_ENTITY = "trainyard-split"
_LONG_AGO = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Splitting:
    """How a source is split.

    Attributes
    ----------
    selection
        The source.
    shares
        The splits.
    seed
        Another one deals otherwise.
    group_by
        See `DatasetSpec`.
    """

    selection: Selection
    shares: tuple[Share, ...]
    seed: int
    group_by: str | None


def split_source(
    store: Store,
    source: Source,
    splitting: Splitting,
    advance: Callable[[int], None],
) -> list[Dealt]:
    """Deal a lenient source's images out and write the split file beside them.

    Raises
    ------
    CommandError
        If a snapshot of the source would fail, or it cannot be split so. Nothing is written then.
    """
    selection = splitting.selection
    if selection.format is not DataFormat.RECORDS:
        _refuse_records(store, source.uri)
    with closing(Deck()) as deck, closing(Union()) as union:

        def remember(image: LoadedImage) -> None:
            deck.add_file(_checked(image.name), image.digest)

        read = read_source(source, selection.attribute, union, advance, remember)
        for sample in union.samples(read.refused):
            deck.add(sample)
        problem = problem_of(read, union.taken, deck.classes)
        if problem is not None:
            raise CommandError(f"nothing was split: a snapshot of it would fail: {problem}")
        dealt = deck.deal(splitting.shares, splitting.seed)
        with tempfile.TemporaryDirectory(prefix="trainyard-split-") as folder:
            path = Path(folder) / SPLIT_FILE
            with path.open("w", encoding="utf-8") as file:
                for image in deck.files():
                    for row in _rows(image, splitting):
                        file.write(f"{json.dumps(row, ensure_ascii=False)}\n")
            store.upload(path, join(source.uri, SPLIT_FILE))
    return dealt


def split_datasets(name: str, splitting: Splitting, dealt: Sequence[Dealt]) -> list[Dataset]:
    """One Dataset a split, `NAME-train` and so on."""
    of_records = splitting.selection.format is DataFormat.RECORDS
    rule = splitting.selection.filter or SelectionFilter()
    found = []
    for share, got in zip(splitting.shares, dealt, strict=True):
        selection = splitting.selection.model_copy(
            update={
                "format": DataFormat.RECORDS,
                "filter": rule.model_copy(update={"tags": (tag_of(share),)}),
                # The split file has the names themselves.
                "class_names": splitting.selection.class_names if of_records else (),
            }
        )
        said = (
            f"Split {share.name} ({share.percent:g}%, seed {splitting.seed}): {got.samples} images."
        )
        found.append(dataset_manifest(f"{name}-{share.name}", selection, splitting.group_by, said))
    return found


def tag_of(share: Share) -> str:
    """The tag of a split's images."""
    return f"split:{share.name}"


def _rows(image: DealtFile, splitting: Splitting) -> Iterator[dict[str, Any]]:
    """Rows of the split file: the tag, and unless other records have them, the labels."""
    first: dict[str, Any] = {"image": image.name}
    tags = [tag_of(splitting.shares[image.split])]
    if splitting.selection.format is DataFormat.RECORDS:
        yield first | {"entity": _ENTITY, "submittedAt": _LONG_AGO, "tags": tags}
        return
    if not image.labels:
        yield first | {"tags": tags}
    for index, label in enumerate(image.labels):
        row = first | {"attribute": label.attribute, "value": label.value}
        if label.points:
            row[label.geometry] = list(label.points)
        yield row | ({} if index else {"tags": tags})


def _refuse_records(store: Store, uri: str) -> None:
    """Records that are no part of the format would be read together with the split file."""
    for entry in store.list(uri):
        other = entry.name.endswith(SUFFIXES) and not is_hidden(entry.name)
        if other and entry.name != SPLIT_FILE:
            raise CommandError(
                f"{entry.uri} would be read as records by the Datasets of the splits: move it "
                "away, or give --format records if it has the labels"
            )


def _checked(name: str) -> str:
    """The name of an image, if records can name it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        fine = False
    else:
        fine = "\\" not in name and ":" not in PurePosixPath(name).parts[0]
    if not fine:
        raise CommandError(
            f"the image {name!r} cannot be named in records: rename it, without backslashes and "
            "without a colon in its first part"
        )
    return name
