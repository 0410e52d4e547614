"""Reading a source: many small objects at once, in a stated order, with bounded memory."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from trainyard.api.dataset import Selection
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats import Annotations, open_format
from trainyard.datasets.images import MAX_BYTES, ImageFacts, RefusedImage, inspect
from trainyard.datasets.refusals import Refusals
from trainyard.stores import ObjectInfo, Store, join

_READERS = 16
# At most so many images are in memory ahead of the one that is being packed.
_AHEAD = 64

T = TypeVar("T")
R = TypeVar("R")


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


class Source:
    """One selection's files.

    Parameters
    ----------
    store, selection
        Where they lie, what they are, and which of them are wanted.
    uri
        Where they lie, if not where the selection says: a mounted volume, a folder of this machine.
    group_by
        `DatasetSpec.group_by`.
    lenient
        Go on after an image or label that cannot be used, to find the others too.

    Raises
    ------
    BadData
        If there is no image, or the class names cannot be told.
    """

    def __init__(
        self,
        store: Store,
        selection: Selection,
        *,
        uri: str | None = None,
        group_by: str | None = None,  # noqa: ARG002 -- acts with the groups
        lenient: bool = False,
    ) -> None:
        self._lenient = lenient
        self.uri = uri or source_uri(selection)
        self._files = SourceFiles(store, self.uri)
        self._format = open_format(selection, self._files)
        if not len(self._format):
            raise BadData(
                f"no images found under {self.uri} (files there: {len(self._files.listing)}): "
                f"check bucket, prefix and format {selection.format.value!r}"
            )

    def __len__(self) -> int:
        return len(self._format)

    @property
    def refused(self) -> Refusals:
        """Files that are no samples."""
        return self._format.refused

    def images(self) -> Iterator[LoadedImage | LeftOut]:
        """All images in the order of their names.

        Raises
        ------
        BadData
            If a label cannot be used or a file changed since it was listed.
        """
        load = self._load_leniently if self._lenient else self._load
        return in_order(load, self._format.images())

    def close(self) -> None:
        """Forget what lies on this machine's disk."""
        self._format.close()
        self._files.close()

    def _load_leniently(self, entry: ObjectInfo) -> LoadedImage | LeftOut:
        try:
            return self._load(entry)
        except BadData as error:
            return LeftOut(entry.name, error.reason, str(error))

    def _load(self, entry: ObjectInfo) -> LoadedImage | LeftOut:
        # Labels first: a bad line fails the snapshot even where its image is broken too.
        try:
            annotations = self._format.annotations(entry)
        except BadData as error:
            raise BadData(f"{error} (in {self.uri})") from None
        if entry.size > MAX_BYTES:
            return LeftOut(entry.name, "TooLarge")
        data = self._files.read(entry, MAX_BYTES)
        try:
            facts = inspect(data, entry.uri)
        except RefusedImage as refusal:
            return LeftOut(entry.name, str(refusal))
        return LoadedImage(entry.name, data, hashlib.sha256(data).digest(), facts, annotations)


def source_uri(selection: Selection) -> str:
    """Where a selection's files lie.

    Raises
    ------
    BadData
        If it has a source that is not supported yet.
    """
    if selection.source.s3 is None:
        raise BadData("source.volume is not supported yet: put the data into a bucket")
    return join(f"s3://{selection.source.s3.bucket}", selection.source.s3.prefix)


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `work` in the order of `items`, computed by threads, a bounded number ahead."""
    remaining = iter(items)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
        pending: deque[Future[R]] = deque()
        try:
            pending.extend(pool.submit(work, item) for item in islice(remaining, _AHEAD))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(work, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
