"""From a snapshot in the store to its images: streamed, verified, through a node's cache."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path

from trainyard.api.manifest import SnapshotManifest, StoredFile
from trainyard.datasets.ahead import ahead
from trainyard.datasets.node_cache import NodeCache
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.samples import Sample
from trainyard.stores import DigestMismatch, Store, join, parent
from trainyard.stores.base import CHUNK_BYTES, check_digest, save_stream

# What is read ahead of the unpacking, in chunks: 16 MiB.
_AHEAD = (16 << 20) // CHUNK_BYTES

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class Shard:
    """A shard and where it lies."""

    uri: str
    file: StoredFile


def shards_of(uri: str, snapshot: SnapshotManifest) -> tuple[Shard, ...]:
    """The shards of the snapshot in the folder `uri`; `Sample.shard` is an index into them."""
    return tuple(Shard(join(parent(uri), stored.name), stored) for stored in snapshot.shards)


class Staging:
    """Reads snapshots; nothing of them lies on this machine's disk but in the cache.

    An entry of the cache is looked up only by a digest that was read from the snapshot's own
    description in the store, with the credentials of the run.

    Parameters
    ----------
    store
        Where the snapshots are.
    cache
        Of the node; None: everything comes from the store.
    """

    def __init__(self, store: Store, cache: NodeCache | None = None) -> None:
        self._store, self._cache = store, cache
        self._files, self._reused, self._fetched_bytes = 0, 0, 0

    def samples(self, uri: str, path: Path) -> SnapshotManifest:
        """Write the manifest.parquet of the snapshot in the folder `uri` to `path`.

        Returns
        -------
        The snapshot's description.

        Raises
        ------
        StoreError
            If there is no snapshot, or it is damaged.
        """
        snapshot = read_snapshot(self._store, uri)
        stored = snapshot.manifest
        place = join(uri, stored.name)
        save_stream(self._chunks(place, stored), path, place, stored.sha256)
        return snapshot

    def images(
        self, wanted: Mapping[Shard, Iterable[Sample]]
    ) -> Generator[tuple[Shard, Sample, bytes], None, None]:
        """The bytes of the wanted images, a shard after the other, each image verified.

        While one image is being used, what follows is read ahead into a bounded buffer. Shards
        that the cache has come first: adding others may evict them. Who stops early closes it.

        Raises
        ------
        StoreError
            If a shard cannot be read, or it or an image in it has another digest than expected.
            Only after the last image of a shard it is known that the whole shard is right.
        """
        order = sorted(wanted, key=lambda shard: (not self._has(shard), shard.uri))
        with closing(ahead(self._pieces(order), _AHEAD)) as pieces:
            for shard, group in groupby(pieces, key=itemgetter(0)):
                for sample, data in _cut(shard, map(itemgetter(1), group), wanted[shard]):
                    yield shard, sample, data
        _log.info(
            "staging: %d files, %d of them from the node's cache; %.1f MB came from the store",
            self._files,
            self._reused,
            self._fetched_bytes / 1e6,
        )

    def _has(self, shard: Shard) -> bool:
        return self._cache is not None and self._cache.has(shard.file)

    def _pieces(self, shards: Iterable[Shard]) -> Generator[tuple[Shard, bytes], None, None]:
        for shard in shards:
            with closing(self._chunks(shard.uri, shard.file)) as chunks:
                for chunk in chunks:
                    yield shard, chunk

    def _chunks(self, uri: str, file: StoredFile) -> Generator[bytes, None, None]:
        """Content of a file of the store; after the last piece it is known to be right."""
        self._files += 1
        if self._cache is None:
            yield from self._fetch(uri, file)
            return
        given = 0
        if (cached := self._cache.open(file)) is not None:
            with cached:
                for chunk in self._cache.chunks(cached, file):
                    given += len(chunk)
                    yield chunk
            if given == file.size_bytes:
                self._reused += 1
                return
        with self._cache.adding(file) as addition:
            for chunk in self._fetch(uri, file):
                addition.write(chunk)
                if new := chunk[given:]:
                    yield new
                given = max(0, given - len(chunk))
            addition.keep()

    def _fetch(self, uri: str, file: StoredFile) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        for chunk in self._store.stream(uri):
            digest.update(chunk)
            size += len(chunk)
            if size > file.size_bytes:
                raise DigestMismatch(
                    f"{uri} has more than the {file.size_bytes} bytes expected: it was changed"
                )
            self._fetched_bytes += len(chunk)
            yield chunk
        check_digest(uri, digest.hexdigest(), file.sha256)


def _cut(
    shard: Shard, chunks: Iterable[bytes], wanted: Iterable[Sample]
) -> Iterator[tuple[Sample, bytes]]:
    """The wanted images of a shard as it passes by, in memory of one image and one chunk."""
    pending = sorted(wanted, key=attrgetter("offset"))
    pending.reverse()
    buffer, start = bytearray(), 0
    for chunk in chunks:
        buffer += chunk
        while pending and pending[-1].offset + pending[-1].size <= start + len(buffer):
            sample = pending.pop()
            begin = sample.offset - start
            with memoryview(buffer) as view:
                data = bytes(view[begin : begin + sample.size])
            if hashlib.sha256(data).digest() != sample.digest:
                raise _not_as_said(shard, sample)
            yield sample, data
        until = pending[-1].offset if pending else start + len(buffer)
        passed = min(until - start, len(buffer))
        del buffer[:passed]
        start += passed
    if pending:
        raise _not_as_said(shard, pending[-1])


def _not_as_said(shard: Shard, sample: Sample) -> DigestMismatch:
    return DigestMismatch(
        f"{shard.uri} does not hold the image {sample.name!r} ({sample.size} bytes at "
        f"{sample.offset}) that manifest.parquet names: it was damaged or changed"
    )
