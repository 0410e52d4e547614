"""The live picture of a process: what a person sees, in terminals of any size and ability."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.unit.builders import NOW, meta
from trainyard.api.process import TrainingProcess
from trainyard.cli.curves import curves
from trainyard.cli.watching import Picture

GOLDEN = Path(__file__).parent / "golden"
BRAILLE = {chr(code) for code in range(0x2801, 0x2900)}


def points(count: int = 50, step: int = 2, **varied: list[str | None]) -> list[dict[str, Any]]:
    """A history as a training gives it; `varied` has values instead, by field."""
    epochs = range(1, 1 + count * step, step)
    found = [
        {
            "epoch": epoch,
            "learningRate": f"{0.01 * min(1.0, epoch / 6) * (1 - epoch / 110):.6g}",
            "trainLoss": f"{3 * math.exp(-epoch / 20) + 0.4 + 0.05 * math.sin(epoch):.6g}",
            "devAccuracy": f"{0.5 * (1 - math.exp(-epoch / 25)) + 0.02 * math.sin(epoch / 2):.6g}",
        }
        for epoch in epochs
    ]
    for field, values in varied.items():
        for point, value in zip(found, values, strict=True):
            point[field] = value
    return found


def process(history: list[dict[str, Any]] | None = None, **status: Any) -> TrainingProcess:
    """A run that trains; its estimate is over, so that no picture depends on the clock."""
    runs = {"type": "Running", "status": "True", "reason": "PodsReady", "lastTransitionTime": NOW}
    whole: dict[str, Any] = {
        "phase": "Running",
        "conditions": [runs],
        "progress": {
            "stage": "train",
            "percent": 84,
            "epoch": 99,
            "epochs": 120,
            "estimatedCompletionTime": NOW,
        },
        "metrics": [{"name": "mAP50", "value": "0.61"}, {"name": "mAP50-95", "value": "0.476571"}],
        "history": points() if history is None else history,
        "display": {"metric": "mAP50-95 0.477"},
    }
    spec = {
        "capability": "a",
        "template": "b",
        "datasets": {"train": ["x"], "dev": ["y"]},
        "targetNode": "gpu-1",
    }
    return TrainingProcess.model_validate(
        {"metadata": meta("nuclei"), "spec": spec, "status": whole | status}
    )


def drawn(
    shown: TrainingProcess,
    columns: int,
    rows: int,
    *,
    colours: bool = False,
    encoding: str = "utf8",
) -> str:
    """The picture in a terminal of that size."""
    raw = io.BytesIO()
    console = Console(
        file=io.TextIOWrapper(raw, encoding=encoding),
        force_terminal=True,
        color_system="standard",
        no_color=not colours,
        width=columns,
        height=rows,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    console.print(Picture(shown))
    console.file.flush()
    return raw.getvalue().decode(encoding)


def plain(text: str) -> str:
    """A picture without codes of colour and weight."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def rows_of(history: list[dict[str, Any]], rows: int = 20, **status: Any) -> list[str]:
    """The curves alone, 80 columns wide, without colours."""
    lines = curves(process(history, **status), 80, rows, ascii_only=False)
    return [line.plain for line in lines]


def panel(lines: list[str], title: str) -> list[str]:
    """The rows below a title, without their axis."""
    begin = next(number for number, line in enumerate(lines) if title in line) + 1
    found = []
    for line in lines[begin:]:
        if not {"│", "┤"} & set(line):
            break
        found.append(line.replace("┤", "│").partition("│")[2])
    return found


FINISHED = {
    "phase": "Succeeded",
    "conditions": [
        {
            "type": "Complete",
            "status": "True",
            "reason": "TrainingSucceeded",
            "message": "the model is at s3://trainyard/runs/vision/nuclei/1",
            "lastTransitionTime": NOW,
        }
    ],
    "display": {"metric": "mAP50-95 0.405"},
    "evaluation": {"test": {"metrics": [{"name": "mAP50-95", "value": "0.405"}]}},
}


