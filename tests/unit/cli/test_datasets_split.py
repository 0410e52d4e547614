"""`trainyard datasets split`: what the printed Datasets hold is proved on their snapshots."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Run
from tests.unit.labelled import BUCKET, image_bytes, put, write_folder
from tests.unit.sources import snapshot_of
from trainyard.api.dataset import Dataset, Selection
from trainyard.datasets.labels import Label
from trainyard.datasets.reading import download_samples
from trainyard.datasets.samples import Sample, read_samples
from trainyard.datasets.splits import compare_splits
from trainyard.stores import Store

FORMATS = ["yolo", "coco", "voc", "folders", "records"]
GROUPS = r"(video\d+)-"
IMAGES = 48
WIDTH, HEIGHT = 40, 30
Box = tuple[int, int, int, int]


def objects(number: int) -> list[tuple[str, Box]]:
    """Classes and boxes (pixels) of an image: cats often, dogs seldom, sometimes nothing."""
    if number % 8 == 7:
        return []
    found = [("cat", (number % 10, 4, number % 10 + 12, 20))]
    if number % 6 == 0:
        found.append(("dog", (20, 5, 37, 29)))
    return found


def name(number: int) -> str:
    """Four images a video."""
    return f"video{number // 4:02}-{number:02}.png"


def content(number: int) -> bytes:
    return image_bytes(number, (WIDTH, HEIGHT))


def data(kind: str) -> dict[str, bytes]:
    """The images in a layout, one of them twice, under another name of the same video."""
    return {"yolo": _yolo, "coco": _coco, "voc": _voc, "folders": _folders, "records": _records}[
        kind
    ]()


def _numbered() -> list[tuple[str, int]]:
    return [*((name(number), number) for number in range(IMAGES)), ("video00-copy.png", 0)]


def _yolo() -> dict[str, bytes]:
    files = {"data.yaml": b"names: [cat, dog]\n"}
    for file, number in _numbered():
        lines = []
        for value, (left, top, right, bottom) in objects(number):
            numbers = (
                (left + right) / 2 / WIDTH,
                (top + bottom) / 2 / HEIGHT,
                (right - left) / WIDTH,
                (bottom - top) / HEIGHT,
            )
            lines.append(f"{['cat', 'dog'].index(value)} {' '.join(map(str, numbers))}")
        files[f"images/{file}"] = content(number)
        files[f"labels/{file[:-4]}.txt"] = "\n".join(lines).encode()
    return files


def _coco() -> dict[str, bytes]:
    document: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}]
    files = {}
    for index, (file, number) in enumerate(_numbered()):
        files[f"images/{file}"] = content(number)
        document["images"].append(
            {"id": index, "file_name": file, "width": WIDTH, "height": HEIGHT}
        )
        for value, (left, top, right, bottom) in objects(number):
            document["annotations"].append(
                {
                    "id": len(document["annotations"]),
                    "image_id": index,
                    "category_id": {"cat": 3, "dog": 9}[value],
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": 0,
                }
            )
    return files | {"annotations/instances.json": json.dumps(document).encode()}


def _voc() -> dict[str, bytes]:
    files = {}
    for file, number in _numbered():
        described = "".join(
            f"<object><name>{value}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
            f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for value, (x, y, right, bottom) in objects(number)
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        files[f"JPEGImages/{file}"] = content(number)
        files[f"Annotations/{file[:-4]}.xml"] = (
            f"<annotation><filename>{file}</filename>{size}{described}</annotation>"
        ).encode()
    return files


def _folders() -> dict[str, bytes]:
    return {
        f"{'dog' if number % 6 == 0 else 'cat'}/{file}": content(number)
        for file, number in _numbered()
    }


def _records() -> dict[str, bytes]:
    rows: list[dict[str, Any]] = []
    files = {}
    for file, number in _numbered():
        files[f"pictures/{file}"] = content(number)
        row = {"image": f"pictures/{file}", "submission": 1, "submittedAt": "2026-05-01T10:00:00Z"}
        rows.append({**row, "tags": ["raw"]})
        for entity, (value, box) in enumerate(objects(number)):
            sides = (WIDTH, HEIGHT, WIDTH, HEIGHT)
            corners = [corner / side for corner, side in zip(box, sides, strict=True)]
            old = {"entity": f"e{entity}", "value": "cow", "box": corners}
            rows.append(row | old)
            new = {"value": value, "submission": 2, "submittedAt": "2026-05-02T10:00:00Z"}
            rows.append(row | old | new)
    return files | {"said.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}


def snapshot(
    store: Store, place: str, selections: tuple[Selection, ...], group_by: str | None, folder: Path
) -> tuple[str, list[Sample]]:
    """The snapshot of a Dataset, and its samples."""
    location = snapshot_of(store, place, *selections, groupBy=group_by).location
    download_samples(store, location, folder / "manifest.parquet")
    return location, list(read_samples(folder / "manifest.parquet"))


def printed(text: str) -> dict[str, Dataset]:
    """The Datasets of a split, by the split."""
    made = [Dataset.model_validate(document) for document in yaml.safe_load_all(text)]
    return {dataset.metadata.name.rpartition("-")[2]: dataset for dataset in made}


def labels_by_digest(samples: list[Sample]) -> dict[bytes, tuple[Label, ...]]:
    return {sample.digest: sample.labels for sample in samples}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_splits_share_no_image_and_no_group_and_are_all_of_the_data_with_its_labels(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path, kind: str
) -> None:
    uri = put(store, prefix, data(kind))
    out = f"s3://{BUCKET}/{prefix}-out"
    latest = ["--latest"] if kind == "records" else []
    words = ["datasets", "split", uri, "--group-by", GROUPS, "--train", "60", "--dev", "20"]
    words += ["--test", "20", *latest]
    first = says(*words, **reach).stdout
    written = store.read_bytes(f"{uri}/trainyard-split.jsonl")

    datasets = printed(first)
    assert list(datasets) == ["train", "dev", "test"]
    made = {
        split: snapshot(store, out, dataset.spec.selections, dataset.spec.group_by, tmp_path)
        for split, dataset in datasets.items()
    }
    for one, other in combinations(made, 2):
        mine, theirs = made[one][1], made[other][1]
        assert not labels_by_digest(mine).keys() & labels_by_digest(theirs).keys()
        assert not {sample.group for sample in mine} & {sample.group for sample in theirs}

    rule = {"filter": {"latestSubmissionsOnly": True}} if latest else {}
    whole = Selection.model_validate(
        {"source": {"s3": {"bucket": BUCKET, "prefix": prefix}}, "format": kind, **rule}
    )
    _, everything = snapshot(store, out, (whole,), GROUPS, tmp_path)
    assert len(everything) == IMAGES
    together = [sample for _, samples in made.values() for sample in samples]
    assert labels_by_digest(together) == labels_by_digest(everything)
    assert len(together) == len(everything)
    assert "cow" not in {label.value for sample in together for label in sample.labels}

    # As the operator will see it.
    seen = compare_splits(store, {split: [made[split][0]] for split in ("train", "dev", "test")})  # type: ignore[misc]
    assert not any(pair.images.count or pair.groups.count for pair in seen.pairs)

    assert says(*words, **reach).stdout == first
    assert store.read_bytes(f"{uri}/trainyard-split.jsonl") == written
    says(*words, "--seed", "1", **reach)
    assert store.read_bytes(f"{uri}/trainyard-split.jsonl") != written


def test_a_folder_is_split_before_it_is_uploaded_as_it_is_afterwards(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    uri = f"s3://{BUCKET}/{prefix}"
    write_folder(tmp_path / "data", data("yolo"))
    words = ["datasets", "split", str(tmp_path / "data"), "--to", uri]
    here = says(*words)
    assert f"trainyard datasets upload {tmp_path / 'data'} {uri}" in here.stderr
    uploaded = says("datasets", "upload", str(tmp_path / "data"), uri, **reach)
    # The split file does not change what the folder is taken for.
    assert (
        Dataset.model_validate(yaml.safe_load(uploaded.stdout)).spec.selections[0].format == "yolo"
    )
    assert (
        store.read_bytes(f"{uri}/trainyard-split.jsonl")
        == (tmp_path / "data" / "trainyard-split.jsonl").read_bytes()
    )
    assert says("datasets", "split", uri, **reach).stdout == here.stdout


def split_file(folder: Path) -> dict[str, str]:
    """Split by image."""
    rows = map(json.loads, (folder / "trainyard-split.jsonl").read_text().splitlines())
    return {row["image"]: row["tags"][0].removeprefix("split:") for row in rows if "tags" in row}


def split_folder(
    says: Run, folder: Path, files: Mapping[str, bytes], *words: str
) -> dict[str, str]:
    write_folder(folder, dict(files))
    says("datasets", "split", str(folder), "--to", "s3://bucket/data", *words)
    return split_file(folder)


def test_every_class_has_its_share_in_every_split(says: Run, tmp_path: Path) -> None:
    sizes = {"often": 100, "seldom": 30, "rare": 10}
    files = {
        f"{value}/{n}.png": image_bytes(len(value) * 1000 + n, (8, 8))
        for value, count in sizes.items()
        for n in range(count)
    }
    found = split_folder(says, tmp_path / "data", files)
    counts = Counter((file.partition("/")[0], split) for file, split in found.items())
    for value, count in sizes.items():
        assert counts[value, "train"] == count * 8 // 10
        assert counts[value, "dev"] == counts[value, "test"] == count // 10


def test_no_split_stays_empty_when_the_groups_are_few_and_large(says: Run, tmp_path: Path) -> None:
    files = {f"a/cam{n % 3}_{n}.png": image_bytes(n, (8, 8)) for n in range(60)}
    found = split_folder(says, tmp_path / "data", files, "--group-by", r"(cam\d)_")
    assert Counter(found.values()) == {"train": 20, "dev": 20, "test": 20}
    assert len({(file[:6], split) for file, split in found.items()}) == 3


def test_fewer_groups_than_splits_are_told_in_a_sentence(says: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {f"a/cam{n % 2}_{n}.png": image_bytes(n) for n in range(9)})
    words = ["datasets", "split", str(tmp_path), "--to", "s3://bucket/data", "--group-by"]
    said = says(*words, r"(cam\d)_", code=1).stderr
    assert "there are 2 groups, and 3 splits need one each" in said
    assert not (tmp_path / "trainyard-split.jsonl").exists()
    done = says(*words, r"(cam\d)_", "--train", "80", "--dev", "20", "--test", "0")
    assert list(printed(done.stdout)) == ["train", "dev"]


def test_identical_images_come_into_one_split_whatever_they_are_called(
    says: Run, tmp_path: Path
) -> None:
    files = {f"a/{n:02}.png": image_bytes(n % 10, (8, 8)) for n in range(40)}
    found = split_folder(says, tmp_path / "data", files)
    assert len(found) == 40
    assert len({(int(file[2:4]) % 10, split) for file, split in found.items()}) == 10


def test_an_image_in_two_groups_is_in_no_split(says: Run, tmp_path: Path) -> None:
    files = {f"a/cam{n}_0.png": image_bytes(n, (8, 8)) for n in range(60)}
    files["a/cam7_again.png"] = files["a/cam8_0.png"]
    found = split_folder(says, tmp_path / "data", files, "--group-by", r"(cam\d+)_")
    assert not found.keys() & {"a/cam8_0.png", "a/cam7_again.png"}
    assert len(found) == 59


def test_nothing_is_written_for_data_that_cannot_be_used(says: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "data", data("yolo") | {"labels/video00-00.txt": b"9 1 1 1 1"})
    words = ["datasets", "split", str(tmp_path / "data"), "--to", "s3://bucket/data"]
    done = says(*words, code=1)
    assert "labels/video00-00.txt:1: class 9" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "data" / "trainyard-split.jsonl").exists()


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("a/other.jsonl", "a/other.jsonl would be read as records"),
        ("a/other.ndjson", "a/other.ndjson would be read as records"),
        ("a/with\\backslash.png", "cannot be named in records"),
        ("c:d/x.png", "cannot be named in records"),
    ],
)
def test_what_records_cannot_hold_is_told_before_anything_is_written(
    says: Run, tmp_path: Path, file: str, sentence: str
) -> None:
    files = {f"a/{n}.png": image_bytes(n) for n in range(9)} | {file: image_bytes(99)}
    write_folder(tmp_path / "data", files)
    words = ["datasets", "split", str(tmp_path / "data"), "--to", "s3://bucket/data"]
    assert sentence in says(*words, "--format", "folders", code=1).stderr
    assert not (tmp_path / "data" / "trainyard-split.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give with --to"),
        (["--train", "50"], "are 70 together: make it 100"),
        (["--train", "0", "--dev", "50", "--test", "50"], "must be above 0"),
        (["--train", "101"], "not in the range"),
    ],
)
def test_shares_that_make_no_sense_are_wrong_usage(
    says: Run, tmp_path: Path, words: list[str], sentence: str
) -> None:
    assert sentence in says("datasets", "split", str(tmp_path), *words, code=2).stderr
