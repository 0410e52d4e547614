"""What splits hold and share, read from snapshots in a store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from tests.unit.labelled import image_bytes
from tests.unit.snapshots import Snapshots, grouped, sample
from trainyard.api.comparison import (
    AlikeImages,
    Comparison,
    LabelCount,
    NotLookedFor,
    SharedGroups,
    SharedImages,
    SplitContent,
    SplitPair,
)
from trainyard.datasets import alike, columns, splits
from trainyard.datasets.images import inspect
from trainyard.datasets.labels import Label
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.samples import Sample
from trainyard.datasets.splits import compare_splits
from trainyard.stores import DigestMismatch, Store, StoreError, join
from trainyard.stores.folder import FolderStore

CAT = Label("class", "cat", "image")


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(FolderStore(), f"file://{tmp_path}/objects", tmp_path)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Batches that a handful of samples fills several of."""
    monkeypatch.setattr(columns, "ROWS_AT_ONCE", 3)
    yield


def test_snapshots_of_a_real_store_that_share_nothing(
    store: Store, place: str, tmp_path: Path
) -> None:
    snapshots = Snapshots(store, place, tmp_path)
    train = [sample("a", labels=(CAT, CAT)), sample("b")]
    assert snapshots.compare(train=train, dev=[sample("c")]) == Comparison(
        {
            "train": SplitContent(2, (LabelCount("class", "cat", "image", 2),)),
            "dev": SplitContent(1),
        }
    )


def test_a_manifest_that_was_changed_is_refused(store: Store, place: str, tmp_path: Path) -> None:
    train = Snapshots(store, place, tmp_path).make([sample("a")])
    store.write_bytes(join(train, "manifest.parquet"), b"other")
    with pytest.raises(DigestMismatch, match=r"manifest\.parquet"):
        compare_splits(store, {"train": [train], "dev": [train]})


def test_what_is_no_snapshot_is_named(store: Store, place: str) -> None:
    store.write_bytes(join(place, "snapshot.json"), b"[]")
    with pytest.raises(StoreError, match=r"snapshot\.json is no snapshot"):
        read_snapshot(store, place)


