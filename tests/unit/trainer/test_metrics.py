"""metrics.json as it is written, and the order of images."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from trainyard.api.capability import Output
from trainyard.api.metrics import RunMetrics
from trainyard_trainer import metrics
from trainyard_trainer.engines.base import ClassResult, Confusion, ImageScore, SplitResult

CURVE = tuple(round(1 - number / 100, 4) for number in range(101))


def result(**changes: object) -> SplitResult:
    outputs = [
        Output(attribute="kind", value=v, position=i) for i, v in enumerate(("a [ 1 ]", "b"))
    ]
    made = {
        "samples": 3,
        "metrics": {"mAP50": 0.123456789},
        "classes": (
            ClassResult(outputs[0], 4, {"recall": 1 / 3}, {"box": CURVE}),
            ClassResult(outputs[1], 0, {}),
        ),
        "threshold": 0.4,
        "confusion": Confusion(np.array([[3, 0, 1], [0, 0, 0], [2, 1, 0]]), True, 0.4, 0.5),
        "curves": {"box": CURVE},
        "images": (ImageScore("x.png", 0.5, 1, 1), ImageScore("y.png", 1.0, 2, 0)),
    }
    return SplitResult(**(made | changes))  # type: ignore[arg-type]


def test_the_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = metrics.document(
        "mAP50",
        {"dev": result(), "test": result(samples=2)},
        {"x.png": "camera/x.png"},
        best_epoch=3,
        epochs=5,
    )
    metrics.write(tmp_path / "metrics.json", made)
    text = (tmp_path / "metrics.json").read_text()
    assert RunMetrics.model_validate_json(text) == made
    assert '"matrix": [\n        [3, 0, 1],\n' in text
    assert all(len(line) < 1200 for line in text.splitlines())
    read = json.loads(text)
    assert (read["formatVersion"], read["operatingThreshold"]) == (1, 0.4)
    assert read["dev"]["confusion"]["labels"] == ["kind=a [ 1 ]", "kind=b", "background"]
    assert read["dev"]["metrics"] == {"mAP50": 0.123457}
    assert read["dev"]["best"] == [{"name": "y.png", "score": 1.0}]
    assert read["dev"]["worst"] == [{"name": "camera/x.png", "score": 0.5}]
    assert read["test"]["samples"] == 2


def test_what_an_engine_does_not_measure_is_left_out(tmp_path: Path) -> None:
    plain = SplitResult(5, {"recall-at-1": 0.75}, ())
    metrics.write(tmp_path / "m.json", metrics.document("recall-at-1", {"test": plain}, {}))
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "RunMetrics",
        "formatVersion": 1,
        "primaryMetric": "recall-at-1",
        "test": {
            "samples": 5,
            "metrics": {"recall-at-1": 0.75},
            "classes": [],
            "precisionAtRecall": {},
            "best": [],
            "worst": [],
        },
    }


def test_weights_that_were_not_trained_here_have_no_best_epoch() -> None:
    made = metrics.document("mAP50", {"dev": result()}, {}, best_epoch=0, epochs=0)
    assert (made.best_epoch, made.epochs_trained) == (None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_never_written(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        metrics.document("mAP50", {"dev": result(metrics={"mAP50": value})}, {})


def scored(*scores: tuple[float, int, int]) -> list[ImageScore]:
    return [ImageScore(f"{i}", *score) for i, score in enumerate(scores)]


def test_images_are_ranked_by_score_then_by_mistakes_then_by_right_answers() -> None:
    images = scored((0.0, 0, 1), (1.0, 1, 0), (0.5, 2, 4), (0.0, 0, 9), (1.0, 7, 0), (0.5, 1, 2))
    ranked = metrics.ranking(images)
    assert [image.name for image in ranked.best] == ["4", "1", "5"]
    assert [image.name for image in ranked.worst] == ["3", "0", "2"]


@pytest.mark.parametrize(
    ("count", "each", "best", "worst"),
    [(0, 6, 0, 0), (1, 6, 1, 0), (5, 6, 3, 2), (11, 6, 6, 5), (12, 6, 6, 6), (100, 6, 6, 6)],
)
def test_no_image_is_among_the_best_and_the_worst(
    count: int, each: int, best: int, worst: int
) -> None:
    ranked = metrics.ranking(scored(*((n / 100, 0, 0) for n in range(count))), each)
    assert (len(ranked.best), len(ranked.worst)) == (best, worst)
    assert not set(ranked.best) & set(ranked.worst)


def test_the_attribute_is_said_where_there_are_several() -> None:
    colour = Output(attribute="colour", value="red", position=0)
    size = Output(attribute="size", value="large", position=1)
    assert metrics.labels_of([colour]) == ["red"]
    assert metrics.labels_of([colour, size]) == ["colour=red", "size=large"]
