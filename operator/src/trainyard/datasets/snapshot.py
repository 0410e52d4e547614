"""The snapshot job: from selections of labelled images to one immutable, packed snapshot."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from trainyard.api.dataset import ClassCount, Selection
from trainyard.api.manifest import SAMPLES_NAME, SNAPSHOT_NAME, SnapshotManifest
from trainyard.api.report import Stage
from trainyard.api.run import SnapshotRunFile
from trainyard.datasets.errors import BadData
from trainyard.datasets.images import ImageFacts
from trainyard.datasets.labels import Label
from trainyard.datasets.refusals import HARMLESS, Refusals
from trainyard.datasets.samples import Sample, count_classes, digest_of, write_samples
from trainyard.datasets.shards import ShardWriter
from trainyard.datasets.source import LeftOut, LoadedImage, Source
from trainyard.stores import ObjectNotFound, PreconditionFailed, Store, join

REFUSED_LIMIT = 0.05
"""Largest fraction of images that may be refused; more means that the source is not what its
owner thinks it is."""

# Reading is nearly all of the work.
_READ_PERCENT = 95.0

_log = logging.getLogger("trainyard")

Say = Callable[[Stage, float, str], None]
"""Told the stage, how far everything is (0..100), and what is being done."""


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


@dataclass
class _Distinct:
    """An image, however many copies of it there are.

    `by_attribute` unites the labels that its copies carry; an attribute with no labels says that
    somebody looked and found nothing.
    """

    name: str
    facts: ImageFacts
    shard: int
    offset: int
    size: int
    by_attribute: dict[str, tuple[Label, ...]]
    group: str | None
    copies: list[str] = field(default_factory=list)
    conflict: bool = False


def make_snapshot(store: Store, run: SnapshotRunFile, say: Say) -> MadeSnapshot:
    """Read all selections and write the snapshot; returns where it is.

    Identical images are stored once. Copies whose labels agree, or are about different
    attributes, are united; copies that disagree about one attribute are all left out and counted
    as `ConflictingLabels`.

    Raises
    ------
    BadData
        If labels or too many images cannot be used, or the source changes while it is read.
    StoreError
        If the store does not answer or refuses.
    """
    refused = Refusals()
    images: dict[bytes, _Distinct] = {}
    with closing(ShardWriter(store, run.output)) as shards:
        for index, selection in enumerate(run.selections):
            start = _READ_PERCENT * index / len(run.selections)
            width = _READ_PERCENT / len(run.selections)
            _read(store, run, selection, images, refused, shards, say, (start, width))
        shards.finish()
        samples = _samples(images, refused)
        check_refused(len(samples), refused)
        say(Stage.WRITE, _READ_PERCENT, f"writing {len(samples)} samples")
        return _publish(store, run.output, samples, refused, shards)


def _read(
    store: Store,
    run: SnapshotRunFile,
    selection: Selection,
    images: dict[bytes, _Distinct],
    refused: Refusals,
    shards: ShardWriter,
    say: Say,
    share: tuple[float, float],
) -> None:
    """Add a selection's images; `share` is where its part of the progress starts, and its width."""
    with closing(Source(store, selection, group_by=run.group_by)) as source:
        refused.add_all(source.refused)
        total = len(source)
        for done, image in enumerate(source.images(), start=1):
            if isinstance(image, LeftOut):
                refused.add(image.reason, image.name)
            else:
                _merge(images, image, selection.attribute, shards)
            percent = share[0] + share[1] * done / total
            say(Stage.READ, percent, f"read {done} of {total} images of {source.uri}")


def _merge(
    images: dict[bytes, _Distinct], image: LoadedImage, attribute: str, shards: ShardWriter
) -> None:
    known, labels = images.get(image.digest), image.annotations.labels
    if known is None:
        shard, offset = shards.add(image.data, f"{image.digest.hex()}.{image.facts.extension}")
        images[image.digest] = _Distinct(
            image.name,
            image.facts,
            shard,
            offset,
            len(image.data),
            {attribute: labels},
            image.group,
        )
        return
    known.copies.append(image.name)
    if known.by_attribute.setdefault(attribute, labels) != labels:
        known.conflict = True


def _samples(images: dict[bytes, _Distinct], refused: Refusals) -> list[Sample]:
    """Rows sorted by digest, without the images whose copies disagree."""
    samples = []
    for digest, image in sorted(images.items()):
        if image.conflict:
            for name in (image.name, *image.copies):
                refused.add("ConflictingLabels", name)
            continue
        labels = sorted(label for found in image.by_attribute.values() for label in found)
        samples.append(
            Sample(
                digest=digest,
                name=image.name,
                width=image.facts.width,
                height=image.facts.height,
                shard=image.shard,
                offset=image.offset,
                size=image.size,
                look=image.facts.look,
                labels=tuple(labels),
                group=image.group,
            )
        )
    return samples


def check_refused(samples: int, refused: Refusals) -> None:
    """Refuse a source of which too much cannot be used, or nothing is left.

    Raises
    ------
    BadData
        With the counts by reason.
    """
    bad = [entry for entry in refused.counts() if entry.reason not in HARMLESS]
    count = sum(entry.count for entry in bad)
    if samples and count <= REFUSED_LIMIT * (samples + count):
        return
    reasons = "; ".join(f"{x.reason} {x.count} ({', '.join(x.examples[:2])})" for x in bad)
    raise BadData(
        f"{count} of {samples + count} files cannot be used, more than {REFUSED_LIMIT:.0%}: "
        f"{reasons}"
    )


def _publish(
    store: Store, output: str, samples: list[Sample], refused: Refusals, shards: ShardWriter
) -> MadeSnapshot:
    """Write manifest.parquet, then snapshot.json, unless this very snapshot is there already."""
    digest = digest_of(samples)
    folder = join(output, digest)
    place = join(folder, SNAPSHOT_NAME)
    try:
        document = store.read_bytes(place)
        _log.info("the same snapshot is there already")
    except ObjectNotFound:
        with tempfile.TemporaryDirectory(prefix="trainyard-samples-") as local:
            path = Path(local) / SAMPLES_NAME
            write_samples(samples, path)
            stored = store.upload(path, join(folder, SAMPLES_NAME))
        snapshot = SnapshotManifest(
            digest=digest,
            samples=len(samples),
            annotations=sum(len(sample.labels) for sample in samples),
            classes=tuple(
                ClassCount(attribute=attribute, value=value, count=count)
                for attribute, value, count in count_classes(samples)
            ),
            size_bytes=sum(sample.size for sample in samples),
            refused=refused.counts(),
            manifest=stored,
            shards=tuple(shards.finished),
            created_at=datetime.now(UTC),
        )
        document = snapshot.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode()
        try:
            store.write_bytes(place, document, if_absent=True)
        except PreconditionFailed:
            # Another job made the same snapshot meanwhile; theirs counts.
            document = store.read_bytes(place)
    _log.info("snapshot %s: %d images in %s", digest[:12], len(samples), folder)
    return MadeSnapshot(folder, hashlib.sha256(document).hexdigest(), len(samples))
