"""Options that several commands about datasets take, and what they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trainyard.api.dataset import DataFormat
from trainyard.api.run import StoreLocation
from trainyard.cli import options
from trainyard.cli.data.opening import Shape, links_in
from trainyard.cli.data.report import counted
from trainyard.cli.output import note
from trainyard.datasets.pictures import MAX_PICTURES
from trainyard.stores import AccessDenied, BucketNotFound, Store, StoreUnavailable, open_store

if TYPE_CHECKING:
    from trainyard.cli.store_access import StoreAccess

F = TypeVar("F", bound=Callable[..., Any])


def shape_options(function: F) -> F:
    """Options that say what labelled images are."""
    for option in (
        click.option(
            "--group-by",
            metavar="PATTERN",
            help="What belongs together: a regular expression with one (...) over the images' "
            "paths, or a column of records.",
        ),
        click.option(
            "--class-name",
            "class_names",
            multiple=True,
            metavar="NAME",
            help="Name of class 0; again for class 1, ...  [default: the names in the data]",
        ),
        click.option(
            "--attribute",
            default="class",
            show_default=True,
            metavar="NAME",
            help="The attribute that the classes are values of.",
        ),
        click.option(
            "--format",
            "format_",
            type=click.Choice([str(format_) for format_ in DataFormat]),
            help="Layout of images and labels.  [default: guessed from the files]",
        ),
    ):
        function = option(function)
    return function


def shape_of(
    format_: str | None, attribute: str, class_names: tuple[str, ...], group_by: str | None
) -> Shape:
    """What `shape_options` say."""
    return Shape(
        format=None if format_ is None else DataFormat(format_),
        attribute=attribute,
        class_names=class_names,
        group_by=group_by,
    )


def sheet_options(function: F) -> F:
    """Options about a contact sheet."""
    for option in (
        click.option(
            "--images",
            "count",
            type=click.IntRange(1, MAX_PICTURES),
            default=24,
            show_default=True,
            help="Images on the contact sheet.",
        ),
        click.option(
            "--out",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE.png",
            help="Write a contact sheet: images with their labels drawn.",
        ),
    ):
        function = option(function)
    return function


def note_links(folder: Path) -> None:
    """Say which files are left out because they are symbolic links."""
    links = links_in(folder)
    if links:
        note(
            f"{counted(len(links), 'symbolic link')} left out ({', '.join(links[:3])}"
            f"{', ...' if len(links) > 3 else ''}): put the files themselves there"
        )


@contextmanager
def store_of(uri: str) -> Iterator[Store]:
    """The store that a place lies in.

    What it refuses is told with where the knowledge of it came from. For a folder of this machine
    nobody is asked for anything.
    """
    if uri.startswith("file://"):
        yield open_store(StoreLocation())
        return
    access: StoreAccess = options.store_access()
    try:
        yield access.store
    except (AccessDenied, BucketNotFound, StoreUnavailable) as error:
        raise access.explain(error) from None
