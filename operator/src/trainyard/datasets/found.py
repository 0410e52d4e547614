"""What is found out about each image of a source."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.datasets.formats import Annotations
from trainyard.datasets.images import ImageFacts
from trainyard.stores import ObjectInfo


@dataclass(frozen=True)
class LoadedImage:
    """An image that can be decoded, with what is said about it.

    Attributes
    ----------
    name
        Path in the source.
    data
        The file's bytes.
    digest
        SHA-256 of `data`, raw.
    facts
        What it is.
    annotations
        Labels and the rest.
    group
        What it belongs together with, if the dataset has groups.
    """

    name: str
    data: bytes
    digest: bytes
    facts: ImageFacts
    annotations: Annotations
    group: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """An image that is not taken, and the one-word reason.

    `error` is the sentence that fails a snapshot, of an image (or its labels) that a lenient
    source goes on after.
    """

    name: str
    reason: str
    error: str | None = None


@dataclass(frozen=True)
class Match:
    """An image that the filter takes, whatever its bytes turn out to be.

    Attributes
    ----------
    entry
        The file.
    annotations
        Labels and the rest.
    group
        What it belongs together with, if the dataset has groups.
    """

    entry: ObjectInfo
    annotations: Annotations
    group: str | None = None
