"""`trainyard datasets show` on snapshots in a real S3 server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.cli.conftest import Run
from tests.unit.labelled import BUCKET, image_bytes, shape_bytes
from tests.unit.sources import snapshot_of_files
from trainyard.cli.data.show import choose_samples, read_pictures
from trainyard.datasets.reading import download_samples, read_snapshot
from trainyard.stores import Store, join, parent


def shapes(count: int = 12) -> dict[str, bytes]:
    files = {"data.yaml": b"names: [disc, square]\n"}
    for number in range(count):
        index = number % 2
        data, box = shape_bytes(["disc", "square"][index], number)
        files[f"images/video{number % 3}-{number:02}.png"] = data
        line = " ".join(map(str, (index, *box)))
        files[f"labels/video{number % 3}-{number:02}.txt"] = line.encode()
    return files


def test_a_snapshot_is_shown_with_classes_sizes_groups_and_what_was_left_out(
    says: Run, store: Store, prefix: str, reach: dict[str, str]
) -> None:
    files = shapes() | {"notes.md": b"x"}
    uri = snapshot_of_files(store, prefix, "yolo", files, groupBy="(video.)-")
    lines = says("datasets", "show", "--uri", uri, **reach).stdout.splitlines()
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if " " in line}
    assert facts["snapshot"] == uri
    assert facts["digest"] == uri.rpartition("/")[2]
    assert facts["images"].startswith("12, ")
    assert facts["labels"] == "12 boxes"
    assert facts["groups"] == "3, the largest is video0 with 4"
    assert facts["disc"].split() == ["6", "6", "#" * 40]
    assert facts["OtherFile"].split() == ["1", "notes.md"]
    widths = next(line for line in lines if line.startswith("box width")).split()[3:]
    assert 16 <= float(widths[0]) <= float(widths[4]) <= 24


def test_the_same_numbers_can_be_read_by_programs(
    says: Run, store: Store, prefix: str, reach: dict[str, str]
) -> None:
    uri = snapshot_of_files(store, prefix, "yolo", shapes())
    found = json.loads(says("datasets", "show", "--uri", uri, "-o", "json", **reach).stdout)
    assert (found["uri"], found["samples"], found["annotations"]) == (uri, 12, 12)
    assert found["classes"][0] == {
        "attribute": "class",
        "value": "disc",
        "count": 6,
        "images": 6,
    }
    assert found["sizes"]["imageWidth"] == dict.fromkeys(["min", "p5", "median", "p95", "max"], 48)


def test_the_contact_sheet_shows_images_with_their_labels_and_is_the_same_each_time(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    uri = snapshot_of_files(store, prefix, "yolo", shapes())
    words = ["datasets", "show", "--uri", uri, "--images", "6"]
    assert "wrote sheet.png" in says(*words, "--out", "sheet.png", **reach).stderr
    says(*words, "--out", "again.png", **reach)
    assert (home / "sheet.png").read_bytes() == (home / "again.png").read_bytes()
    with Image.open(home / "sheet.png") as image:
        # Four columns and two rows.
        assert image.size[0] == 4 * 268 + 12
        assert 2 * 310 < image.size[1] < 3 * 310


def test_the_sheet_of_one_class_has_only_its_images(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    files = {f"cat/{n}.png": image_bytes(n) for n in range(9)} | {"dog/1.png": image_bytes(99)}
    uri = snapshot_of_files(store, prefix, "folders", files)
    words = ["datasets", "show", "--uri", uri, "--out", "sheet.png", "--class"]
    says(*words, "dog", **reach)
    with Image.open(home / "sheet.png") as image:
        assert image.size[1] < 2 * 310
    said = says(*words, "cow", code=1, **reach).stderr
    assert f"no image of {uri} has the class 'cow'" in said


def test_images_that_are_large_are_not_read_many_ahead(
    store: Store, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = snapshot_of_files(store, prefix, "yolo", shapes(40))
    manifest = download_samples(store, uri, tmp_path / "m.parquet")
    asked: list[int] = []
    read_part = store.read_part

    def counted(uri: str, offset: int, size: int) -> bytes:
        asked.append(offset)
        return read_part(uri, offset, size)

    monkeypatch.setattr(store, "read_part", counted)
    monkeypatch.setattr("trainyard.datasets.in_order._BYTES_AHEAD", 1)
    pictures = read_pictures(store, uri, manifest, choose_samples(tmp_path / "m.parquet", 40, None))
    next(pictures)
    assert len(asked) == 1
    assert len(list(pictures)) == 39


def test_an_image_that_was_damaged_in_the_store_is_not_shown(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    uri = snapshot_of_files(store, prefix, "yolo", shapes())
    shard = join(parent(uri), read_snapshot(store, uri).shards[0].name)
    data = bytearray(store.read_bytes(shard))
    data[len(data) // 2] ^= 255
    store.write_bytes(shard, bytes(data))
    said = says("datasets", "show", "--uri", uri, "--out", "s.png", code=1, **reach).stderr
    assert f"in {shard} is damaged" in said
    assert not (home / "s.png").exists()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (f"s3://{BUCKET}/nowhere", "nowhere/snapshot.json does not exist"),
        ("s3://no-such-bucket/x", "'no-such-bucket'"),
        ("ftp://x", "is no place in a store"),
    ],
)
def test_what_is_no_snapshot_is_told_in_a_sentence(
    says: Run, store: Store, reach: dict[str, str], uri: str, sentence: str
) -> None:
    said = says("datasets", "show", "--uri", uri, code=1, **reach).stderr
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_a_name_or_a_uri_is_needed_and_not_both(says: Run) -> None:
    assert "give the NAME" in says("datasets", "show", code=2).stderr
    assert "either" in says("datasets", "show", "a", "--uri", "s3://b/c", code=2).stderr
