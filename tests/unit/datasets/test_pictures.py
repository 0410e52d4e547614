"""Contact sheets: what is drawn where."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.labelled import image_bytes
from trainyard.datasets import drawing
from trainyard.datasets.labels import Label
from trainyard.datasets.pictures import Legend, Picture, draw_sheet, spread

TILE, MARGIN = 256, 12
LEGEND = Legend("pets", "2 images", [("cat", 2), ("dog", 1)])


def grey(size: tuple[int, int] = (200, 100), kind: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, 128).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def tile(sheet: Path, index: int, columns: int = 4) -> np.ndarray:
    """Pixels of one image of a sheet with one row."""
    with Image.open(sheet) as image:
        # The caption and the margin stand below the tiles.
        top = image.height - MARGIN - 42 - TILE
        left = MARGIN + (index % columns) * (TILE + MARGIN)
        return np.asarray(image.crop((left, top, left + TILE, top + TILE)), dtype=int)


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(pixels - np.array(colour)) < 12).all(axis=2)


def test_a_box_is_drawn_where_its_label_says_in_the_colour_of_its_class(tmp_path: Path) -> None:
    label = Label("class", "dog", "box", (0.25, 0.25, 0.75, 0.75))
    draw_sheet([Picture("a.png", grey(), (label,))], 1, LEGEND, tmp_path / "s.png")
    dog = drawing.colours(["cat", "dog"])["dog"]
    # The text of the box stands above it.
    rows, columns = np.nonzero(near(tile(tmp_path / "s.png", 0), dog)[96 + 2 :])
    # 200 x 100 pixels fill 256 x 128 of the tile, from row 64 on.
    assert (columns.min(), columns.max()) == (pytest.approx(64, abs=1), pytest.approx(192, abs=1))
    assert rows.max() + 98 == pytest.approx(64 + 96, abs=1)


def test_a_polygon_is_filled_so_lightly_that_the_image_shows(tmp_path: Path) -> None:
    label = Label("class", "cat", "polygon", (0.1, 0.1, 0.9, 0.1, 0.5, 0.9))
    draw_sheet([Picture("a.png", grey(), (label,))], 1, LEGEND, tmp_path / "s.png")
    inside = tile(tmp_path / "s.png", 0)[128, 128]
    outside = tile(tmp_path / "s.png", 0)[185, 20]
    assert tuple(outside) == (128, 128, 128)
    assert inside[0] > inside[1]
    assert abs(inside[1] - 128) < 30


def test_the_caption_tells_the_class_of_an_image_in_its_colour(tmp_path: Path) -> None:
    pictures = [
        Picture("a.png", grey(), (Label("class", "cat", "image"),)),
        Picture("b.png", grey(), ()),
    ]
    draw_sheet(pictures, 2, LEGEND, tmp_path / "s.png")
    cat = drawing.colours(["cat", "dog"])["cat"]
    with Image.open(tmp_path / "s.png") as image:
        captions = np.asarray(image.crop((0, image.height - 45, image.width, image.height)), int)
    columns = np.nonzero(near(captions, cat).any(axis=0))[0]
    assert len(columns) > 10
    assert columns.max() < MARGIN + TILE


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("TIFF", "I;16"), ("JPEG", "CMYK"), ("PNG", "LA"), ("PNG", "P"), ("BMP", "L")],
)
def test_every_kind_of_image_can_be_shown(tmp_path: Path, kind: str, mode: str) -> None:
    if mode == "I;16":
        buffer = io.BytesIO()
        Image.fromarray(np.full((100, 200), 128 << 8, np.uint16)).save(buffer, kind)
        data = buffer.getvalue()
    else:
        data = grey(kind=kind, mode=mode)
    draw_sheet([Picture("a", data, ())], 1, LEGEND, tmp_path / "s.png")
    assert tile(tmp_path / "s.png", 0)[128, 128] == pytest.approx([128, 128, 128], abs=3)


def test_images_are_taken_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []

    def pictures() -> Iterator[Picture]:
        for index in range(30):
            alive.append(index)
            yield Picture(f"{index}.png", image_bytes(index), ())

    draw_sheet(pictures(), 20, LEGEND, tmp_path / "s.png")
    assert len(alive) == 20
    with Image.open(tmp_path / "s.png") as image:
        assert image.size[0] == 5 * (TILE + MARGIN) + MARGIN


def test_a_hundred_classes_with_long_names_leave_the_sheet_readable(tmp_path: Path) -> None:
    classes = [(f"class {index} \x1b[31m {'long ' * 40}", 5) for index in range(100)]
    label = Label("class", classes[0][0], "box", (0.9, 0.0, 1.0, 0.1))
    pictures = [Picture("x" * 500, image_bytes(), (label,)), Picture("\n\t.png", image_bytes(), ())]
    draw_sheet(pictures, 2, Legend("t" * 900, "s" * 900, classes), tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as image:
        assert image.size < (1400, 600)


@pytest.mark.parametrize(("total", "count"), [(1, 5), (5, 5), (7, 3), (1_000_000, 24)])
def test_places_are_spread_evenly_and_never_repeated(total: int, count: int) -> None:
    places = spread(total, count)
    assert len(set(places)) == len(places) == min(total, count)
    assert 0 <= places[0] <= places[-1] < total
    gaps = np.diff(places)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
