"""The snapshot job: from selections of labelled images to one immutable, packed snapshot."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trainyard.api.dataset import ClassCount
from trainyard.api.manifest import SAMPLES_NAME, SNAPSHOT_NAME, SnapshotManifest, StoredFile
from trainyard.api.report import Stage
from trainyard.api.run import SnapshotRunFile, source_mount
from trainyard.datasets.bounds import Bounds
from trainyard.datasets.errors import BadData
from trainyard.datasets.packing import READ_PERCENT, Packer, Say
from trainyard.datasets.parts import Parts, parts_key
from trainyard.datasets.refusals import HARMLESS, Refusals
from trainyard.datasets.samples import Sample, Tally, write_samples
from trainyard.datasets.scratch import full_disk_explained
from trainyard.datasets.shards import SHARD_LIMIT, ShardWriter
from trainyard.datasets.source import Source
from trainyard.datasets.union import Union
from trainyard.datasets.volumes import Mounts, claims_named, local_uri
from trainyard.stores import ObjectNotFound, PreconditionFailed, Store, StoreError, join
from trainyard.stores.digests import sha256_of

REFUSED_LIMIT = 0.05
"""Largest fraction of images that may be refused; more means that the source is not what its
owner thinks it is."""

CLASSES_LIMIT = 5000
"""Most classes of a snapshot: a Dataset's status lists them."""

CLASSES_BYTES_LIMIT = 512 << 10
"""Most bytes of their names: an object of Kubernetes has room for about a mebibyte and a half."""

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class MadeSnapshot:
    """A snapshot in the store.

    Attributes
    ----------
    location
        Its folder.
    sha256
        Of its snapshot.json.
    samples
        Number of images.
    """

    location: str
    sha256: str
    samples: int


def make_snapshot(
    store: Store,
    run: SnapshotRunFile,
    say: Say,
    *,
    shard_limit: int = SHARD_LIMIT,
    mounts: Mounts = source_mount,
    buckets: Mapping[str, Path] | None = None,
) -> MadeSnapshot:
    """Read all selections and write the snapshot; returns where it is.

    Identical images are stored once, see `Union`. What was done before the Job was killed is not
    done again, see `Parts`; the snapshot is the same as of an undisturbed one.

    Parameters
    ----------
    store, run
        Where everything lies, and what to do.
    say
        Told about the progress.
    shard_limit
        Bytes at which a shard is closed.
    mounts, buckets
        Where volumes are mounted, and folders that stand for buckets.

    Raises
    ------
    BadData
        If labels or too many images cannot be used, the source changes while it is read, or the
        selections take more than `run.limits` allow.
    StoreError
        If the store does not answer or refuses.
    DiskFull
        If this machine's disk is too small.
    """
    with full_disk_explained(), claims_named(run, mounts), ExitStack() as stack:
        sources = []
        for index, selection in enumerate(run.selections):
            say(Stage.READ, 0, f"listing the files of selection {index}")
            uri = local_uri(index, selection, mounts, buckets)
            source = Source(store, selection, uri=uri, group_by=run.group_by)
            sources.append(stack.enter_context(closing(source)))
        bounds = Bounds(run.limits)
        bounds.take_listed(sources)
        key = parts_key(run, [source.listing_digest for source in sources])
        parts = stack.enter_context(closing(Parts(store, run.output, key)))
        shards = stack.enter_context(closing(ShardWriter(store, run.output, shard_limit)))
        union = stack.enter_context(closing(Union()))
        refused, listed = Refusals(), Refusals()
        for source in sources:
            listed.add_all(source.refused)
        refused.add_all(listed)
        packer = Packer(
            sources,
            run.selections,
            parts=parts,
            shards=shards,
            union=union,
            refused=refused,
            bounds=bounds,
            say=say,
        )
        try:
            if resumed := packer.resume():
                _log.info("going on after %d images that an earlier attempt packed", resumed)
            packer.read()
            say(Stage.WRITE, READ_PERCENT, "writing the manifest")
            made = _publish(store, run.output, union, refused, listed, shards.finished)
        except BadData:
            # The same data would end the same way: nobody goes on from here.
            _clear(parts)
            raise
        _clear(parts)
        return made


def _clear(parts: Parts) -> None:
    # Parts that stay take little room and hurt nobody.
    with suppress(StoreError):
        parts.remove()