@pytest.mark.parametrize("size", [(100, 30), (80, 24)], ids=["100x30", "80x24"])
@pytest.mark.parametrize("colours", [True, False], ids=["colours", "no-colours"])
@pytest.mark.parametrize("status", [{}, FINISHED], ids=["runs", "succeeded"])
def test_the_picture_is_what_the_golden_file_shows(
    size: tuple[int, int], colours: bool, status: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    path = GOLDEN / f"picture-{request.node.callspec.id}.txt"
    text = drawn(process(**status), *size, colours=colours)
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_dev_accuracy_is_red_train_loss_blue_and_the_learning_rate_green() -> None:
    lines = drawn(process(), 100, 30, colours=True).splitlines()
    colour = {"mAP50-95 on dev": "31", "train loss 0": "34", "learning rate": "32"}
    for title, code in colour.items():
        begin = max(number for number, line in enumerate(lines) if title in line)
        curve = "".join(lines[begin + 1 : begin + 4])
        assert f"\x1b[{code}m{title}" in lines[begin]
        assert f"\x1b[{code}m" in curve
        assert not any(f"\x1b[{other}m" in curve for other in colour.values() if other != code)


def test_without_colours_no_code_of_a_colour_is_written() -> None:
    assert "\x1b[3" not in drawn(process(**FINISHED), 100, 30)


def test_a_terminal_of_ascii_only_gets_ascii_only() -> None:
    text = drawn(process(**FINISHED), 80, 24, encoding="ascii")
    assert "***" in text
    assert "@ on test, at the end 0.405" in text
    assert "epoch 1" in text


@pytest.mark.parametrize("rows", range(3, 41))
@pytest.mark.parametrize("columns", [20, 39, 40, 60, 80, 100, 240])
def test_the_picture_never_leaves_the_terminal(columns: int, rows: int) -> None:
    lines = plain(drawn(process(**FINISHED), columns, rows)).splitlines()
    assert max(len(line) for line in lines) <= columns
    has_curves = any("┤" in line for line in lines)
    assert len(lines) < rows or not has_curves
    assert columns >= 40 or not has_curves


def test_where_there_is_less_room_the_learning_rate_goes_first_then_the_loss_then_all() -> None:
    titles = {
        rows: [line.strip().rpartition(" ")[0] for line in rows_of(points(), rows) if "0." in line]
        for rows in (14, 13, 10, 9, 6, 5)
    }

    def shown(rows: int) -> list[str]:
        known = ("mAP50-95 on dev", "train loss", "learning rate")
        return [name for name in known if name in titles[rows]]

    assert shown(14) == ["mAP50-95 on dev", "train loss", "learning rate"]
    assert shown(13) == shown(10) == ["mAP50-95 on dev", "train loss"]
    assert shown(9) == shown(6) == ["mAP50-95 on dev"]
    assert rows_of(points(), 5) == []


def test_the_axes_say_from_which_to_which_epoch_and_value() -> None:
    lines = rows_of(points())
    assert lines[-1].split() == ["epoch", "1", "20", "40", "60", "80", "99"]
    ends = {"mAP50-95 on dev": ("0.507", "0.0292"), "learning rate": ("0.00936", "0.001")}
    for title, (high, low) in ends.items():
        begin = next(number for number, line in enumerate(lines) if title in line)
        height = len(panel(lines, title))
        assert lines[begin + 1].split("┤")[0].strip() == high
        assert lines[begin + height].split("┤")[0].strip() == low


@pytest.mark.parametrize("missing", ["nan", "inf", "-inf", None])
def test_a_value_that_is_missing_or_no_number_leaves_a_gap(missing: str | None) -> None:
    values: list[str | None] = [f"{0.01 * number}" for number in range(50)]
    values[20:30] = [missing] * 10
    rows = panel(rows_of(points(devAccuracy=values)), "mAP50-95 on dev")
    filled = [any(row[column : column + 1] in BRAILLE for row in rows) for column in range(70)]
    first, last = filled.index(True), 69 - filled[::-1].index(True)
    gap = [column for column in range(first, last) if not filled[column]]
    assert len(gap) > 10
    assert gap == list(range(gap[0], gap[-1] + 1)), "one gap, and a line on either side of it"


def test_the_final_test_value_is_a_mark_of_its_own_at_the_last_epoch() -> None:
    rows = panel(rows_of(points(), **FINISHED), "mAP50-95 on dev")
    marked = [row for row in rows if "◆" in row]
    assert len(marked) == 1
    assert marked[0].endswith("◆")
    assert "◆ on test, at the end 0.405" in "\n".join(rows_of(points(), **FINISHED))
    assert not any("◆" in row for row in rows_of(points()))


def test_a_test_value_beyond_the_curve_is_on_the_picture_too() -> None:
    high = FINISHED | {"evaluation": {"test": {"metrics": [{"name": "mAP50-95", "value": "0.9"}]}}}
    assert "◆" in panel(rows_of(points(), **high), "mAP50-95 on dev")[0]


@pytest.mark.parametrize(
    "values",
    [["0.5"] * 5, ["0"] * 5, ["1.7e308", "-1.7e308", "1e99", "0", "1"], ["1e-320"] * 5, ["-3"] * 5],
    ids=["flat", "all zero", "huge", "tiny", "negative"],
)
def test_any_numbers_can_be_drawn(
    values: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rows_of(points(5, trainLoss=values, devAccuracy=values))
    assert BRAILLE & set("".join(panel(lines, "train loss")))
    assert capsys.readouterr() == ("", ""), "plotext says nothing of its own into the picture"


def test_a_curve_that_is_flat_goes_through_the_middle_of_its_panel() -> None:
    lines = rows_of(points(5, trainLoss=["0.5"] * 5))
    rows = panel(lines, "train loss")
    assert [bool(BRAILLE & set(row)) for row in rows].index(True) == len(rows) // 2
    begin = next(number for number, line in enumerate(lines) if "train loss" in line)
    assert [line.split("┤")[0].strip() for line in lines[begin + 1 :] if "┤" in line][:2] == [
        "0.55",
        "0.5",
    ]


def test_the_first_epoch_is_a_point_and_before_it_there_is_nothing() -> None:
    rows = panel(rows_of(points(1)), "train loss")
    assert sum(len(BRAILLE & set(row)) for row in rows) == 1
    assert rows_of([]) == []
    assert rows_of([{"epoch": 1}, {"epoch": 2, "trainLoss": "nan"}]) == []


def test_a_curve_that_nobody_measured_is_left_out() -> None:
    history = [{"epoch": epoch, "trainLoss": str(1 / epoch)} for epoch in range(1, 9)]
    text = "\n".join(rows_of(history))
    assert "train loss" in text
    assert "on dev" not in text
    assert "learning rate" not in text


def test_an_accuracy_whose_metric_is_not_told_is_called_accuracy() -> None:
    assert "accuracy on dev" in "\n".join(rows_of(points(), display=None))


def test_who_waits_sees_place_and_estimated_start_in_the_picture() -> None:
    sentence = (
        "node gpu-1 is held by vision/cats until about Mon 14:35 UTC; this process is 2nd of 3 "
        "that wait, and starts at about Mon 16:10 UTC"
    )
    held = {
        "type": "NodeReserved",
        "status": "False",
        "reason": "WaitingForNode",
        "message": sentence,
        "lastTransitionTime": NOW,
    }
    queue = {"position": 2, "waitingFor": "vision/cats", "estimatedStartTime": NOW}
    waits = process([], phase="Queued", conditions=[held], progress=None, metrics=[], queue=queue)
    assert plain(drawn(waits, 200, 24)).splitlines()[1:] == [
        "Queued  2nd in the queue, starts in ~0s",
        sentence,
    ]
