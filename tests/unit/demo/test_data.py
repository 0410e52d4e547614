"""The sample images: fetched byte for byte, split without leaks, labelled as YOLO reads it."""

from __future__ import annotations

import gzip
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainyard_demo.data import digits, nuclei, sources
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
    (box,) = nuclei.boxes(mask, left=64, top=64)
    assert box == nuclei.Box(x=48 / 128, y=15 / 128, width=32 / 128, height=10 / 128)
    assert box.line() == "0 0.375000 0.117188 0.250000 0.078125"


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
    written = list(nuclei.write(tmp_path / "image.tif", tmp_path / "mask.tif", folder))
    images = sorted(p.stem for p in folder.glob("*/images/*.png"))
    assert len(written) == 2 * len(images) + 3 == 245
    assert images == sorted(p.stem for p in folder.glob("*/labels/*.txt"))
    assert (folder / "train/labels/x000-y000.txt").read_text().startswith("0 0.117188 0.117188 ")
    assert (folder / "test/labels/x320-y256.txt").read_text() == ""
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


def test_files_that_are_there_whole_are_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FILES", (sources.SourceFile("f", "no/such", sha256=EMPTY),))
    (tmp_path / "f").write_bytes(b"")
    sources.fetch(tmp_path, Path("/no/such/uv"))


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_missing_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    uv = sources.find_uv(os.environ, REPOSITORY)
    with pytest.raises(DemoError, match="cannot be fetched from the Python Package Index: check"):
        sources.fetch(tmp_path / "sources", uv)
    assert list((tmp_path / "sources").iterdir()) == []


def test_missing_uv_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="run `make setup`"):
        sources.find_uv({"PATH": str(tmp_path)}, tmp_path)