def check_refused(taken: int, refused: Refusals, listed: Refusals) -> None:
    """Refuse a source of which too much cannot be used, or nothing is left.

    Parameters
    ----------
    taken
        Number of image files that are taken: `Union.taken`.
    refused
        All that is not.
    listed
        The part of it that was refused when the source was listed, before any filter: it is held
        against all images that were found, and not only against those that a filter takes.

    Raises
    ------
    BadData
        With the counts by reason.
    """
    bad = [entry for entry in refused.counts() if entry.reason not in HARMLESS]
    count, early = _bad(refused), _bad(listed)
    others = sum(entry.count for entry in refused.counts() if entry.reason == "Filtered")
    if (
        taken
        and count - early <= REFUSED_LIMIT * (taken + count - early)
        and count <= REFUSED_LIMIT * (taken + count + others)
    ):
        return
    reasons = "; ".join(f"{x.reason} {x.count} ({', '.join(x.examples[:2])})" for x in bad)
    raise BadData(
        f"{count} of {taken + count} files cannot be used, more than {REFUSED_LIMIT:.0%}: {reasons}"
    )


def _bad(refused: Refusals) -> int:
    return sum(entry.count for entry in refused.counts() if entry.reason not in HARMLESS)


def check_classes(names: Collection[str]) -> None:
    """Refuse more classes than a Dataset's status has room for.

    Parameters
    ----------
    names
        Of each class, `attribute=value`.

    Raises
    ------
    BadData
        If they are too many, or their names too long.
    """
    size = sum(len(name.encode()) for name in names)
    if len(names) > CLASSES_LIMIT:
        said = f"more than the {CLASSES_LIMIT} classes allowed"
    elif size > CLASSES_BYTES_LIMIT:
        said = f"class names of {size} bytes together, more than the {CLASSES_BYTES_LIMIT} allowed"
    else:
        return
    raise BadData(f"the labels have {said}: check that the attribute is a class and no free text")


def _of_few_classes(tally: Tally, samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples, counted, until they have too many classes: free text would fill the memory."""
    for sample in tally.over(samples):
        if tally.class_count > CLASSES_LIMIT:
            check_classes(_class_names(tally))
        yield sample


def _class_names(tally: Tally) -> list[str]:
    return [f"{attribute}={value}" for attribute, value, _ in tally.classes]


def _publish(
    store: Store,
    output: str,
    union: Union,
    refused: Refusals,
    listed: Refusals,
    shards: list[StoredFile],
) -> MadeSnapshot:
    """Write the samples, then snapshot.json, unless this very snapshot is there already."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="trainyard-samples-") as local:
        path = Path(local) / SAMPLES_NAME
        write_samples(_of_few_classes(tally, union.samples(refused)), path)
        check_refused(union.taken, refused, listed)
        check_classes(_class_names(tally))
        folder = join(output, tally.digest)
        place = join(folder, SNAPSHOT_NAME)
        try:
            document = store.read_bytes(place)
            _log.info("the same snapshot is there already")
        except ObjectNotFound:
            stored = _upload_samples(store, folder, path)
            snapshot = SnapshotManifest(
                digest=tally.digest,
                samples=tally.samples,
                annotations=tally.annotations,
                classes=tuple(
                    ClassCount(attribute=attribute, value=value, count=count)
                    for attribute, value, count in tally.classes
                ),
                size_bytes=tally.size_bytes,
                refused=refused.counts(),
                manifest=stored,
                shards=tuple(shards),
                created_at=datetime.now(UTC),
            )
            document = snapshot.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()
            try:
                store.write_bytes(place, document, if_absent=True)
            except PreconditionFailed:
                # Another job made the same snapshot meanwhile; theirs counts.
                document = store.read_bytes(place)
    _log.info("snapshot %s: %d images in %s", tally.digest[:12], tally.samples, folder)
    return MadeSnapshot(folder, hashlib.sha256(document).hexdigest(), tally.samples)


def _upload_samples(store: Store, folder: str, path: Path) -> StoredFile:
    """Store manifest.parquet under a name of its content.

    Two jobs may make the same snapshot at once from files with other names, packed otherwise:
    neither may replace what the other's snapshot.json is about.
    """
    digest = sha256_of(path)
    return store.upload(path, join(folder, f"{path.stem}-{digest[:16]}{path.suffix}"))
