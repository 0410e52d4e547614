"""`trainyard datasets search`: what a Dataset would take, before there is a snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.unit.cli.conftest import Run
from tests.unit.datasets.test_images import bomb
from tests.unit.labelled import BUCKET, image_bytes, put, write_folder
from tests.unit.sources import selection, snapshot_of
from trainyard.datasets.reading import download_samples
from trainyard.datasets.samples import read_samples
from trainyard.stores import Store


def pets() -> dict[str, bytes]:
    files = {f"cat/home_{n:02}.png": image_bytes(n) for n in range(12)}
    return files | {f"dog/park_{n:02}.png": image_bytes(100 + n) for n in range(6)}


def manifest(name: str, *selections: dict[str, Any], **spec: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "trainyard.dev/v1alpha1",
            "kind": "Dataset",
            "metadata": {"name": name},
            "spec": {"selections": list(selections), **spec},
        }
    )


def taken(store: Store, prefix: str, folder: Path, *selections: dict[str, Any]) -> dict[str, int]:
    """Classes with their counts in the snapshot."""
    location = snapshot_of(store, f"s3://{BUCKET}/{prefix}-out", *selections).location
    described = download_samples(store, location, folder / "manifest.parquet")
    assert described.samples == sum(1 for _ in read_samples(folder / "manifest.parquet"))
    return {entry.value: entry.count for entry in described.classes}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ([], {}),
        (["--class", "dog"], {"classes": ["dog"]}),
        (["--search", "HOME_0"], {"search": "HOME_0"}),
        (["--limit", "7", "--seed", "3"], {"limit": 7, "seed": 3}),
        (["--class", "cat", "--search", "1", "--limit", "2"], None),
    ],
)
def test_what_is_found_is_what_the_snapshot_takes(
    says: Run,
    store: Store,
    prefix: str,
    reach: dict[str, str],
    tmp_path: Path,
    words: list[str],
    rule: dict[str, Any] | None,
) -> None:
    put(store, prefix, pets())
    rule = {"classes": ["cat"], "search": "1", "limit": 2} if rule is None else rule
    where = ["--bucket", BUCKET, "--prefix", prefix, "-o", "json"]
    found = json.loads(says("datasets", "search", *where, *words, **reach).stdout)
    made = taken(store, prefix, tmp_path, selection(prefix, filter=rule))
    assert {entry["value"]: entry["count"] for entry in found["classes"]} == made
    [each] = found["selections"]
    assert (each["images"], each["taken"]) == (18, sum(made.values()))


def test_a_search_reads_no_image_but_those_on_the_sheet(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    # Broken, which nobody can know without reading them.
    put(store, prefix, pets() | {f"dog/park_{n:02}.png": b"broken" for n in range(6)})
    where = ["--bucket", BUCKET, "--prefix", prefix]
    said = says("datasets", "search", *where, "--class", "dog", **reach).stdout
    assert "6 of 18 images" in said
    done = says("datasets", "search", *where, "--out", "s.png", "--images", "18", **reach)
    assert "wrote s.png" in done.stderr
    with Image.open(home / "s.png") as image:
        assert image.size[0] == 5 * 268 + 12


def test_the_datasets_of_a_file_are_searched_one_after_the_other(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    put(store, prefix, pets())
    cats, dogs = (selection(prefix, filter={"classes": [name]}) for name in ("cat", "dog"))
    texts = [
        manifest("cats", cats, groupBy=r"_(\d)\d"),
        "kind: Capability\nmetadata: {name: x}\n",
        manifest("both", dogs, selection(prefix), suspend=True),
    ]
    (home / "d.yaml").write_text("---\n".join(texts))
    done = says("datasets", "search", "-f", "d.yaml", "--out", "found.png", **reach)
    lines = done.stdout.splitlines()
    assert lines[0] == "Dataset cats: 12 matches"
    assert "groups    2, the largest is 0 with 10" in lines
    assert "Dataset both: 24 matches" in lines
    assert lines.count("filter    classes dog") == 1
    assert "together, an image that is found twice counted twice" in lines
    assert sorted(path.name for path in home.glob("*.png")) == ["found-both.png", "found-cats.png"]


def test_an_image_that_nobody_may_decode_is_not_on_the_sheet(
    says: Run, home: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path / "pets", pets() | {"dog/bomb.png": bomb()})
    where = ["--folder", str(tmp_path / "pets"), "--class", "dog"]
    done = says("datasets", "search", *where, "--out", "s.png")
    assert "7 of 19 images" in done.stdout
    assert (home / "s.png").exists()


def test_the_first_line_of_a_document_counts_whatever_it_is(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    put(store, prefix, pets())
    body = manifest("d", selection(prefix)).replace("kind: Dataset\n", "")
    (home / "d.yaml").write_text(
        f"--- # two of them\nkind: Dataset\n{body}---\nkind: Dataset\n{body}"
    )
    said = says("datasets", "search", "-f", "d.yaml", **reach).stdout
    assert said.count("Dataset d: 18 matches") == 2


def test_a_folder_is_searched_before_it_is_uploaded(says: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", pets())
    said = says("datasets", "search", "--folder", str(tmp_path / "pets"), "--class", "dog").stdout
    assert said.splitlines()[0] == f"{tmp_path / 'pets'}: 6 matches"


def test_nothing_found_is_no_error_and_draws_nothing(
    says: Run, store: Store, prefix: str, reach: dict[str, str], home: Path
) -> None:
    put(store, prefix, pets())
    where = ["--bucket", BUCKET, "--prefix", prefix, "--search", "cow", "--out", "s.png"]
    done = says("datasets", "search", *where, **reach)
    assert "0 of 18 images" in done.stdout
    assert "there is nothing to show" in done.stderr
    assert not (home / "s.png").exists()


def test_labels_that_cannot_be_used_are_all_named(says: Run, tmp_path: Path) -> None:
    files = {f"images/{n}.png": image_bytes(n) for n in range(4)} | {"data.yaml": b"names: [a]\n"}
    write_folder(tmp_path / "d", files | {"labels/1.txt": b"7 1 1 1 1", "labels/2.txt": b"x"})
    done = says("datasets", "search", "--folder", str(tmp_path / "d"), code=1)
    assert "CANNOT BE USED (2 places)" in done.stdout
    assert "labels/2.txt:1" in done.stdout
    assert "labels/1.txt:1: class 7" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "give one of NAME, --file, --bucket and --folder"),
        (["-f", "d.yaml", "--class", "x"], 2, "stand in it"),
        (["--folder", ".", "--limit", "0"], 1, "--limit cannot be '0'"),
        (["--folder", ".", "--submitted-after", "soon"], 1, "--submitted-after cannot be 'soon'"),
        (["--folder", ".", "--class", ""], 1, "--class cannot be ''"),
        (["--folder", ".", "--tag", ""], 1, "--tag cannot be ''"),
        (["--folder", ".", "--tag", "x"], 1, "filter.tags needs the format 'records'"),
        (["-f", "none.yaml"], 1, "none.yaml has no Dataset"),
        (["-f", "bad.yaml"], 1, "bad.yaml: spec.selections.0.format"),
        (["-f", "volume.yaml"], 1, "selection 0 of Dataset v lies on a volume"),
        (["-f", "empty.yaml"], 1, "is an empty draft"),
    ],
)
def test_what_cannot_be_searched_is_told_in_a_sentence(
    says: Run, home: Path, words: list[str], code: int, sentence: str
) -> None:
    write_folder(home, {f"a/{n}.png": image_bytes(n) for n in range(3)})
    wrong = selection("x", "csv")
    volume = {"source": {"volume": {"claimName": "c"}}, "format": "folders"}
    for name, text in {
        "d": manifest("d", selection("x")),
        "none": "kind: Pod\n",
        "bad": manifest("bad", wrong),
        "volume": manifest("v", volume),
        "empty": manifest("e", suspend=True),
    }.items():
        (home / f"{name}.yaml").write_text(text)
    said = says("datasets", "search", *words, code=code).stderr
    assert sentence in said
