"""Each variation acts, and none leaves images as they are in use."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw
from ultralytics.data.augment import classify_transforms

from trainyard.api.capability import Output
from trainyard.api.template import Augmentation, Hyperparameters
from trainyard_trainer.engines import classify, detect
from trainyard_trainer.engines.augment import Variation, resolve, vary_pixels
from trainyard_trainer.engines.base import Example, TrainSettings
from trainyard_trainer.engines.training import arguments

SIDE = 64


def test_the_preset_is_what_its_name_says() -> None:
    assert resolve(Augmentation()) == Variation(15.0, 0.4, 0.02)
    assert resolve(Augmentation.model_validate({"preset": "none"})) == Variation()


def test_a_field_of_its_own_wins_over_the_preset() -> None:
    wanted = {"rotationDegrees": 0, "noise": 0.1, "flip": 0.5, "mosaic": 1, "scale": 0.3}
    assert resolve(Augmentation.model_validate(wanted)) == Variation(0.0, 0.4, 0.1, 0.5, 0.3, 1.0)
    assert resolve(Augmentation.model_validate({"preset": "none", "exposure": 0.2})) == Variation(
        exposure=0.2
    )


def test_no_exposure_and_no_noise_leave_pixels_as_they_are() -> None:
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(vary_pixels(images, 0.0, 0.0), images)


def test_exposure_scales_each_image_by_its_own_factor_within_bounds() -> None:
    torch.manual_seed(0)
    images = torch.full((500, 3, 4, 4), 0.5)
    varied = vary_pixels(images, 0.4, 0.0)
    assert (varied.flatten(1).std(1) < 1e-6).all()
    factors = varied[:, 0, 0, 0] / 0.5
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4


def test_noise_has_the_strength_asked_for_and_no_bias() -> None:
    torch.manual_seed(0)
    images = torch.full((200, 3, 32, 32), 0.5)
    difference = (vary_pixels(images, 0.0, 0.02) - images).flatten(1)
    strengths = difference.std(1)
    assert strengths.min() < 0.002
    assert 0.018 < strengths.max() < 0.0205
    assert abs(float(difference.mean())) < 1e-3


def test_pixels_stay_in_range() -> None:
    torch.manual_seed(0)
    varied = vary_pixels(torch.rand(50, 3, 8, 8), 0.9, 0.5)
    assert float(varied.min()) >= 0.0
    assert float(varied.max()) <= 1.0


# --- as the engines really feed them -----------------------------------------------------------


def settings(variation: Variation) -> TrainSettings:
    return TrainSettings(
        architecture="yolo11n",
        classes=(
            Output(attribute="class", value="disc", position=0),
            Output(attribute="class", value="square", position=1),
        ),
        hyperparameters=Hyperparameters(epochs=2, batch_size=4, image_size=SIDE),
        variation=variation,
        device="cpu",
        threads=1,
        workers=0,
        primary_metric="top-1",
        confidence=0.001,
        iou=0.7,
    )


def bar(side: int = SIDE) -> Image.Image:
    """A horizontal bright bar on grey: its angle can be measured."""
    image = Image.new("RGB", (side, side), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((8, side // 2 - 3, side - 9, side // 2 + 3), fill=(200,) * 3)
    return image


def angle(image: npt.NDArray[np.float32]) -> float:
    """Degrees by which the bright part lies off the horizontal; image [H, W]."""
    rows, columns = np.nonzero(image > np.median(image) + 0.15)
    covariance = np.cov(columns, rows)
    _, vectors = np.linalg.eigh(covariance)
    x, y = vectors[:, -1]
    return float(np.degrees(np.arctan2(y, x)) + 90) % 180 - 90


def batches(engine: Any, root: Path, variation: Variation, tmp_path: Path) -> list[torch.Tensor]:
    """What the engine's own trainer feeds the model, float [B, 3, H, W], three times over."""
    made = settings(variation)
    trainer = engine._trainer()(overrides=arguments(made, engine.suffix, root, tmp_path / "engine"))
    trainer.settings = made
    if engine.task == "detect":
        # Batches of a detector need the model's stride only.
        trainer.model = SimpleNamespace(stride=torch.tensor([32.0]))
    path = trainer.data["train"]
    loader = trainer.get_dataloader(str(path), batch_size=4, rank=-1, mode="train")
    trainer.device = torch.device("cpu")
    return [trainer.preprocess_batch(batch)["img"] for _ in range(3) for batch in loader]


