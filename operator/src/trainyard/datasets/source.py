"""Reading a source: many small objects at once, in a stated order, with bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import TypeVar

from trainyard.api.dataset import Selection, SelectionFilter
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.filters import ImageFilter
from trainyard.datasets.formats import open_format
from trainyard.datasets.formats.base import check_size, no_files, nothing_found
from trainyard.datasets.found import LeftOut, LoadedImage, Match
from trainyard.datasets.groups import Grouping
from trainyard.datasets.images import MAX_BYTES, RefusedImage, inspect
from trainyard.datasets.in_order import AHEAD, in_order
from trainyard.datasets.problems import Problems
from trainyard.datasets.refusals import Refusals
from trainyard.datasets.sampling import Distinct, Shuffled
from trainyard.stores import ObjectInfo, Store, join

R = TypeVar("R")


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
        Go on after an image or label that cannot be used, to find the others too. Of label files
        that are about many images each, `problems` has what cannot be used; of the others, `images`
        and `matches` tell.

    Attributes
    ----------
    uri
        Where they lie.
    problems
        Places that cannot be used and that were found when the source was opened. A lenient source
        with any would fail a snapshot.

    Raises
    ------
    BadData
        If there is no file or no image, the class names cannot be told, or the filter or `group_by`
        asks for what the format does not have.
    """

    def __init__(
        self,
        store: Store,
        selection: Selection,
        *,
        uri: str | None = None,
        group_by: str | None = None,
        lenient: bool = False,
    ) -> None:
        self._lenient = lenient
        self.problems = Problems(lenient=lenient)
        self.uri = uri or source_uri(selection)
        self._rule = selection.filter or SelectionFilter()
        self._filter = ImageFilter(selection)
        self._grouping = Grouping(selection, group_by)
        self._files = SourceFiles(store, self.uri)
        if not len(self._files.listing):
            self._files.close()
            raise BadData(no_files(self.uri))
        try:
            self._format = open_format(
                selection, self._files, group_by=self._grouping.column, problems=self.problems
            )
        except BadData as error:
            self._files.close()
            raise BadData(f"{error} (in {self.uri})") from None
        # What went before, for one that goes on.
        self._done, self._nothing_taken = 0, True
        self._taken = Distinct() if self._rule.limit else None
        if not len(self._format):
            if self.problems.count:
                raise BadData(f"{self.problems.said()} (in {self.uri})")
            raise BadData(
                nothing_found(self.uri, self._files.listing, self._format, selection.format.value)
            )

    def __len__(self) -> int:
        """Number of images, before any filter."""
        return len(self._format)

    @property
    def takes_all(self) -> bool:
        """Whether it takes every image that it has, so that nothing need be read to count them."""
        return self._rule.model_copy(update={"seed": 0}) == SelectionFilter()

    def listed_bytes(self) -> int:
        """Size of all images together, before any filter."""
        return sum(map(_size, self._format.images()))

    @property
    def refused(self) -> Refusals:
        """Files that are no samples."""
        return self._format.refused

    @property
    def listing_digest(self) -> str:
        """Digest of what was listed: another one if a file came, went or changed."""
        return self._files.listing.digest

    def went_before(self, *, digest: bytes | None = None, reason: str | None = None) -> None:
        """Go on after an image that `images` gave earlier; told of each of them, in order.

        Parameters
        ----------
        digest
            Of a loaded image.
        reason
            Of one that was left out.
        """
        self._done += 1
        self._nothing_taken &= reason == "Filtered"
        if digest is not None and self._taken is not None:
            self._taken.add(digest)

    def matches(self) -> Iterator[Match | LeftOut]:
        """All images in the order of their names, with the filter's word on each but for `limit`.

        No image is read, and no label of an image whose path is enough to leave it out.

        Raises
        ------
        BadData
            If a label cannot be used or changed since it was listed.
        """
        return in_order(self._guarded(self._match), self._format.images())

    def images(self) -> Iterator[LoadedImage | LeftOut]:
        """All images, each once: in the order of their names, or with `limit` in a random one.

        To be called once; after `went_before`, it gives the rest.

        That order depends on nothing but seed and names. What a filter leaves out is `Filtered`,
        and is not read.

        Raises
        ------
        BadData
            If a label cannot be used, a file changed since it was listed, or the filter leaves
            nothing.
        """
        for image in self._limited(self._taken) if self._taken is not None else self._all():
            self._nothing_taken &= isinstance(image, LeftOut) and image.reason == "Filtered"
            yield image
        if self._nothing_taken:
            others = ", ".join(self._filter.other_classes())
            raise BadData(
                f"the filter ({self._filter.describe()}) takes none of the {len(self)} images "
                f"under {self.uri}{f', whose classes are for example {others}' if others else ''}: "
                "correct it, or remove the selection"
            )

    def close(self) -> None:
        """Forget what lies on this machine's disk; it may be closed again."""
        if self._taken is not None:
            self._taken.close()
        self._format.close()
        self._files.close()

    def _all(self) -> Iterator[LoadedImage | LeftOut]:
        images = islice(self._format.images(), self._done, None)
        return in_order(self._guarded(self._load), images, size=_size)

    def _limited(self, taken: Distinct) -> Iterator[LoadedImage | LeftOut]:
        """Images in a random order, until as many distinct ones were found as are wanted.

        An image that cannot be used is thereby replaced by the next. What was read ahead behind
        the last one taken is not looked at: not even a bad label there counts.
        """
        limit = self._rule.limit or 0
        done, ahead = self._done, min(limit, AHEAD)
        with closing(Shuffled(self._format.images(), self._rule.seed)) as shuffled:
            wanted = shuffled.after(done) if len(taken) < limit else ()
            with closing(in_order(self._guarded(self._load), wanted, ahead, _size)) as images:
                for image in images:
                    done += 1
                    if isinstance(image, LoadedImage):
                        taken.add(image.digest)
                    yield image
                    if len(taken) == limit:
                        break
            for entry in shuffled.after(done):
                yield LeftOut(entry.name, "Filtered")

    def _guarded(self, work: Callable[[ObjectInfo], R]) -> Callable[[ObjectInfo], R | LeftOut]:
        """`work`, which goes on after what cannot be used if the source is lenient."""
        if not self._lenient:
            return work

        def leniently(entry: ObjectInfo) -> R | LeftOut:
            try:
                return work(entry)
            except BadData as error:
                return LeftOut(entry.name, error.reason, str(error))

        return leniently

    def _match(self, entry: ObjectInfo) -> Match | LeftOut:
        if not self._filter.may_take(entry.name):
            return LeftOut(entry.name, "Filtered")
        try:
            annotations = self._format.annotations(entry)
        except BadData as error:
            raise BadData(f"{error} (in {self.uri})") from None
        if not self._filter.takes(entry.name, annotations):
            return LeftOut(entry.name, "Filtered")
        group = self._grouping.of(entry.name, annotations)
        if group is None and self._grouping.asked_for:
            return LeftOut(entry.name, "NoGroup")
        return Match(entry, annotations, group)

    def _load(self, entry: ObjectInfo) -> LoadedImage | LeftOut:
        # Labels first: a bad line fails the snapshot even where its image is broken too.
        match = self._match(entry)
        if isinstance(match, LeftOut):
            return match
        if entry.size > MAX_BYTES:
            return LeftOut(entry.name, "TooLarge")
        data = self._files.read(entry, MAX_BYTES)
        try:
            facts = inspect(data, entry.uri)
        except RefusedImage as refusal:
            return LeftOut(entry.name, str(refusal))
        digest = hashlib.sha256(data).digest()
        check_size(match.annotations, facts, entry.uri)
        return LoadedImage(entry.name, data, digest, facts, match.annotations, match.group)


def source_uri(selection: Selection) -> str:
    """Where a selection's files lie.

    Raises
    ------
    BadData
        If it lies on a volume, which only the snapshot's pod has.
    """
    if selection.source.s3 is None:
        raise BadData(
            "source.volume can be read by the snapshot's pod alone: say where the files lie"
        )
    return join(f"s3://{selection.source.s3.bucket}", selection.source.s3.prefix)


def _size(entry: ObjectInfo) -> int:
    return entry.size
