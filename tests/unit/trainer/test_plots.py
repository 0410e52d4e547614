"""The pictures of numbers: that they are there, and say what they should."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from tests.unit.trainer.judged import outputs
from trainyard.api.capability import Output
from trainyard.api.report import EpochReport
from trainyard_trainer import plots
from trainyard_trainer.engines.base import ClassResult, Confusion, SplitResult
from trainyard_trainer.plots import Final

RED, BLUE, GREEN, INK = (214, 39, 40), (31, 119, 180), (44, 160, 44), (28, 30, 33)
CURVE = tuple(1 - (number / 100) ** 3 for number in range(101))


def history(epochs: int, lost: int | None = None) -> list[EpochReport]:
    return [
        EpochReport(
            epoch=number,
            learning_rate=0.01 / number,
            train_loss=None if number == lost else 1 / number,
            dev_accuracy=1 - 1 / number,
        )
        for number in range(1, epochs + 1)
    ]


def coloured(path: Path | BinaryIO, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Places (row, column) of the pixels of exactly that colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return [(int(row), int(column)) for row, column in np.argwhere((pixels == colour).all(axis=2))]


def dashed(path: BinaryIO) -> int:
    """Column of the dashed line: a bluish grey, thinner than a pixel at its edges."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    top = pixels[: max(row for row, _ in coloured(path, RED))]
    bluish = (top[..., 2] - top[..., 0] > 4) & (top[..., 0] > 150)
    return int(bluish.sum(axis=0).argmax())


def described(path: Path | BinaryIO) -> str:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return str(image.text["Description"])  # type: ignore[attr-defined]


def test_accuracy_is_red_loss_blue_rate_green_each_in_a_panel_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    plots.curves("run", history(30), "mAP50", path, Final(20, 0.61))
    rows = [[row for row, _ in coloured(path, colour)] for colour in (RED, BLUE, GREEN)]
    assert all(len(found) > 100 for found in rows)
    assert max(rows[0]) < min(rows[1])
    assert max(rows[1]) < min(rows[2])
    assert described(path) == "run: learning curves of epochs 1 to 30; mAP50 on test 0.610"


def test_the_final_test_value_is_a_mark_of_its_own_and_is_there_only_with_a_test(
    tmp_path: Path,
) -> None:
    without, with_it = tmp_path / "without.png", tmp_path / "with.png"
    plots.curves("run", history(30), "mAP50", without, Final(20, None))
    plots.curves("run", history(30), "mAP50", with_it, Final(20, 0.5))
    assert coloured(without, INK) == []
    # One in the panel, one in its legend.
    marks = coloured(with_it, INK)
    assert len(marks) > 80
    # That in the panel stands at epoch 20 of 1 to 30.
    red = [column for _, column in coloured(with_it, RED)]
    expected = min(red) + (max(red) - min(red)) * 19 / 29
    assert min(abs(column - expected) for _, column in marks) < 5
    assert "test" not in described(without)


def test_while_it_trains_the_best_epoch_so_far_is_marked_and_there_is_no_mark_of_test() -> None:
    epochs = [
        EpochReport(epoch=number, train_loss=1.0, dev_accuracy=value)
        for number, value in enumerate((0.2, 0.7, 0.7, 0.5), start=1)
    ]
    picture = io.BytesIO()
    plots.curves("run", epochs, "top-1", picture)
    assert described(picture) == "run: learning curves of epochs 1 to 4 so far"
    assert coloured(picture, INK) == []
    # The later of equally good ones, as the engines choose it: epoch 3 of 1 to 4.
    red = [column for _, column in coloured(picture, RED)]
    assert abs(dashed(picture) - (min(red) + (max(red) - min(red)) * 2 / 3)) < 5


def test_of_very_many_epochs_as_many_are_drawn_as_there_is_room_for() -> None:
    few, many = io.BytesIO(), io.BytesIO()
    plots.curves("run", history(1000), "top-1", few)
    plots.curves("run", history(100_000), "top-1", many)
    assert described(many) == "run: learning curves of epochs 1 to 100000 so far"
    assert len(many.getvalue()) < 2 * len(few.getvalue())


@pytest.mark.parametrize(
    "made", [history(1), history(3, lost=2), history(1, lost=1)], ids=["one", "a gap", "none"]
)
def test_few_epochs_and_losses_that_were_no_numbers_are_drawn(
    made: list[EpochReport], tmp_path: Path
) -> None:
    plots.curves("run", made, "top-1", tmp_path / "curves.png", Final(1, 0.0))
    assert described(tmp_path / "curves.png")


def result(outputs: tuple[Output, ...], *, background: bool, kinds: tuple[str, ...]) -> SplitResult:
    count = len(outputs)
    matrix = np.zeros((count + background,) * 2, dtype=np.int64)
    matrix[0, 0] = 3
    return SplitResult(
        3,
        {},
        tuple(ClassResult(output, 3, {}, dict.fromkeys(kinds, CURVE)) for output in outputs),
        0.3,
        Confusion(matrix, background, 0.3, 0.5) if background else Confusion(matrix),
        dict.fromkeys(kinds, CURVE),
    )


@pytest.mark.parametrize("count", [1, 10, 25, 60, 300])
@pytest.mark.parametrize("draw", [plots.confusion, plots.precision_recall])
def test_one_class_and_hundreds_fit(
    count: int, draw: Callable[[str, SplitResult, str, Path], None], tmp_path: Path
) -> None:
    draw(
        "run", result(outputs(count), background=True, kinds=("box", "mask")), "dev", tmp_path / "p"
    )
    with Image.open(tmp_path / "p") as image:
        assert min(image.size) >= 400
        assert max(image.size) < 2000


@pytest.mark.parametrize("draw", [plots.confusion, plots.precision_recall])
def test_classes_with_any_name_are_drawn(
    draw: Callable[[str, SplitResult, str, Path], None],
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    values = ("$\\frac{$", "_hidden", "犬", "a" * 128, "<b>&amp;</b>")
    named = tuple(Output(attribute="class", value=v, position=i) for i, v in enumerate(values))
    draw("run $x_$", result(named, background=False, kinds=("class",)), "test", tmp_path / "p.png")
    assert "run $x_$" in described(tmp_path / "p.png")
    assert [str(warning.message) for warning in recwarn.list] == []


def test_drawing_starts_no_program_and_looks_for_no_fonts_of_the_system(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from trainyard_trainer.machine import quieten
quieten(Path({str(tmp_path)!r}), 1)
begun = []
from trainyard.api.report import EpochReport
from trainyard_trainer import plots
sys.addaudithook(lambda event, args: begun.append(args[1]) if event == "subprocess.Popen" else None)
plots.curves("run", [EpochReport(epoch=1)], "top-1", Path({str(tmp_path)!r}) / "c.png")
from matplotlib.font_manager import fontManager
outside = [f.fname for f in fontManager.ttflist if "matplotlib" not in f.fname]
assert not outside, outside
assert not begun, begun
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
