"""From what a person says about labelled images to a source that can be read."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trainyard.api.dataset import DataFormat, DataSource, S3Source, Selection, SelectionFilter
from trainyard.api.documents import first_problem
from trainyard.cli.data.guess import Guess, guess_format
from trainyard.cli.errors import CommandError
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.source import Source
from trainyard.stores import InvalidUri, Store, Uri

# Where a folder of this machine stands for a bucket that is not named yet.
_NO_BUCKET = "not-in-a-bucket"


@dataclass(frozen=True)
class Shape:
    """What labelled images are, as far as a person says.

    Attributes
    ----------
    format
        None: it is guessed.
    attribute, class_names
        See `Selection`.
    group_by
        See `DatasetSpec`.
    """

    format: DataFormat | None = None
    attribute: str = "class"
    class_names: tuple[str, ...] = ()
    group_by: str | None = None


@dataclass(frozen=True)
class Opened:
    """A source and how it was understood.

    Attributes
    ----------
    guess
        None if the format was given.
    """

    source: Source
    selection: Selection
    guess: Guess | None

    @property
    def format(self) -> str:
        """The format, and why, if nobody has named it."""
        if self.guess is None:
            return str(self.selection.format)
        return f"{self.selection.format} (guessed: {self.guess.because})"


def folder_uri(folder: Path) -> str:
    """A folder of this machine as a place in a store."""
    return f"file://{folder.resolve()}"


def links_in(folder: Path) -> list[str]:
    """Symbolic links below a folder, by their paths in it: the store does not follow them."""
    return [
        (Path(above) / name).relative_to(folder).as_posix()
        for above, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if (Path(above) / name).is_symlink()
    ]


def s3_source(uri: str) -> S3Source:
    """A place in a bucket as a Dataset names it.

    Raises
    ------
    CommandError
        If it is none.
    """
    try:
        place = Uri.parse(uri)
        if place.scheme != "s3":
            raise CommandError(f"{uri!r} is no place in a bucket: give s3://bucket/prefix")
        return S3Source(bucket=place.bucket, prefix=place.key.strip("/"))
    except InvalidUri as error:
        raise CommandError(str(error)) from None
    except ValidationError as error:
        raise CommandError(f"{uri!r} cannot be used: {first_problem(error)}") from None


def selection_of(
    shape: Shape,
    format_: DataFormat,
    place: S3Source | None = None,
    filter_: SelectionFilter | None = None,
) -> Selection:
    """The selection of a Dataset.

    Raises
    ------
    CommandError
        If the API would not take it.
    """
    try:
        return Selection(
            source=DataSource(s3=place or S3Source(bucket=_NO_BUCKET)),
            format=format_,
            filter=filter_,
            attribute=shape.attribute,
            class_names=shape.class_names,
        )
    except ValidationError as error:
        raise CommandError(first_problem(error, given=True)) from None


def understood(store: Store, uri: str, shape: Shape) -> tuple[DataFormat, Guess | None]:
    """The format of the files at `uri`: what is said, else what they look like, and why.

    Raises
    ------
    StoreError, CommandError
        If they are nothing that is known.
    """
    if shape.format is not None:
        return shape.format, None
    with closing(SourceFiles(store, uri)) as files:
        guess = guess_format(store, files)
    return guess.format, guess


def open_data(
    store: Store,
    uri: str,
    shape: Shape,
    place: S3Source | None = None,
    filter_: SelectionFilter | None = None,
    *,
    lenient: bool = False,
) -> Opened:
    """Understand the files at `uri`; nothing of them but their labels' layout is read yet.

    Raises
    ------
    BadData, StoreError, CommandError
        If they are nothing that can be used.
    """
    format_, guess = understood(store, uri, shape)
    selection = selection_of(shape, format_, place, filter_)
    source = Source(store, selection, uri=uri, group_by=shape.group_by, lenient=lenient)
    return Opened(source, selection, guess)
