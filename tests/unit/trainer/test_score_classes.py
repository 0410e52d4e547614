"""The numbers of a classifier, beside a count by hand and beside the model asked image by image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.labelled import image_bytes
from tests.unit.trainer.judged import outputs
from trainyard.api.template import Hyperparameters
from trainyard_trainer.engines.augment import Variation
from trainyard_trainer.engines.base import TrainSettings
from trainyard_trainer.engines.classify import Classifier
from trainyard_trainer.engines.score_classes import Answers, best_confidence, summary
from trainyard_trainer.engines.yolo import class_name, quieten_library


def answers(*said: tuple[int, dict[int, float]]) -> Answers:
    """The right class of each image, and the probability of each class."""
    truth = np.array([index for index, _ in said])
    table = np.array([[row.get(c, 0.0) for c in range(len(said[0][1]))] for _, row in said])
    first = np.argsort(-table, axis=1, kind="stable")[:, :5]
    return Answers(
        [f"{number}.png" for number in range(len(said))],
        truth,
        first,
        np.take_along_axis(table, first, axis=1),
        table[np.arange(len(said)), truth],
    )


COUNTED = answers(
    (0, {0: 0.9, 1: 0.1, 2: 0.0}),
    (0, {0: 0.6, 1: 0.4, 2: 0.0}),
    (0, {0: 0.3, 1: 0.7, 2: 0.0}),
    (1, {0: 0.2, 1: 0.8, 2: 0.0}),
)


def test_what_is_counted_by_hand() -> None:
    found = summary(COUNTED, outputs(3), None)
    assert found.samples == 4
    assert found.metrics == {"top-1": 0.75, "top-5": 1.0}
    assert found.confusion is not None
    assert found.confusion.matrix.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert (found.confusion.background, found.confusion.confidence) == (False, None)
    assert [dict(entry.metrics) for entry in found.classes] == [
        {"precision": 1.0, "recall": pytest.approx(2 / 3), "top-5": 1.0},
        {"precision": 0.5, "recall": 1.0, "top-5": 1.0},
        {},
    ]
    assert [(x.name, x.score, x.right, x.wrong) for x in found.images] == [
        ("0.png", 0.9, 1, 0),
        ("1.png", 0.6, 1, 0),
        ("2.png", 0.3, 0, 1),
        ("3.png", 0.8, 1, 0),
    ]
    # Class 1 by falling probability: right at 0.8, wrong at 0.7 and 0.4 and 0.1.
    assert found.classes[1].curves["class"] == (1.0,) * 101
    # Class 0: right at 0.9 and 0.6 and 0.3, wrong at 0.2.
    assert found.classes[0].curves["class"] == (1.0,) * 101
    assert found.classes[2].curves == {}


def test_the_sixth_answer_counts_as_not_found() -> None:
    probabilities = dict(enumerate([0.3, 0.25, 0.2, 0.15, 0.07, 0.03]))
    found = summary(answers((5, probabilities), (5, {**probabilities, 5: 0.9})), outputs(6), None)
    assert found.metrics == {"top-1": 0.5, "top-5": 0.5}
    curve = found.classes[5].curves["class"]
    assert (curve[40], curve[60], curve[100]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Leaving the wrong answers at 0.4 out is worth it.
        ([(0.9, True)] * 4 + [(0.4, False)] * 4, 0.401),
        # Nothing is gained by leaving anything out.
        ([(0.9, True), (0.5, True), (0.7, True)], 0.0),
        ([(0.9, False), (0.5, True), (0.7, True)], 0.0),
        # Nothing is right.
        ([(0.9, False)], 0.0),
    ],
)
def test_the_threshold_is_the_lowest_confidence_with_the_best_f1(
    said: list[tuple[float, bool]], expected: float
) -> None:
    made = answers(*((0 if right else 1, {0: p, 1: 1 - p}) for p, right in said))
    first = made.first.copy()
    first[:, 0], first[:, 1] = 0, 1
    confidence = np.array([[p, 1 - p] for p, _ in said])
    fixed = Answers(made.names, made.truth, first, confidence, made.of_truth)
    assert best_confidence(fixed) == pytest.approx(expected)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two of three classes, in the layout of the trainer."""
    root = tmp_path_factory.mktemp("layout")
    for split in ("train", "val", "test"):
        for seed in range(11):
            folder = root / split / class_name(2 * (seed % 2))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{seed}.png").write_bytes(image_bytes(seed, (40, 30)))
    return root


@pytest.fixture
def threads() -> Iterator[int]:
    """More than the library would ever take."""
    before = torch.get_num_threads()
    torch.set_num_threads(9)
    yield 9
    torch.set_num_threads(before)


def test_an_evaluation_is_what_the_model_says_image_by_image(
    layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], threads: int
) -> None:
    quieten_library()
    torch.manual_seed(1)
    engine = Classifier()
    model = engine._build({**_architecture()}, 3).eval()
    # Random weights say nearly the same of every image: make what little there is count.
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_var.mul_(0.3)
        model.model[-1].linear.weight.mul_(40)
    model.names = {index: class_name(index) for index in range(3)}
    settings = TrainSettings(
        architecture="yolo11n",
        classes=outputs(3),
        hyperparameters=Hyperparameters(image_size=32, batch_size=4),
        variation=Variation(),
        device="cpu",
        threads=1,
        workers=0,
        primary_metric="top-1",
        confidence=0.001,
        iou=0.7,
    )
    found = engine.evaluate(model, layout, "val", settings, tmp_path, None)
    expected = np.zeros((3, 3), dtype=int)
    right = {}
    for path in sorted((layout / "val").glob("*/*.png")):
        truth = int(path.parent.name)
        probabilities = _asked(model, path)
        expected[truth, int(probabilities.argmax())] += 1
        right[path.name] = float(probabilities[truth])
    assert found.confusion is not None
    assert found.confusion.matrix.tolist() == expected.tolist()
    assert {image.name: image.score for image in found.images} == pytest.approx(right, abs=1e-4)
    assert len(set(right.values())) > 5
    assert found.metrics["top-1"] == pytest.approx(np.trace(expected) / 11)
    assert all(math.isfinite(value) for value in found.metrics.values())
    # No image shows class 1, which is no error.
    assert found.classes[1].metrics == {}
    assert "ERROR" not in capsys.readouterr().out
    # The library would take those of the whole machine.
    assert torch.get_num_threads() == threads


def _architecture() -> dict[str, object]:
    from ultralytics.nn.tasks import yaml_model_load

    return dict(yaml_model_load("yolo11n-cls.yaml"))


def _asked(model: torch.nn.Module, path: Path) -> torch.Tensor:
    from PIL import Image
    from ultralytics.data.augment import classify_transforms

    with Image.open(path) as image, torch.inference_mode():
        answer = model(classify_transforms(32)(image.convert("RGB"))[None])
    probabilities: torch.Tensor = (answer[0] if isinstance(answer, tuple) else answer)[0]
    return probabilities
