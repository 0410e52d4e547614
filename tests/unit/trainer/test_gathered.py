"""The images of a run's splits: united, chosen and found again, in bounded memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator

import pytest

from trainyard.api.manifest import StoredFile
from trainyard.datasets.labels import Label
from trainyard.datasets.samples import Sample
from trainyard.datasets.staging import Shard
from trainyard_trainer.gathered import Gathered, Shared

CAT = Label("class", "cat", "box", (0.1, 0.1, 0.2, 1 / 3))
DOG = Label("class", "dog", "polygon", (0.0, 0.0, 1.0, 0.0, 1.0, 1.0))
BLUR = Label("quality", "blurred", "image")


def shard(number: int) -> Shard:
    file = StoredFile(name=f"shards/{number}.tar", sha256="0" * 64, size_bytes=1)
    return Shard(f"s3://bucket/shards/{number}.tar", file)


def sample(number: int, *labels: Label, group: str | None = None) -> Sample:
    digest = hashlib.sha256(str(number).encode()).digest()
    return Sample(digest, f"{number}.png", 40, 30, 0, 512 * number, 100, labels, group)


@pytest.fixture
def images() -> Iterator[Gathered]:
    with Gathered() as made:
        yield made


def test_an_image_comes_back_as_it_was_and_sorted_by_digest(images: Gathered) -> None:
    given = [sample(n, CAT, DOG, BLUR) for n in range(3000)]
    for one in given:
        images.add("train", one, shard(0))
    assert list(images.of("train")) == sorted(given, key=lambda one: one.digest)
    assert list(images.of("dev")) == []


def test_the_same_image_of_two_snapshots_has_the_labels_of_both_and_lies_in_the_first(
    images: Gathered,
) -> None:
    images.add("train", sample(1, DOG), shard(0))
    images.add("train", sample(1, BLUR, DOG, CAT), shard(1))
    images.add("dev", sample(2), shard(1))
    (one,) = images.of("train")
    assert one.labels == (CAT, DOG, BLUR)
    assert dict(images.wanted) == {shard(0): [one], shard(1): [sample(2)]}


def test_an_image_of_two_splits_is_wanted_once_and_each_has_its_labels(images: Gathered) -> None:
    images.add("dev", sample(1, CAT), shard(0))
    images.add("test", sample(1, DOG), shard(0))
    ((_, wanted),) = images.wanted.items()
    assert len(wanted) == 1
    found = images.of_shard(shard(0), wanted[0].digest)
    assert sorted((split, one.labels) for split, one in found) == [
        ("dev", (CAT,)),
        ("test", (DOG,)),
    ]


def test_images_can_be_dropped_while_they_are_read(images: Gathered) -> None:
    for number in range(3000):
        images.add("train", sample(number), shard(number // 1500))
    for position, one in enumerate(images.of("train")):
        if position % 2 or one.offset < 512 * 1500:
            images.drop("train", one.digest)
    assert images.count("train") == len(list(images.of("train"))) < 1500
    assert list(images.wanted) == [shard(1)]


def test_what_splits_share_is_counted_and_named(images: Gathered) -> None:
    for number in range(6):
        images.add("train", sample(number, group=f"video-{number}"), shard(0))
    for number in range(4, 9):
        images.add("dev", sample(number, group=f"video-{number - 4}"), shard(0))
    both = images.shared_images("train", "dev", 5)
    assert (both.count, set(both.examples)) == (2, {"4.png", "5.png"})
    assert images.shared_groups("train", "dev", 3) == Shared(5, ("video-0", "video-1", "video-2"))
    assert images.shared_groups("train", "test", 3) == Shared(0, ())


def test_memory_does_not_grow_with_the_images(images: Gathered) -> None:
    def gather(first: int, last: int) -> int:
        tracemalloc.start()
        for number in range(first, last):
            boxes = (Label("class", f"c{n}", "box", (n / 20, 0.1, 0.9, 0.8)) for n in range(10))
            images.add("train", sample(number, *boxes), shard(0))
        for one in images.of("train"):
            images.of_shard(shard(0), one.digest)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    gather(0, 1500)
    # A dictionary of them takes 8 KB an image, 12 MB for these.
    assert gather(1500, 3000) < 8 << 20
