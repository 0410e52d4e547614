"""The numbers of a detector, beside those that others compute of the same answers."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from ultralytics.utils.metrics import ConfusionMatrix

from tests.unit.trainer.judged import SIDE, Corners, Image, judge
from trainyard_trainer.engines.base import DEFAULT_CONFIDENCE, SplitResult
from trainyard_trainer.engines.score_boxes import surest

CLASSES = 3
TOLERANCE = 0.02
"""COCO takes the mean of the precision at 101 recalls, the library the area under the line through
them, and it draws that line between the points of the curve, not in steps."""


def scene(generator: np.random.Generator) -> Image:
    """Up to five boxes; answers near most of them, some of another class, and false alarms."""

    def corners() -> Corners:
        left, top = generator.uniform(0, 60, 2)
        width, height = generator.uniform(15, 40, 2)
        return float(left), float(top), float(left + width), float(top + height)

    labels = [(int(generator.integers(CLASSES)), corners()) for _ in range(generator.integers(6))]
    answers = []
    for index, box in labels:
        if generator.random() < 0.8:
            near = [float(edge + generator.normal(0, 1)) for edge in box]
            said = index if generator.random() < 0.8 else int(generator.integers(CLASSES))
            answers.append(
                (said, float(generator.uniform(0.3, 1)), (near[0], near[1], near[2], near[3]))
            )
    for _ in range(generator.integers(4)):
        said = int(generator.integers(CLASSES))
        answers.append((said, float(generator.uniform(0.01, 0.6)), corners()))
    return Image(labels, answers)


@pytest.fixture(scope="module")
def scenes() -> list[Image]:
    generator = np.random.default_rng(6)
    return [scene(generator) for _ in range(80)]


def width_and_height(corners: Corners) -> list[float]:
    return [corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]]


def by_coco(images: list[Image]) -> np.ndarray:
    """[overlaps, classes]: average precision as the authors of COCO compute it."""
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "width": SIDE, "height": SIDE} for i in range(len(images))],
        "categories": [{"id": i} for i in range(CLASSES)],
        "annotations": [
            {
                "id": 1 + 1000 * number + at,
                "image_id": number,
                "category_id": index,
                "bbox": width_and_height(corners),
                "area": width_and_height(corners)[2] * width_and_height(corners)[3],
                "iscrowd": 0,
            }
            for number, image in enumerate(images)
            for at, (index, corners) in enumerate(image.labels)
        ],
    }
    answers = [
        {
            "image_id": number,
            "category_id": index,
            "bbox": width_and_height(corners),
            "score": confidence,
        }
        for number, image in enumerate(images)
        for index, confidence, corners in image.answers
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # [overlaps, recalls, classes, areas, most answers an image]
    precision: np.ndarray = evaluation.eval["precision"][:, :, :, 0, -1]
    return precision.mean(axis=1)


def test_average_precision_is_that_of_coco(scenes: list[Image], tmp_path: Path) -> None:
    found, expected = judge(scenes, CLASSES, tmp_path), by_coco(scenes)
    assert 0.3 < expected.mean() < 0.9
    assert found.metrics["mAP50"] == pytest.approx(expected[0].mean(), abs=TOLERANCE)
    assert found.metrics["mAP50-95"] == pytest.approx(expected.mean(), abs=TOLERANCE)
    for position, entry in enumerate(found.classes):
        of_class = expected[:, position]
        assert entry.metrics["mAP50"] == pytest.approx(of_class[0], abs=TOLERANCE)
        assert entry.metrics["mAP50-95"] == pytest.approx(of_class.mean(), abs=TOLERANCE)


def test_curves_are_those_of_coco(scenes: list[Image], tmp_path: Path) -> None:
    curve = judge(scenes, CLASSES, tmp_path).curves["box"]
    assert len(curve) == 101
    assert curve[0] > 0.9
    assert all(0 <= value <= 1 for value in curve)
    assert np.mean(curve) == pytest.approx(by_coco(scenes)[0].mean(), abs=TOLERANCE)


@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.9])
def test_the_matrix_is_that_of_the_library_at_any_threshold(
    scenes: list[Image], tmp_path: Path, threshold: float
) -> None:
    expected = ConfusionMatrix({i: str(i) for i in range(CLASSES)})
    for image in scenes:
        given = sorted(image.answers, key=lambda answer: -answer[1])
        expected.process_batch(
            {
                "cls": torch.tensor([float(index) for index, *_ in given]),
                "conf": torch.tensor([confidence for _, confidence, _ in given]),
                "bboxes": torch.tensor([corners for *_, corners in given]).reshape(-1, 4),
            },
            {
                "cls": torch.tensor([float(index) for index, _ in image.labels]),
                "bboxes": torch.tensor([corners for _, corners in image.labels]).reshape(-1, 4),
            },
            conf=threshold,
            iou_thres=0.5,
        )
    found = judge(scenes, CLASSES, tmp_path, threshold).confusion
    assert found is not None
    assert (found.confidence, found.iou, found.background) == (threshold, 0.5, True)
    # Theirs has a row an answer.
    assert found.matrix.tolist() == expected.matrix.T.astype(int).tolist()


A: Corners = (10, 10, 40, 40)
B: Corners = (60, 60, 90, 90)
C: Corners = (60, 10, 90, 40)
COUNTED = [
    # One found, one taken for another class, one missed, one false alarm.
    Image(
        [(0, A), (0, B), (1, C)],
        [(0, 0.9, A), (1, 0.8, B), (0, 0.7, (10, 60, 40, 90)), (1, 0.2, C)],
    ),
    # A second answer for the same box is a false alarm.
    Image([(1, A)], [(1, 0.9, A), (1, 0.8, (11, 11, 41, 41))]),
    Image(),
    Image(answers=[(0, 0.6, A)]),
]


def test_what_is_counted_by_hand(tmp_path: Path) -> None:
    found = judge(COUNTED, 2, tmp_path, threshold=0.5)
    assert found.confusion is not None
    assert found.confusion.matrix.tolist() == [
        [1, 1, 0],
        [0, 1, 1],
        [2, 1, 0],
    ]
    assert [(x.name, round(x.score, 3), x.right, x.wrong) for x in found.images] == [
        ("0.png", 0.333, 1, 4),
        ("1.png", 0.667, 1, 1),
        ("2.png", 1.0, 0, 0),
        ("3.png", 0.0, 0, 1),
    ]
    assert found.samples == 4
    assert [entry.samples for entry in found.classes] == [2, 2]
    # Class 0: 1 right of 3 answers and 2 labels. Class 1: 1 right of 3 answers and 2 labels.
    for entry in found.classes:
        assert entry.metrics["precision"] == pytest.approx(1 / 3, abs=1e-6)
        assert entry.metrics["recall"] == pytest.approx(1 / 2, abs=1e-6)


def test_the_threshold_lies_between_right_and_wrong_answers(tmp_path: Path) -> None:
    images = [
        Image([(0, A)], [(0, 0.6 + 0.01 * number, A), (0, 0.01 * number, B)])
        for number in range(30)
    ]
    found = judge(images, 1, tmp_path)
    assert found.threshold is not None
    assert 0.29 <= found.threshold < 0.61
    assert (found.metrics["precision"], found.metrics["recall"]) == (1.0, 1.0)
    assert all(image.score == 1 for image in found.images)


def test_the_threshold_that_is_given_is_used(tmp_path: Path) -> None:
    images = [Image([(0, A)], [(0, 0.9, A), (0, 0.3, B)]), Image([(0, A)], [(0, 0.5, A)])]
    low, high = (judge(images, 1, tmp_path, threshold) for threshold in (0.1, 0.7))
    assert (low.threshold, high.threshold) == (0.1, 0.7)
    assert low.metrics["precision"] == pytest.approx(2 / 3)
    assert low.metrics["recall"] == pytest.approx(1)
    assert high.metrics["precision"] == pytest.approx(1)
    assert high.metrics["recall"] == pytest.approx(1 / 2)
    # The area under the curve is over all thresholds.
    assert low.metrics["mAP50"] == high.metrics["mAP50"]


def test_a_class_without_labels_has_no_numbers_and_does_not_lower_the_mean(tmp_path: Path) -> None:
    images = [Image([(0, A)], [(0, 0.9, A), (2, 0.8, B)])]
    found = judge(images, 3, tmp_path)
    assert found.metrics["mAP50"] == pytest.approx(0.995, abs=0.01)
    assert [dict(entry.metrics) for entry in found.classes[1:]] == [{}, {}]
    assert [dict(entry.curves) for entry in found.classes[1:]] == [{}, {}]
    assert [entry.samples for entry in found.classes] == [1, 0, 0]
    assert found.confusion is not None
    assert found.confusion.matrix[3].tolist() == [0, 0, 1, 0]


def numbers(result: SplitResult) -> Iterator[float]:
    yield from result.metrics.values()
    yield result.threshold or 0.0
    for curve in result.curves.values():
        yield from curve
    for entry in result.classes:
        yield from entry.metrics.values()
        for curve in entry.curves.values():
            yield from curve
    for image in result.images:
        yield image.score


@pytest.mark.parametrize(
    ("images", "matrix", "scores"),
    [
        ([Image([(0, A), (1, B)])] * 2, [[0, 0, 2], [0, 0, 2], [0, 0, 0]], [0, 0]),
        ([Image([(0, A)], [(0, 0.9, B)])], [[0, 0, 1], [0, 0, 0], [1, 0, 0]], [0]),
        ([Image(answers=[(1, 0.9, A)]), Image()], [[0, 0, 0], [0, 0, 0], [0, 1, 0]], [0, 1]),
        ([Image(), Image()], [[0, 0, 0], [0, 0, 0], [0, 0, 0]], [1, 1]),
    ],
    ids=["no answers", "only wrong answers", "no labels", "neither"],
)
def test_what_divides_by_nothing_gives_zeros_and_the_usual_threshold(
    tmp_path: Path, images: list[Image], matrix: list[list[int]], scores: list[float]
) -> None:
    found = judge(images, 2, tmp_path)
    assert set(found.metrics) == {"precision", "recall", "mAP50", "mAP50-95"}
    assert found.metrics["mAP50"] == 0
    assert found.threshold == DEFAULT_CONFIDENCE
    assert found.confusion is not None
    assert found.confusion.matrix.tolist() == matrix
    assert [image.score for image in found.images] == scores
    assert all(math.isfinite(number) for number in numbers(found))


def test_of_the_classes_of_one_box_only_the_surest_is_an_answer() -> None:
    # Two images, a box each: x, y, width, height, two classes, a number of the mask.
    said = torch.tensor([[[1.0], [2], [3], [4], [0.3], [0.8], [7]]] * 2)
    proto = torch.zeros(1)
    (left, more), other = surest(((said, proto), 5), 2)
    assert left[0, :, 0].tolist() == pytest.approx([1, 2, 3, 4, 0, 0.8, 7])
    assert (more is proto, other) == (True, 5)
    assert said[0, 4, 0] == pytest.approx(0.3)
