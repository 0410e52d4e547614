"""Images of any size are learnt from and judged: the library leaves small ones out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from ultralytics.data.augment import classify_transforms

from tests.unit.labelled import image_bytes
from tests.unit.trainer.untrained import OUTPUTS
from trainyard.api.capability import CapabilityType
from trainyard.api.template import Engine, Hyperparameters
from trainyard.datasets.labels import Label
from trainyard.datasets.samples import Sample
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.augment import Variation
from trainyard_trainer.engines.base import TrainSettings, Watcher
from trainyard_trainer.engines.class_folders import Middle, plain_transforms
from trainyard_trainer.engines.classify import train_transforms

SIZES = [(1, 1), (3, 200), (9, 9), (6_000, 4), (64, 64)]
OUTLINE = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
"""The whole image."""


@pytest.mark.parametrize(
    ("kind", "element", "label"),
    [
        (Engine.YOLO_CLS, CapabilityType.IMAGE_CLASSIFIER, ("image", ())),
        (Engine.YOLO_DET, CapabilityType.DETECTOR, ("box", (0.0, 0.0, 1.0, 1.0))),
        (Engine.YOLO_SEG, CapabilityType.DETECTOR, ("polygon", OUTLINE)),
    ],
)
def test_images_of_one_pixel_and_of_thousands_are_trained_on_and_judged(
    kind: Engine, element: CapabilityType, label: tuple[str, tuple[float, ...]], tmp_path: Path
) -> None:
    engine = engine_for(kind, element)
    classes = {("class", output.value): output.position for output in OUTPUTS}
    for split in ("train", "dev"):
        for number, (width, height) in enumerate(SIZES * 2):
            value = OUTPUTS[number % 2].value
            shown = Label("class", value, *label)  # type: ignore[arg-type]
            sample = Sample(b"d" * 32, "a.png", width, height, 0, 0, 1, (shown,))
            (example,) = engine.examples_of(sample, classes) or []
            path = engine.place(tmp_path / "data", split, f"{number}.png", example)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_bytes(number, (width, height)))
    data = engine.finish_layout(tmp_path / "data", 2)
    settings = TrainSettings(
        architecture="yolo11n",
        classes=OUTPUTS,
        hyperparameters=Hyperparameters(epochs=1, batch_size=4, image_size=64),
        variation=Variation(rotation_degrees=10, exposure=0.2, flip=0.5, scale=0.2),
        device="cpu",
        threads=1,
        workers=0,
        primary_metric=engine.default_metric,
        confidence=0.001,
        iou=0.7,
    )
    steps: list[int] = []
    watcher = Watcher(steps.append, lambda: None, lambda report, saved: None)
    trained = engine.train(settings, data, tmp_path / "engine", watcher)
    assert steps == [3]
    model = engine.build(trained.architecture, 2, trained.state)
    result = engine.evaluate(model, data, "val", settings, tmp_path / "val")
    assert result.samples == 2 * len(SIZES)
    assert [one.samples for one in result.classes] == [5, 5]


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (20_000, 20), (50, 40)])
def test_a_line_of_pixels_does_not_become_gigabytes(size: tuple[int, int]) -> None:
    """Its short side is fitted: in full, 20,000 pixels in a line become 8 billion."""
    image = Image.new("RGB", size, (90, 120, 30))
    for transforms in (plain_transforms(640), train_transforms(640, Variation())):
        ready = transforms(image)
        assert ready.shape == (3, 640, 640)
        assert ready[1].mean() == pytest.approx(120 / 255, abs=1e-3)


def test_what_is_cut_off_before_is_what_the_model_would_not_see() -> None:
    image = Image.effect_noise((401, 12), 80).convert("RGB")
    whole = classify_transforms(size=24)(image)
    assert Middle()(image).width < image.width
    assert torch.allclose(plain_transforms(24)(image), whole, atol=2 / 255)


def test_an_image_of_usual_proportions_is_not_cut() -> None:
    image = Image.new("RGB", (320, 10))
    assert Middle()(image) is image
