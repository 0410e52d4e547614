"""The picture of predictions beside labels: what is drawn, and in which colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.trainer.untrained import OUTPUTS
from trainyard.datasets.labels import Label
from trainyard_trainer.engines.base import Prediction
from trainyard_trainer.picture import Section, Shown, draw

DISC, SQUARE = OUTPUTS
BOX = (0.25, 0.25, 0.75, 0.75)
LABEL = Label("class", "disc", "box", BOX)
GREEN, RED, ORANGE, BLUE = (0, 130, 60), (200, 30, 30), (235, 110, 0), (20, 90, 200)


def drawn(tmp_path: Path, labels: tuple[Label, ...], said: Prediction) -> Image.Image:
    Image.new("L", (60, 60), 10).save(tmp_path / "image.png")
    image = Shown(tmp_path / "image.png", labels, (said,))
    draw([Section("title", (image,))], tmp_path / "picture.png")
    return Image.open(tmp_path / "picture.png").convert("RGB")


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.abs(np.asarray(picture).astype(int) - colour).max(axis=2) < 12).sum())


@pytest.mark.parametrize(
    ("said", "colour"),
    [
        (Prediction(DISC, 0.9, BOX, "box"), GREEN),
        (Prediction(SQUARE, 0.9, BOX, "box"), RED),
        (Prediction(DISC, 0.9, (0.2, 0.25, 0.75, 0.75), "box"), ORANGE),
    ],
    ids=["asked about and right", "asked about and wrong", "found by itself"],
)
def test_an_answer_about_a_labelled_box_is_green_or_red_and_what_was_found_orange(
    tmp_path: Path, said: Prediction, colour: tuple[int, int, int]
) -> None:
    picture = drawn(tmp_path, (LABEL,), said)
    counts = {other: count(picture, other) for other in (GREEN, RED, ORANGE)}
    # The outline and, of what is found, the caption too.
    assert counts.pop(colour) > 400
    assert count(picture, BLUE) > 400
    counts.pop(ORANGE, None)
    assert set(counts.values()) <= {0}


def test_an_outline_is_drawn_as_a_polygon(tmp_path: Path) -> None:
    triangle = (0.1, 0.1, 0.9, 0.1, 0.1, 0.9)
    picture = drawn(tmp_path, (), Prediction(DISC, 0.9, triangle, "polygon"))
    pixels = np.asarray(picture).astype(int)
    tinted = (pixels[..., 0] - pixels[..., 2] > 30) & (pixels[..., 0] < 120)
    # Filled faintly: half of a square of 0.8 of the image's side, which has a margin on each side.
    side = picture.width - 2 * 12
    assert tinted.sum() == pytest.approx(0.5 * (0.8 * side) ** 2, rel=0.1)