class TestImages:
    def test_are_counted_once_and_named_on_both_sides(self, snapshots: Snapshots) -> None:
        train = snapshots.make([sample("a", "1"), sample("b", "2"), sample("c", "3")])
        more = snapshots.make([sample("again", "2"), sample("d", "4")])
        dev = snapshots.make([sample("x", "2"), sample("y", "9")])
        other = snapshots.make([sample("z", "4"), sample("x2", "2")])
        found = compare_splits(snapshots.store, {"train": [train, more], "dev": [dev, other]})
        (pair,) = found.pairs
        assert (pair.first, pair.second) == ("train", "dev")
        assert pair.images is not None
        assert pair.images.count == 2
        assert set(pair.images.examples) == {("b", "x"), ("d", "z")}
        # Nor do they look alike: they are the same.
        assert pair.alike is None
        assert {name: split.samples for name, split in found.splits.items()} == {
            "train": 4,
            "dev": 3,
        }

    def test_five_are_named(self, snapshots: Snapshots) -> None:
        samples = [sample(str(number)) for number in range(20)]
        (pair,) = snapshots.compare(train=samples, dev=samples).pairs
        assert pair.images is not None
        assert pair.images.count == 20
        assert len(pair.images.examples) == 5
        assert all(first == second for first, second in pair.images.examples)

    def test_of_test_are_compared_with_train_and_with_dev(self, snapshots: Snapshots) -> None:
        found = snapshots.compare(
            train=[sample("a"), sample("b")],
            dev=[sample("c"), sample("d")],
            test=[sample("d2", "d"), sample("b2", "b"), sample("e")],
        )
        assert found.pairs == (
            SplitPair("train", "test", SharedImages(1, (("b", "b2"),))),
            SplitPair("dev", "test", SharedImages(1, (("d", "d2"),))),
        )

    def test_that_agree_in_half_of_what_is_compared_are_told_apart(
        self, snapshots: Snapshots
    ) -> None:
        digests = [bytes(8) + bytes([number]) * 24 for number in (7, 3, 5, 9)]
        seven, three, five, nine = (
            sample(f"{digest[9]}", digest=digest)  # type: ignore[arg-type]
            for digest in digests
        )
        (pair,) = snapshots.compare(train=[nine, five], dev=[three, seven, nine]).pairs
        assert pair.images == SharedImages(1, (("9", "9"),))
        assert snapshots.compare(train=[five], dev=[three, seven]).pairs == ()

    def test_of_one_dataset_in_two_splits_are_read_once(
        self, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train, both = snapshots.make([sample("a")]), snapshots.make([sample("b")])
        read: list[str] = []
        download = splits.download_samples
        monkeypatch.setattr(
            splits,
            "download_samples",
            lambda store, uri, path: [read.append(uri), download(store, uri, path)],
        )
        found = compare_splits(snapshots.store, {"train": [train], "dev": [both], "test": [both]})
        assert read == [train, both]
        assert found.pairs == (SplitPair("dev", "test", SharedImages(1, (("b", "b"),))),)


class TestGroups:
    def test_are_counted_with_their_samples_on_both_sides(self, snapshots: Snapshots) -> None:
        found = snapshots.compare(
            train=grouped(a="p1", b="p1", c="p2", d="p3", e=None, f="p4"),
            dev=grouped(g="p9", h="p2", i="p1", j="p2", k=None),
        )
        assert found.pairs == (
            SplitPair("train", "dev", groups=SharedGroups(2, (3, 3), ("p1", "p2"))),
        )

    def test_of_several_datasets_are_one_group(self, snapshots: Snapshots) -> None:
        train = [snapshots.make(grouped(a="x")), snapshots.make(grouped(b="y", c="z"))]
        dev = [snapshots.make(grouped(d="z")), snapshots.make(grouped(e="q", f="z"))]
        (pair,) = compare_splits(snapshots.store, {"train": train, "dev": dev}).pairs
        assert pair.groups == SharedGroups(1, (1, 2), ("z",))

    def test_five_are_named(self, snapshots: Snapshots) -> None:
        train = [sample(f"t{number}", group=f"g{number}") for number in range(9)]
        dev = [sample(f"d{number}", group=f"g{number}") for number in range(9)]
        (pair,) = snapshots.compare(train=train, dev=dev).pairs
        assert pair.groups == SharedGroups(9, (9, 9), ("g0", "g1", "g2", "g3", "g4"))

    def test_none_is_no_group(self, snapshots: Snapshots) -> None:
        assert snapshots.compare(train=grouped(a=None), dev=grouped(b=None)).pairs == ()

    def test_of_dev_and_test_are_told(self, snapshots: Snapshots) -> None:
        found = snapshots.compare(
            train=grouped(a="1"), dev=grouped(b="2", c="3"), test=grouped(d="3")
        )
        assert found.pairs == (SplitPair("dev", "test", groups=SharedGroups(1, (1, 1), ("3",))),)


class TestContent:
    def test_is_counted_by_class_and_geometry(self, snapshots: Snapshots) -> None:
        box = Label("class", "cat", "box", (0.1, 0.1, 0.2, 0.2))
        outline = Label("class", "cat", "polygon", (0.1, 0.1, 0.2, 0.2, 0.1, 0.2))
        colour = Label("colour", "red", "box", (0.1, 0.1, 0.2, 0.2))
        samples = [sample("a", labels=(box, box, outline)), sample("b"), sample("c", labels=(box,))]
        more = [sample("d", labels=(colour, CAT)), sample("e", labels=(colour,))]
        train = [snapshots.make(samples), snapshots.make(more)]
        found = compare_splits(snapshots.store, {"train": train, "dev": train[:1]})
        assert found.splits["train"] == SplitContent(
            5,
            (
                LabelCount("class", "cat", "box", 3),
                LabelCount("class", "cat", "image", 1),
                LabelCount("class", "cat", "polygon", 1),
                LabelCount("colour", "red", "box", 2),
            ),
        )

    def test_of_an_earlier_version_has_no_looks(self, snapshots: Snapshots) -> None:
        look = bytes(range(32))
        old = snapshots.make([sample("a", look=look)], without=["look"])
        new = snapshots.make([sample("b", look=look), sample("c", look=None)])
        assert compare_splits(snapshots.store, {"train": [old], "dev": [new]}).pairs == ()
        assert compare_splits(snapshots.store, {"train": [new], "dev": [old]}).pairs == ()


def seen(name: str, data: bytes) -> Sample:
    """A sample of a real image."""
    return sample(name, data, look=inspect(data, name).look)


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(seed: int) -> Image.Image:
    """An image with soft shapes of several sizes, as a camera sees them."""
    return (
        Image.open(io.BytesIO(image_bytes(seed, (40, 30))))
        .resize((640, 480), Image.Resampling.BICUBIC)
        .filter(ImageFilter.GaussianBlur(4))
    )


class TestAlike:
    def test_copies_that_were_written_anew_are_found_and_named(self, snapshots: Snapshots) -> None:
        photos = [photo(seed) for seed in range(6)]
        train = [seen(f"t{n}.png", encoded(image, "PNG")) for n, image in enumerate(photos)]
        dev = [
            seen("jpeg.jpg", encoded(photos[1], "JPEG", quality=75)),
            seen("small.png", encoded(photos[2].resize((320, 240)), "PNG")),
            seen("other.png", encoded(photo(77), "PNG")),
            # The very same is another finding.
            replace(train[3], name="same.png"),
        ]
        (pair,) = snapshots.compare(train=train, dev=dev).pairs
        assert pair.images == SharedImages(1, (("t3.png", "same.png"),))
        assert isinstance(pair.alike, AlikeImages)
        assert pair.alike.count == 2
        assert set(pair.alike.examples) == {("t1.png", "jpeg.jpg"), ("t2.png", "small.png")}

    def test_flat_images_say_too_little(self, snapshots: Snapshots) -> None:
        train, dev = (
            [seen(f"{split}{grey}", encoded(Image.new("L", (64, 64), grey), "PNG"))]
            for split, grey in (("t", 10), ("d", 90))
        )
        assert snapshots.compare(train=train, dev=dev).pairs == ()

    @pytest.mark.parametrize(("flipped", "count"), [(8, 1), (9, 0)])
    def test_the_threshold_is_exact(self, snapshots: Snapshots, flipped: int, count: int) -> None:
        look = hashlib.sha256(b"look").digest()
        other = int.from_bytes(look, "big") ^ sum(1 << (29 * bit) for bit in range(flipped))
        dev = [sample("d", look=other.to_bytes(32, "big"))]
        found = snapshots.compare(train=[sample("t", look=look)], dev=dev)
        assert len(found.pairs) == count

    def test_each_image_counts_once_with_what_it_is_most_like(self, snapshots: Snapshots) -> None:
        look = int.from_bytes(hashlib.sha256(b"look").digest(), "big")
        train = [sample(f"t{n}", look=(look ^ (2**n - 1)).to_bytes(32, "big")) for n in range(5)]
        dev = snapshots.make([sample("d", look=(look ^ 0b1111).to_bytes(32, "big"))])
        folders = [snapshots.make(train[:3]), snapshots.make(train[3:])]
        found = compare_splits(snapshots.store, {"train": folders, "dev": [dev, dev]})
        assert found.pairs == (SplitPair("train", "dev", alike=AlikeImages(1, (("t4", "d"),))),)

    def test_of_test_are_found_too_and_dev_and_test_may_be_alike(
        self, snapshots: Snapshots
    ) -> None:
        look = hashlib.sha256(b"look").digest()
        other = hashlib.sha256(b"other").digest()
        found = snapshots.compare(
            train=[sample("t", look=look)],
            dev=[sample("d", look=other)],
            test=[sample("e", look=look), sample("f", look=other)],
        )
        assert found.pairs == (SplitPair("train", "test", alike=AlikeImages(1, (("t", "e"),))),)

    @pytest.mark.parametrize(
        ("module", "limit", "why"),
        [
            (splits, "MOST_ROWS", "more than 2 images in dev and test"),
            (splits, "MOST_COMPARED_WITH", "more than 2 images in train"),
            (alike, "MOST_CANDIDATES", "too many that look a little alike"),
        ],
    )
    def test_are_not_looked_for_among_too_many(
        self,
        snapshots: Snapshots,
        monkeypatch: pytest.MonkeyPatch,
        module: object,
        limit: str,
        why: str,
    ) -> None:
        look = hashlib.sha256(b"look").digest()
        train, dev = ([sample(f"{s}{n}", look=look) for n in range(3)] for s in ("t", "d"))
        monkeypatch.setattr(module, limit, 2)
        found = snapshots.compare(train=train, dev=dev)
        assert found.pairs == (SplitPair("train", "dev", alike=NotLookedFor(why)),)
