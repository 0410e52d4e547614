"""What every format of labelled images can say about a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from trainyard.datasets.images import EXTENSIONS
from trainyard.datasets.labels import Label
from trainyard.datasets.refusals import Refusals
from trainyard.stores import ObjectInfo


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
    """

    labels: tuple[Label, ...] = ()
    tags: frozenset[str] = frozenset()
    group: str | None = None
    wanted: bool = True


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
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower().lstrip(".") in EXTENSIONS