def classifier_data(root: Path) -> Path:
    for split in ("train", "val"):
        for index in range(2):
            for number in range(4):
                path = root / split / f"{index:05d}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                bar().save(path)
    return root


def detector_data(root: Path) -> Path:
    engine = detect.Detector()
    for split in ("train", "dev"):
        for number in range(8):
            path = engine.place(root, split, f"{number}.png", Example(("0 0.5 0.5 0.75 0.12",)))
            path.parent.mkdir(parents=True, exist_ok=True)
            bar().save(path)
    return engine.finish_layout(root, 2)


ENGINES = {
    "yolo-cls": (classify.Classifier, classifier_data),
    "yolo-det": (detect.Detector, detector_data),
}


@pytest.fixture(params=ENGINES)
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Gives the train images [N, 3, H, W] of an engine under a variation."""
    engine, data = ENGINES[request.param]

    def images(variation: Variation) -> torch.Tensor:
        return torch.cat(batches(engine(), data(tmp_path / "data"), variation, tmp_path))

    return images


def plain() -> torch.Tensor:
    tensor: torch.Tensor = classify_transforms(size=SIDE)(bar())
    return tensor


def test_without_variation_a_train_image_is_the_image_itself(feed: Any) -> None:
    images = feed(Variation())
    assert len(images) == 24
    assert torch.allclose(images, plain().expand_as(images), atol=1 / 255)


def test_rotation_turns_images_both_ways_within_its_bound(feed: Any) -> None:
    angles = [angle(image[0].numpy()) for image in feed(Variation(rotation_degrees=15.0))]
    assert min(angles) < -3
    assert max(angles) > 3
    assert all(abs(value) < 17 for value in angles)


def test_exposure_reaches_the_model(feed: Any) -> None:
    ratios = feed(Variation(exposure=0.4)).flatten(1).mean(1) / float(plain().mean())
    assert float(ratios.min()) < 0.9
    assert float(ratios.max()) > 1.1
    assert float(ratios.min()) > 0.59
    assert float(ratios.max()) < 1.41


def test_noise_reaches_the_model(feed: Any) -> None:
    images = feed(Variation(noise=0.1))
    # The ground of the picture has one colour, so all deviation there is noise.
    deviations = images[:, :, :12, :12].flatten(1).std(1)
    assert float(deviations.max()) > 0.03
    assert float(deviations.max()) < 0.11
    assert float(feed(Variation())[:, :, :12, :12].flatten(1).std(1).max()) < 1e-4


def test_flip_mirrors_images_of_both_engines(tmp_path: Path) -> None:
    for name, (engine, data) in ENGINES.items():
        root = data(tmp_path / name)
        for path in (tmp_path / name).rglob("*.png"):
            image = bar()
            ImageDraw.Draw(image).rectangle((0, 0, 10, SIDE), fill=(0, 0, 0))
            image.save(path)
        found = torch.cat(batches(engine(), root, Variation(flip=0.5), tmp_path / name))
        dark_left = found[:, 0, 2, :8].mean(1) < 0.1
        assert 0 < int(dark_left.sum()) < len(found), name


def test_boxes_turn_with_their_image(tmp_path: Path) -> None:
    made = settings(Variation(rotation_degrees=15.0))
    engine = detect.Detector()
    root = detector_data(tmp_path / "data")
    trainer = engine._trainer()(overrides=arguments(made, engine.suffix, root, tmp_path / "engine"))
    trainer.settings, trainer.device = made, torch.device("cpu")
    trainer.model = SimpleNamespace(stride=torch.tensor([32.0]))
    loader = trainer.get_dataloader(str(trainer.data["train"]), 8, -1, "train")
    heights = torch.cat([batch["bboxes"][:, 3] for _ in range(3) for batch in loader])
    # A bar of 48 x 7 pixels that is turned by 15 degrees is 19 pixels high.
    assert float(heights.max()) > 0.2
    assert float(heights.min()) < 0.2
