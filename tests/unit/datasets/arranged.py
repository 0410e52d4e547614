"""The files of a folder, understood by a format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.unit.labelled import write_folder
from trainyard.api.dataset import Selection
from trainyard.api.run import StoreLocation
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats import Format, open_format
from trainyard.datasets.labels import Label
from trainyard.stores import open_store


def selection_of(kind: str, **options: object) -> Selection:
    return Selection.model_validate(
        {"source": {"s3": {"bucket": "data"}}, "format": kind, **options}
    )


def arrange(root: Path, kind: str, files: Mapping[str, str | bytes], **options: object) -> Format:
    """Write the files and open the format; images need no content for that."""
    write_folder(root, {name: x.encode() if isinstance(x, str) else x for name, x in files.items()})
    files_there = SourceFiles(open_store(StoreLocation()), f"file://{root}")
    return open_format(selection_of(kind, **options), files_there)


def labels(made: Format) -> dict[str, tuple[Label, ...]]:
    return {entry.name: made.annotations(entry).labels for entry in made.images()}


def refused(made: Format) -> dict[str, tuple[str, ...]]:
    return {entry.reason: entry.examples for entry in made.refused.counts()}
