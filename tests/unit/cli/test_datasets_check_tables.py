"""`trainyard datasets check` of label files about many images each: all that is wrong, at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.labelled import image_bytes, write_folder
from tests.unit.sources import snapshot_of_files
from trainyard.datasets.errors import BadData
from trainyard.stores import Store

Files = dict[str, bytes]


def document(*annotations: dict[str, object], names: str = "abc") -> bytes:
    """COCO of the images a.png, b.png, ... with ids from 1, and of the category cat, 3."""
    images = [
        {"id": number, "file_name": f"{name}.png", "width": 40, "height": 30}
        for number, name in enumerate(names, 1)
    ]
    cat = {"id": 3, "name": "cat"}
    made = {"images": images, "categories": [cat], "annotations": annotations}
    return json.dumps(made).encode()


def boxed(id_: int, **changes: object) -> dict[str, object]:
    return {"id": id_, "image_id": 1, "category_id": 3, "bbox": [0, 0, 20, 15], **changes}


def lines(*rows: object) -> bytes:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return "\n".join(texts).encode()


EACH: dict[str, tuple[str, Files, list[str]]] = {
    "repeated ids": (
        "coco",
        {"x.json": document(*(boxed(n) for n in (1, 1, 2, 3, 3, 3, 4)))},
        [
            "x.json: the id 1 is given twice in annotations",
            "x.json: the id 3 is given twice in annotations",
        ],
    ),
    "repeated ids in two files": (
        "coco",
        {"x.json": document(boxed(1), boxed(1)), "y.coco.json": document(boxed(2), boxed(2))},
        [
            "x.json: the id 1 is given twice in annotations",
            "y.coco.json: the id 2 is given twice in annotations",
        ],
    ),
    "annotations of nothing": (
        "coco",
        {"x.json": document(boxed(1, image_id=9), boxed(2, category_id=9), boxed(3))},
        [
            "x.json: annotation 1 is of the image 9, which the file does not list",
            "x.json: annotation 2 is of the category 9, which the file does not list",
        ],
    ),
    "entries that are none, and a box": (
        "coco",
        {"x.json": document(boxed(1, image_id=None), {"id": []}, boxed(2, bbox=[0, 0, -1, 1]))},
        [
            "x.json: annotation 1: its image_id is neither a whole number nor a short text",
            "x.json: entry 2 of annotations: its id is neither a whole number nor a short text",
            "x.json: annotation 2: bbox [0, 0, -1, 1]",
        ],
    ),
    "one image twice": (
        "coco",
        {"x.json": document(boxed(1), names="aabb")},
        [
            "x.json: the images 1 and 2 are both a.png",
            "x.json: the images 3 and 4 are both b.png",
        ],
    ),
    "a file that is no JSON beside a good one": (
        "coco",
        {"x.json": document(boxed(1)), "annotations/y.json": b'{"images": ['},
        ["annotations/y.json: not valid JSON"],
    ),
    "lines of records": (
        "records",
        {
            "x.jsonl": lines(
                {"image": "a.png", "value": "cat"},
                "{",
                {"image": "a.png", "value": ""},
                {"value": "cat"},
                [],
            )
        },
        [
            "x.jsonl:2: not valid JSON",
            "x.jsonl:3: the value: the class name '' is not a line",
            "x.jsonl:4: it has no image",
            "x.jsonl:5: it is not an object",
        ],
    ),
}


@pytest.mark.parametrize(("kind", "labels", "said"), EACH.values(), ids=EACH)
def test_each_place_of_a_file_about_many_images_that_must_be_mended_is_named(
    says: Run, store: Store, prefix: str, tmp_path: Path, kind: str, labels: Files, said: list[str]
) -> None:
    files = labels | {f"{name}.png": image_bytes(seed) for seed, name in enumerate("abc")}
    write_folder(tmp_path / "data", files)
    done = says("datasets", "check", str(tmp_path / "data"), "--format", kind, "-o", "json", code=1)
    found = json.loads(done.stdout)["cannotBeUsed"]
    assert found["count"] == len(said)
    assert [x[: len(y)] for x, y in zip(found["first"], said, strict=True)] == said
    with pytest.raises(BadData) as refused:
        snapshot_of_files(store, prefix, kind, files)
    assert str(refused.value).startswith(found["first"][0])


def test_of_many_such_places_the_first_are_named_and_all_are_counted(
    says: Run, tmp_path: Path
) -> None:
    twice = [boxed(number) for number in range(100) for _ in range(2)]
    write_folder(tmp_path / "data", {"a.png": image_bytes(), "x.json": document(*twice, names="a")})
    done = says("datasets", "check", str(tmp_path / "data"), code=1)
    assert "CANNOT BE USED (100 places)" in done.stdout
    assert done.stdout.count("is given twice in annotations") == 20
    assert "and 80 more" in done.stdout
    assert "would fail: x.json: the id 0 is given twice in annotations (and 99 more)" in done.stderr


def test_a_class_that_is_not_named_is_said_once_and_not_of_each_image(
    says: Run, tmp_path: Path
) -> None:
    boxes = [boxed(number, image_id=number) for number in (1, 2, 3)]
    files = {f"{name}.png": image_bytes(seed) for seed, name in enumerate("abc")}
    write_folder(tmp_path / "data", files | {"x.json": document(*boxes)})
    words = ["datasets", "check", str(tmp_path / "data"), "--class-name", "dog"]
    assert "CANNOT BE USED (1 place)" in says(*words, code=1).stdout


def test_a_source_of_nothing_but_such_places_is_refused_with_the_first(
    says: Run, tmp_path: Path
) -> None:
    write_folder(tmp_path / "data", {"a.png": image_bytes(), "x.jsonl": lines({}, {})})
    words = ["datasets", "check", str(tmp_path / "data"), "--format", "records"]
    assert "x.jsonl:1: it has no image (and 1 more)" in says(*words, code=1).stderr
