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
from trainyard.stores import ObjectChanged, ObjectInfo, ObjectNotFound, ObjectTooLarge, Store, join
from trainyard_trainer.data.formats import Candidate, Plan, plan
from trainyard_trainer.data.images import MAX_BYTES, ImageFacts, RefusedImage, inspect
from trainyard_trainer.data.labels import Label
from trainyard_trainer.faults import BadData, InvalidRunFile

_READERS = 16
# At most so many images are in memory ahead of the one that is being packed.
_AHEAD = 64

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class LoadedImage:
    """An image that can be decoded, with its labels.

    Attributes
    ----------
    name
        Path in the source.
    digest
        SHA-256 of `data`, raw.
    labels
        Sorted, all of the attribute of the source.
    """

    name: str
    data: bytes
    digest: bytes
    facts: ImageFacts
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class LeftOut:
    """An image that cannot be used, and the one-word reason."""

    name: str
    reason: str


class Source:
    """One selection's files.

    Raises
    ------
    InvalidRunFile
        If the selection asks for something that is not supported yet.
    BadData
        If there is no image, or the class names cannot be told.
    """

    def __init__(self, store: Store, selection: Selection) -> None:
        self.uri = source_uri(selection)
        self._store = store
        listing = list(store.list(self.uri))
        self.plan: Plan = plan(selection, listing, self._read)
        if not self.plan.candidates:
            raise BadData(
                f"no images found under {self.uri} (files there: {len(listing)}): check bucket, "
                f"prefix and format {selection.format.value!r}"
            )

    def __len__(self) -> int:
        return len(self.plan.candidates)

    def images(self) -> Iterator[LoadedImage | LeftOut]:
        """All images in the order of their names.

        Raises
        ------
        BadData
            If a label cannot be used or a file changed since it was listed.
        """
        return in_order(self._load, self.plan.candidates)

    def _load(self, candidate: Candidate) -> LoadedImage | LeftOut:
        entry = candidate.image
        if entry.size > MAX_BYTES:
            return LeftOut(entry.name, "TooLarge")
        data = self._read(entry, MAX_BYTES)
        # Labels first: a bad line fails the snapshot even where its image is broken too.
        try:
            labels = self.plan.labels_of(candidate, self._read)
        except BadData as error:
            raise BadData(f"{error} (in {self.uri})") from None
        try:
            facts = inspect(data, entry.uri)
        except RefusedImage as refusal:
            return LeftOut(entry.name, str(refusal))
        return LoadedImage(entry.name, data, hashlib.sha256(data).digest(), facts, labels)

    def _read(self, entry: ObjectInfo, limit: int) -> bytes:
        try:
            return self._store.read_bytes(entry.uri, limit, entry.version)
        except (ObjectChanged, ObjectNotFound):
            raise BadData(
                f"{entry.uri} was changed or removed while the source was being read: make the "
                "dataset again when nobody writes to it"
            ) from None
        except ObjectTooLarge as error:
            raise BadData(str(error)) from None


def source_uri(selection: Selection) -> str:
    """Where a selection's files lie.

    Raises
    ------
    InvalidRunFile
        If it has a source or a filter that is not supported yet.
    """
    if selection.source.s3 is None:
        raise InvalidRunFile("source.volume is not supported yet: put the data into a bucket")
    if selection.filter is not None:
        raise InvalidRunFile("filter is not supported yet: remove it")
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
