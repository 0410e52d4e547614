import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.labelled import BUCKET, image_bytes, put
from tests.unit.sources import selection, snapshot_run
from trainyard.api.manifest import SnapshotManifest
from trainyard.datasets.errors import BadData
from trainyard.datasets.labels import Label
from trainyard.datasets.reading import download_samples, read_snapshot
from trainyard.datasets.samples import Sample, Tally, read_samples
from trainyard.datasets.snapshot import (
    CLASSES_LIMIT,
    MadeSnapshot,
    _of_few_classes,
    make_snapshot,
)
from trainyard.stores import BucketNotFound, ObjectInfo, Store, join, parent


def snapshot(
    store: Any,
    prefix: str,
    *selections: dict[str, Any],
    group_by: str | None = None,
    **options: Any,
) -> MadeSnapshot:
    output = f"s3://{BUCKET}/{prefix}-out"
    run = snapshot_run(output, *selections, groupBy=group_by)
    return make_snapshot(store, run, lambda *_: None, **options)


def read(
    store: Store, words: MadeSnapshot, tmp_path: Path
) -> tuple[SnapshotManifest, list[Sample]]:
    path = tmp_path / "manifest.parquet"
    described = download_samples(store, words.location, path)
    return described, list(read_samples(path))


def test_a_snapshot_holds_every_image_with_its_labels(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    images = {f"{value}/{n}.png": image_bytes(n, (40 + n, 30)) for n, value in enumerate("abab")}
    put(store, prefix, images)
    words = snapshot(store, prefix, selection(prefix))
    described, samples = read(store, words, tmp_path)
    document = store.read_bytes(join(words.location, "snapshot.json"))
    assert words.sha256 == hashlib.sha256(document).hexdigest()
    assert words.location.endswith(described.digest)
    assert (described.samples, described.annotations) == (4, 4)
    assert [(x.attribute, x.value, x.count) for x in described.classes] == [
        ("class", "a", 2),
        ("class", "b", 2),
    ]
    assert [sample.digest for sample in samples] == sorted(sample.digest for sample in samples)
    for sample in samples:
        stored = described.shards[sample.shard]
        shard = store.read_bytes(join(parent(words.location), stored.name), 1 << 30)
        data = shard[sample.offset : sample.offset + sample.size]
        assert data == images[sample.name]
        assert hashlib.sha256(data).digest() == sample.digest
        assert hashlib.sha256(shard).hexdigest() == stored.sha256
        assert sample.width == 40 + int(sample.name[2])


def test_shards_are_plain_tar_files(store: Store, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, {"a/1.png": image_bytes(1), "a/2.png": image_bytes(2)})
    words = snapshot(store, prefix, selection(prefix))
    described, samples = read(store, words, tmp_path)
    store.download(join(parent(words.location), described.shards[0].name), tmp_path / "s.tar")
    with tarfile.open(tmp_path / "s.tar") as archive:
        members = {member.name: member for member in archive}
    assert set(members) == {f"{sample.digest.hex()}.png" for sample in samples}
    assert {(member.mtime, member.uid, member.uname) for member in members.values()} == {(0, 0, "")}


def test_the_same_data_gives_the_same_snapshot_again(store: Store, prefix: str) -> None:
    put(store, prefix, {"a/1.png": image_bytes(1), "b/2.png": image_bytes(2)})
    first = snapshot(store, prefix, selection(prefix))
    assert snapshot(store, prefix, selection(prefix)) == first


def test_the_digest_depends_on_images_and_labels_and_not_on_the_packing(
    store: Store, prefix: str
) -> None:
    files = {f"a/{n}.png": image_bytes(n) for n in range(6)}
    put(store, f"{prefix}/one", files)
    put(store, f"{prefix}/two/deep", {name.replace("a/", "a/x"): v for name, v in files.items()})
    put(store, f"{prefix}/other", {name.replace("a/", "b/"): v for name, v in files.items()})
    one = snapshot(store, f"{prefix}/1", selection(f"{prefix}/one"))
    two = snapshot(store, f"{prefix}/2", selection(f"{prefix}/two/deep"), shard_limit=20_000)
    other = snapshot(store, f"{prefix}/3", selection(f"{prefix}/other"))
    first, second = read_snapshot(store, one.location), read_snapshot(store, two.location)
    assert first.digest == second.digest
    assert len(first.shards) == 1
    assert len(second.shards) > 1
    assert all(shard.size_bytes <= 20_480 for shard in second.shards)
    assert read_snapshot(store, other.location).digest != first.digest


def test_identical_images_are_stored_once(store: Store, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, {"a/1.png": image_bytes(1), "a/2.png": image_bytes(1)})
    described, samples = read(store, snapshot(store, prefix, selection(prefix)), tmp_path)
    assert (described.samples, samples[0].name, described.refused) == (1, "a/1.png", ())


def test_copies_with_other_attributes_are_united(store: Store, prefix: str, tmp_path: Path) -> None:
    put(store, f"{prefix}/kind", {"cat/1.png": image_bytes(1)})
    put(store, f"{prefix}/colour", {"grey/1.png": image_bytes(1)})
    words = snapshot(
        store,
        prefix,
        selection(f"{prefix}/kind"),
        selection(f"{prefix}/colour", attribute="colour"),
    )
    _, (sample,) = read(store, words, tmp_path)
    assert [(x.attribute, x.value) for x in sample.labels] == [("class", "cat"), ("colour", "grey")]


def test_every_sample_says_what_it_belongs_to(store: Store, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, {f"a/cam{n // 2}_{n}.png": image_bytes(n) for n in range(4)})
    grouped = snapshot(store, prefix, selection(prefix), group_by=r"(cam\d)_")
    _, samples = read(store, grouped, tmp_path)
    assert {x.name: x.group for x in samples} == {
        "a/cam0_0.png": "cam0",
        "a/cam0_1.png": "cam0",
        "a/cam1_2.png": "cam1",
        "a/cam1_3.png": "cam1",
    }
    assert snapshot(store, prefix, selection(prefix)).location != grouped.location


def test_the_same_choice_gives_the_same_snapshot_again(store: Store, prefix: str) -> None:
    put(store, f"{prefix}/1", {f"a/{n}.png": image_bytes(n) for n in range(20)})
    put(store, f"{prefix}/2", {f"a/{n}.png": image_bytes(n) for n in range(19, -1, -1)})

    def digest(place: str, seed: int) -> str:
        chosen = selection(f"{prefix}/{place}", filter={"limit": 6, "seed": seed})
        return read_snapshot(store, snapshot(store, prefix, chosen).location).digest

    assert digest("1", 1) == digest("1", 1) == digest("2", 1) != digest("1", 2)


def test_files_that_a_listing_refuses_are_held_against_all_that_is_found(
    store: Store, prefix: str
) -> None:
    files: dict[str, bytes | str] = {f"{n}.png": image_bytes(n) for n in range(40)}
    put(store, prefix, files | {"gone.txt": "0 .5 .5 .2 .2"})
    chosen = selection(prefix, "yolo", classNames=["a"], filter={"limit": 5})
    described = read_snapshot(store, snapshot(store, prefix, chosen).location)
    assert described.samples == 5
    assert {x.reason: x.count for x in described.refused} == {
        "Filtered": 35,
        "LabelWithoutImage": 1,
    }
    put(store, prefix, {f"gone-{n}.txt": "0 .5 .5 .2 .2" for n in range(2)})
    with pytest.raises(BadData, match="LabelWithoutImage 3"):
        snapshot(store, prefix, chosen)


def test_images_that_cannot_be_used_are_held_against_those_that_a_filter_takes(
    store: Store, prefix: str
) -> None:
    put(store, prefix, {f"a/{n}.png": image_bytes(n) for n in range(40)})
    put(store, prefix, {f"b/{n}.png": image_bytes(n + 40) for n in range(3)} | {"b/x.png": b"x"})
    with pytest.raises(BadData, match=r"1 of 4 files cannot be used.*NotAnImage 1 \(b/x.png"):
        snapshot(store, prefix, selection(prefix, filter={"classes": ["b"]}))


def test_copies_that_disagree_are_left_out_and_named(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    files = {f"a/{n}.png": image_bytes(n) for n in range(50)} | {"b/x.png": image_bytes(7)}
    put(store, prefix, files)
    described, samples = read(store, snapshot(store, prefix, selection(prefix)), tmp_path)
    assert len(samples) == 49
    (refused,) = described.refused
    assert (refused.reason, refused.count) == ("ConflictingLabels", 2)
    assert refused.examples == ("a/7.png", "b/x.png")


def test_a_few_broken_images_are_counted_and_named(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    files = {f"a/{n}.png": image_bytes(n) for n in range(40)}
    files |= {"a/broken.png": image_bytes(1)[:-300], "a/empty.jpg": b"", "notes.md": b"x"}
    put(store, prefix, files)
    described, _ = read(store, snapshot(store, prefix, selection(prefix)), tmp_path)
    assert described.samples == 40
    assert {(x.reason, x.examples) for x in described.refused} == {
        ("Corrupt", ("a/broken.png",)),
        ("Empty", ("a/empty.jpg",)),
        ("OtherFile", ("notes.md",)),
    }


def test_too_many_broken_images_fail_the_snapshot(store: Store, prefix: str) -> None:
    files = {f"a/{n}.png": image_bytes(n) for n in range(9)} | {"a/x.png": b"", "a/y.png": b"?"}
    put(store, prefix, files)
    with pytest.raises(BadData) as caught:
        snapshot(store, prefix, selection(prefix))
    assert "2 of 11 files cannot be used, more than 5%" in str(caught.value)
    assert "Empty 1 (a/x.png)" in str(caught.value)
    assert "NotAnImage 1 (a/y.png)" in str(caught.value)


def test_copies_are_files_of_which_some_may_be_broken(store: Store, prefix: str) -> None:
    files = {f"a/{n}.png": image_bytes(n % 3) for n in range(38)} | {"a/x.png": b""}
    put(store, prefix, files | {"a/y.png": b"?"})
    assert snapshot(store, prefix, selection(prefix)).samples == 3
    put(store, prefix, {"a/z.png": b""})
    with pytest.raises(BadData, match="3 of 41 files cannot be used, more than 5%"):
        snapshot(store, prefix, selection(prefix))


def test_yolo_boxes_and_polygons_are_read(store: Store, prefix: str, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "data.yaml": "names: [cat, dog]",
        "images/1.png": image_bytes(1),
        "labels/1.txt": "0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.9 0.1 0.5 0.9\n",
        "images/2.png": image_bytes(2),
    }
    put(store, prefix, files)
    described, samples = read(store, snapshot(store, prefix, selection(prefix, "yolo")), tmp_path)
    by_name = {sample.name: sample for sample in samples}
    assert [(x.value, x.geometry, x.points) for x in by_name["images/1.png"].labels] == [
        ("cat", "box", (0.25, 0.25, 0.75, 0.75)),
        ("dog", "polygon", (0.1, 0.1, 0.9, 0.1, 0.5, 0.9)),
    ]
    assert by_name["images/2.png"].labels == ()
    assert (described.samples, described.annotations) == (2, 2)


def test_a_bad_label_line_fails_with_file_line_and_source(store: Store, prefix: str) -> None:
    files: dict[str, bytes | str] = {
        "images/1.png": image_bytes(1),
        "labels/1.txt": "0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5\n",
    }
    put(store, prefix, files)
    with pytest.raises(BadData) as caught:
        snapshot(store, prefix, selection(prefix, "yolo", classNames=["cat"]))
    assert str(caught.value) == (
        f"labels/1.txt:2: class 7, but there is 1 class only (0) (in s3://{BUCKET}/{prefix})"
    )


def test_a_source_without_images_says_where_it_looked(store: Store, prefix: str) -> None:
    put(store, prefix, {"readme.md": "x"})
    with pytest.raises(BadData, match=f"no images found under s3://{BUCKET}/{prefix}"):
        snapshot(store, prefix, selection(prefix))


@pytest.mark.parametrize("kind", ["yolo", "coco", "voc", "folders", "records"])
def test_a_source_without_any_file_says_so_whatever_the_format(
    store: Store, prefix: str, kind: str
) -> None:
    with pytest.raises(BadData) as caught:
        snapshot(store, prefix, selection(prefix, kind))
    assert str(caught.value) == (
        f"there are no files under s3://{BUCKET}/{prefix}: check bucket and prefix"
    )


def test_a_missing_bucket_is_named(store: Store, prefix: str) -> None:
    wanted = selection(prefix)
    wanted["source"]["s3"]["bucket"] = "no-such-bucket"
    with pytest.raises(BucketNotFound, match="no-such-bucket"):
        snapshot(store, prefix, wanted)


class _ChangesWhileRead:
    """A store in which one file is replaced after it was listed."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str) -> Any:
        found: list[ObjectInfo] = list(self._store.list(prefix))
        for entry in found:
            if entry.name == self._name:
                self._store.write_bytes(entry.uri, image_bytes(99))
        return iter(found)


def test_a_source_that_changes_while_it_is_read_fails_naming_the_file(
    store: Store, prefix: str
) -> None:
    uri = put(store, prefix, {"a/1.png": image_bytes(1), "a/2.png": image_bytes(2)})
    with pytest.raises(BadData, match=f"{uri}/a/2.png was changed or removed while"):
        snapshot(_ChangesWhileRead(store, "a/2.png"), prefix, selection(prefix))


def test_copies_of_different_groups_are_left_out_and_named(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    files = {f"a/cam{n % 5}_{n}.png": image_bytes(n) for n in range(60)}
    put(store, prefix, files | {"a/cam9_x.png": image_bytes(7)})
    made = snapshot(store, prefix, selection(prefix), group_by=r"(cam\d)_")
    described, samples = read(store, made, tmp_path)
    assert len(samples) == 59
    (refused,) = described.refused
    assert (refused.reason, refused.count) == ("ConflictingGroups", 2)
    assert refused.examples == ("a/cam2_7.png", "a/cam9_x.png")


def test_more_classes_than_a_status_can_list_are_refused(
    store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.datasets.snapshot.CLASSES_LIMIT", 3)
    put(store, prefix, {f"{n}/1.png": image_bytes(n) for n in range(4)})
    with pytest.raises(BadData, match="the labels have more than the 3 classes allowed"):
        snapshot(store, prefix, selection(prefix))


def test_free_text_is_not_counted_to_its_end() -> None:
    passed = []

    def texts() -> Iterator[Sample]:
        for number in range(1_000_000):
            passed.append(number)
            said = (Label("caption", f"text {number}", "image"),)
            yield Sample(number.to_bytes(32, "big"), "a.png", 9, 9, 0, 0, 1, said)

    with pytest.raises(BadData, match="more than the 5000 classes allowed"):
        list(_of_few_classes(Tally(), texts()))
    assert len(passed) == CLASSES_LIMIT + 1


def test_class_names_that_a_status_has_no_room_for_are_refused(store: Store, prefix: str) -> None:
    rows = [json.dumps({"image": "a.png", "value": f"{n:0128}"}) for n in range(4_000)]
    put(store, prefix, {"a.png": image_bytes(), "rows.jsonl": "\n".join(rows)})
    with pytest.raises(BadData, match="class names of 536000 bytes together, more than the 524288"):
        snapshot(store, prefix, selection(prefix, "records"))


def test_snapshot_json_reads_as_documented(store: Store, prefix: str) -> None:
    put(store, prefix, {"a/1.png": image_bytes(1)})
    words = snapshot(store, prefix, selection(prefix))
    document = json.loads(store.read_bytes(join(words.location, "snapshot.json")))
    assert document["kind"] == "SnapshotManifest"
    assert re.fullmatch(r"manifest-[0-9a-f]{16}\.parquet", document["manifest"]["name"])
    assert document["shards"][0]["name"].startswith("shards/")
