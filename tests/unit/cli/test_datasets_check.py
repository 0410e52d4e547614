"""`trainyard datasets check`: the same verdict as the snapshot Job, before anything is uploaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.labelled import image_bytes, write_folder
from tests.unit.sources import snapshot_of_files
from trainyard.datasets.errors import BadData
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import Store

Files = dict[str, bytes]
NAMES = b"names: [cat, dog]\n"
CAT, DOG = b"0 0.5 0.5 0.2 0.2\n", b"1 0.4 0.4 0.1 0.1\n"


def yolo(count: int = 24) -> Files:
    """Images with a cat each, every third with a dog too."""
    files = {"data.yaml": NAMES}
    for number in range(count):
        files[f"images/{number:03}.png"] = image_bytes(number)
        files[f"labels/{number:03}.txt"] = CAT + (DOG if number % 3 == 0 else b"")
    return files


def messy() -> Files:
    """Everything that is left out and does not fail a snapshot."""
    files = yolo(80)
    files |= {"readme.md": b"x", ".hidden/a.png": image_bytes(900), "labels/gone.txt": CAT}
    # A copy that agrees, and one that does not.
    files |= {"images/copy.png": files["images/000.png"], "labels/copy.txt": CAT + DOG}
    files |= {"images/other.png": files["images/001.png"], "labels/other.txt": DOG}
    files["images/002.png"] = files["images/002.png"][:-900]
    files |= {"images/none.png": image_bytes(901), "images/bare.jpg": image_bytes(902, kind="JPEG")}
    return files


def test_what_check_finds_is_what_the_snapshot_has(
    says: Run, store: Store, prefix: str, tmp_path: Path
) -> None:
    write_folder(tmp_path / "data", messy())
    found = json.loads(says("datasets", "check", str(tmp_path / "data"), "-o", "json").stdout)
    made = read_snapshot(store, snapshot_of_files(store, prefix, "yolo", messy()))
    assert (found["samples"], found["annotations"]) == (made.samples, made.annotations)
    assert found["refused"] == [entry.to_wire() for entry in made.refused]
    classes = [{**entry.to_wire()} for entry in made.classes]
    assert [{k: v for k, v in x.items() if k != "images"} for x in found["classes"]] == classes
    assert {entry["reason"] for entry in found["refused"]} >= {
        "ConflictingLabels",
        "Corrupt",
        "LabelWithoutImage",
        "OtherFile",
    }
    assert found["problem"] is None
    assert found["withoutLabels"] == 2


BREAK: dict[str, Mapping[str, bytes]] = {
    "a class that has no name": {"labels/004.txt": b"7 0.5 0.5 0.1 0.1\n"},
    "a box outside of the image": {"labels/004.txt": b"0 1.5 0.5 0.1 0.1\n"},
    "a number that is none": {"labels/004.txt": b"0 nan 0.5 0.1 0.1\n"},
    "too many corrupt images": {f"images/00{n}.png": b"\x89PNG broken" for n in range(4)},
    "too many labels without an image": {f"labels/x{n}.txt": CAT for n in range(4)},
    "a data.yaml without names": {"data.yaml": b"nc: 2\n"},
}


@pytest.mark.parametrize("change", list(BREAK))
def test_check_refuses_what_the_snapshot_refuses_with_the_same_sentence(
    says: Run, store: Store, prefix: str, tmp_path: Path, change: str
) -> None:
    files = yolo() | BREAK[change]
    write_folder(tmp_path / "data", files)
    said = says("datasets", "check", str(tmp_path / "data"), code=1).stderr
    with pytest.raises(BadData) as refused:
        snapshot_of_files(store, prefix, "yolo", files)
    sentence = str(refused.value).split(" (in s3://", maxsplit=1)[0]
    assert sentence in said


def test_all_files_that_must_be_mended_are_named_at_once(says: Run, tmp_path: Path) -> None:
    files = yolo(30)
    for number in range(3, 28):
        files[f"labels/{number:03}.txt"] += b"0 0.5\n"
    write_folder(tmp_path / "data", files)
    done = says("datasets", "check", str(tmp_path / "data"), code=1)
    named = [line for line in done.stdout.splitlines() if line.startswith("labels/")]
    assert [line.split(":")[0] for line in named] == [f"labels/{n:03}.txt" for n in range(3, 23)]
    assert named[0].startswith("labels/003.txt:3: 2 columns")
    assert named[1].startswith("labels/004.txt:2: 2 columns")
    assert "CANNOT BE USED (25 places)" in done.stdout
    assert "and 5 more" in done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert "labels/003.txt:3:" in done.stderr


def test_lines_for_people_say_everything_and_are_never_folded(says: Run, tmp_path: Path) -> None:
    files = messy()
    del files["labels/gone.txt"]
    files[f"labels/{'long-' * 40}.txt"] = CAT
    write_folder(tmp_path / "data", files)
    lines = says("datasets", "check", str(tmp_path / "data"), COLUMNS="40").stdout.splitlines()
    assert lines[0].split() == ["format", "yolo", "(guessed:", "there", "is", "a", "data.yaml)"]
    assert any(line.split() == ["CLASS", "LABELS", "IMAGES"] for line in lines)
    assert any(line.startswith("cat ") and line.rstrip().endswith("#" * 40) for line in lines)
    assert any(line.startswith("LabelWithoutImage   1 ") and "long-.txt" in line for line in lines)
    assert lines[1] == "images           80, without 1 copy of them"
    assert lines[-1] == "a snapshot would have 80 images and 105 labels"


def test_groups_are_counted_and_images_without_one_are_told(says: Run, tmp_path: Path) -> None:
    files = {f"a/cam{n % 3}_{n}.png": image_bytes(n) for n in range(40)}
    write_folder(tmp_path / "data", files | {"a/other.png": image_bytes(99)})
    said = says("datasets", "check", str(tmp_path / "data"), "--group-by", r"(cam\d)_").stdout
    assert "3, the largest is cam0 with 14" in said
    assert "NoGroup" in said


def test_what_lies_behind_a_symbolic_link_is_not_read_and_said(says: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "data", {"a/1.png": image_bytes(1)})
    (tmp_path / "data" / "a" / "2.png").symlink_to(tmp_path / "data" / "a" / "1.png")
    done = says("datasets", "check", str(tmp_path / "data"))
    assert "1 symbolic link left out (a/2.png)" in done.stderr
    assert "a snapshot would have 1 image and 1 label" in done.stdout


COCO = b'{"info": {}, "images": [], "annotations": [], "categories": []}'
VOC = b"<annotation><filename>1.jpg</filename></annotation>"


@pytest.mark.parametrize(
    ("files", "guessed"),
    [
        ({"data.yaml": NAMES, "x.xml": VOC}, "yolo (guessed: there is a data.yaml)"),
        ({"labels/1.txt": CAT}, "yolo (guessed: there is labels/1.txt)"),
        ({"readme.txt": b"0 is the first class\n", "a/2.png": b""}, "folders (guessed: the images"),
        ({"a/2.png": b"", "__MACOSX/a/x.jsonl": b""}, "folders (guessed: the images"),
        ({"a/2.png": b""}, "folders (guessed: the images lie in folders"),
    ],
)
def test_the_format_is_guessed_from_what_is_there(
    says: Run, tmp_path: Path, files: Files, guessed: str
) -> None:
    many = {f"images/{n}.png": image_bytes(n) for n in range(30)}
    write_folder(tmp_path / "data", many | files)
    more = ["--class-name", "cat"]
    if guessed.startswith("folders"):
        more = []
    assert guessed in says("datasets", "check", str(tmp_path / "data"), *more).stdout


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"notes.md": b"x"}, "there is no image in file://"),
        ({"1.png": image_bytes()}, "none of them in a folder"),
    ],
)
def test_a_folder_of_nothing_that_is_known_is_told_in_a_sentence(
    says: Run, tmp_path: Path, files: Files, sentence: str
) -> None:
    write_folder(tmp_path / "data", files)
    said = says("datasets", "check", str(tmp_path / "data"), code=1).stderr
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--attribute", ""], "attribute: String should have at least 1 character (given: '')"),
        (["--group-by", "(a|b"], "groupBy '(a|b' is no regular expression"),
        (["--format", "voc"], "no images found"),
    ],
)
def test_options_that_cannot_be_used_are_told_in_a_sentence(
    says: Run, tmp_path: Path, words: list[str], sentence: str
) -> None:
    write_folder(tmp_path / "data", yolo())
    said = says("datasets", "check", str(tmp_path / "data"), *words, code=1).stderr
    assert sentence in said
    assert len(said.splitlines()) == 1
