"""Finding the image that a label file names, or has the name of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.base import is_image
from trainyard.datasets.listing import Listing


def inner_path(name: object, where: str) -> PurePosixPath:
    """The path of an image as a label file gives it, relative and inside of the source.

    Raises
    ------
    BadData
        If it is no path, absolute, or leads out with `..`.
    """
    if not isinstance(name, str) or not name.strip(" ./\\"):
        raise BadData(f"{where}: the image's name {str(name)[:200]!r} is no file's")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadData(f"{where}: the image's name {name[:200]!r} is not Unicode") from None
    # Tools on Windows write backslashes.
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise BadData(
            f"{where}: the image's name {name[:200]!r} leads out of the source: give a path "
            "relative to it, without '..'"
        )
    return path


def find_image(path: PurePosixPath, folders: Iterable[str], listing: Listing) -> str | None:
    """The name of the image in the first of `folders` that has it."""
    for folder in folders:
        name = str(PurePosixPath(folder) / path)
        if is_image(name) and name in listing:
            return name
    return None


def images_with_stem(path: PurePosixPath, listing: Listing) -> Iterator[str]:
    """The images that have the folder and the stem of `path`, whatever their extension is."""
    stem = str(path.with_suffix(""))
    for name in listing.with_stem(stem):
        if is_image(name) and "." not in name[len(stem) + 1 :]:
            yield name


def folder_of(name: str) -> str:
    """The folder that a file of a source lies in; empty for its root."""
    parent = str(PurePosixPath(name).parent)
    return "" if parent == "." else parent
