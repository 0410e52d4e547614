"""Which pictures a finished run has."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.labelled import image_bytes
from tests.unit.trainer.judged import outputs
from tests.unit.trainer.test_plots import history, result
from trainyard.datasets.labels import Label
from trainyard_trainer.engines.base import (
    Box,
    ImageScore,
    Layout,
    Prediction,
    SplitResult,
)
from trainyard_trainer.illustrate import Story, illustrate
from trainyard_trainer.prepare import HeldOut, Prepared

KNOWN = outputs(2)


class Says:
    """A predictor that is asked about files, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict_file(self, path: Path, entities: tuple[Box, ...] = ()) -> list[Prediction]:
        self.asked.append(path.name)
        return [Prediction(KNOWN[0], 0.9, (0.1, 0.1, 0.5, 0.5), "box")]


def story(folder: Path, count: int, found: SplitResult) -> Story:
    held = []
    for number in range(count):
        path = folder / f"{number}.png"
        path.write_bytes(image_bytes(number))
        held.append(HeldOut(path, path.name, (Label("class", "c0", "box", (0.1, 0.1, 0.4, 0.4)),)))
    prepared = Prepared(Layout(folder), tuple(held), "test", {})
    return Story("run", tuple(history(3)), "mAP50", 2, {"test": found}, prepared)


def drawn(folder: Path, count: int, **changes: Any) -> tuple[list[str], list[str]]:
    """Names of the pictures, and of the images in predictions.png in their order."""
    plain = result(KNOWN, background=True, kinds=("box",))
    found = SplitResult(**{**vars(plain), **changes})
    said = Says()
    paths = illustrate(story(folder, count, found), said, folder)  # type: ignore[arg-type]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
    return sorted(path.name for path in paths), said.asked


def test_the_best_come_first_and_then_the_worst(tmp_path: Path) -> None:
    images = tuple(ImageScore(f"{n}.png", n / 40, 1, 1) for n in range(40))
    names, shown = drawn(tmp_path, 40, images=images)
    assert names == ["confusion.png", "curves.png", "pr-curves.png", "predictions.png"]
    assert shown == [f"{n}.png" for n in (39, 38, 37, 36, 35, 34, 0, 1, 2, 3, 4, 5)]


def test_one_image_is_enough(tmp_path: Path) -> None:
    _, shown = drawn(tmp_path, 1, images=(ImageScore("0.png", 0.0, 0, 1),))
    assert shown == ["0.png"]


def test_an_image_that_a_person_added_is_left_out(tmp_path: Path) -> None:
    images = tuple(ImageScore(name, 0.5, 1, 1) for name in ("0.png", "added.png", "1.png"))
    names, shown = drawn(tmp_path, 2, images=images)
    assert "predictions.png" in names
    assert shown == ["0.png", "1.png"]


def test_without_a_training_there_are_no_learning_curves(tmp_path: Path) -> None:
    told = replace(story(tmp_path, 1, result(KNOWN, background=False, kinds=())), history=())
    paths = illustrate(told, Says(), tmp_path)  # type: ignore[arg-type]
    assert "curves.png" not in {path.name for path in paths}


def test_what_an_engine_does_not_measure_is_not_drawn(tmp_path: Path) -> None:
    names, shown = drawn(tmp_path, 30, confusion=None, curves={}, images=(), threshold=None)
    assert names == ["curves.png", "predictions.png"]
    assert shown == [f"{n}.png" for n in range(0, 24, 2)]


def test_a_picture_that_cannot_be_drawn_costs_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A folder stands where it belongs.
    (tmp_path / "curves.png").mkdir()
    with caplog.at_level(logging.ERROR):
        names, _ = drawn(tmp_path, 2)
    assert names == ["confusion.png", "pr-curves.png", "predictions.png"]
    assert "curves.png cannot be drawn; the run goes on without it" in caplog.text
