"""Each variation acts, and none leaves images as they are in use."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw
from pydantic.alias_generators import to_camel

from trainyard.api.capability import Output
from trainyard.api.template import Augmentation, Engine, Hyperparameters
from trainyard.datasets.labels import Label
from trainyard_trainer import sheet
from trainyard_trainer.engines import classify, detect, embed, embed_training, segment
from trainyard_trainer.engines.augment import PRESETS, Variation, resolve, vary_pixels
from trainyard_trainer.engines.base import Example, Seen, TrainSettings, Watcher, bounds
from trainyard_trainer.engines.embedding import EmbeddingNetwork, backbone
from trainyard_trainer.engines.seen import FirstSeen
from trainyard_trainer.engines.training import arguments

SIDE = 64


def resolved(engine: Engine = Engine.YOLO_SEG, **fields: Any) -> Variation:
    return resolve(Augmentation.model_validate(fields), engine)


@pytest.mark.parametrize("engine", Engine)
def test_the_preset_is_what_its_name_says(engine: Engine) -> None:
    assert resolved(engine) == Variation(15.0, 0.4, 0.02)
    assert resolved(engine, preset="none") == Variation()


def test_every_preset_is_described_with_its_values() -> None:
    text = Augmentation.model_json_schema()["properties"]["preset"]["description"]
    for preset, variation in PRESETS.items():
        described = re.search(rf"`{preset}`: ((.|\n(?!\n))*)", text)
        assert described is not None, preset
        for name, value in dataclasses.asdict(variation).items():
            word = to_camel(name).removesuffix("Degrees")
            assert (f" {word} {value:g}" in f" {described[1]}") == (value > 0), (preset, name)


def test_a_preset_turns_upright_boxes_a_little_only() -> None:
    assert resolved(Engine.YOLO_SEG, preset="any-orientation").rotation_degrees == 180
    assert resolved(Engine.YOLO_DET, preset="any-orientation").rotation_degrees == 20
    asked_for = resolved(Engine.YOLO_DET, preset="any-orientation", rotationDegrees=90)
    assert asked_for.rotation_degrees == 90


def test_a_field_of_its_own_wins_over_the_preset() -> None:
    wanted = {"rotationDegrees": 0, "noise": 0.1, "flip": 0.5, "mosaic": 1, "scale": 0.3}
    assert resolved(**wanted) == Variation(0.0, 0.4, 0.1, flip=0.5, scale=0.3, mosaic=1.0)
    assert resolved(preset="none", exposure=0.2) == Variation(exposure=0.2)
    assert resolved(preset="none", verticalFlip=0.2) == Variation(vertical_flip=0.2)


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

CLASSES = ("disc", "square")


def settings(variation: Variation, **extra: bool) -> TrainSettings:
    return TrainSettings(
        architecture="yolo11n",
        classes=tuple(
            Output(attribute="class", value=value, position=position)
            for position, value in enumerate(CLASSES)
        ),
        hyperparameters=Hyperparameters(epochs=2, batch_size=4, image_size=SIDE),
        variation=variation,
        device="cpu",
        threads=1,
        workers=0,
        primary_metric="top-1",
        confidence=0.001,
        iou=0.7,
        extra=extra,
        dimensions=8,
    )


def bar() -> Image.Image:
    """A horizontal bright bar on grey: its angle can be measured."""
    image = Image.new("RGB", (SIDE, SIDE), (90, 90, 90))
    pen = ImageDraw.Draw(image)
    pen.rectangle((8, SIDE // 2 - 3, SIDE - 9, SIDE // 2 + 3), fill=(200,) * 3)
    return image


def angle(image: npt.NDArray[np.float32]) -> float:
    """Degrees by which the bright part lies off the horizontal; image [H, W]."""
    rows, columns = np.nonzero(image > np.median(image) + 0.15)
    covariance = np.cov(columns, rows)
    _, vectors = np.linalg.eigh(covariance)
    x, y = vectors[:, -1]
    return float(np.degrees(np.arctan2(y, x)) + 90) % 180 - 90


Picture = Callable[[], Image.Image]


def of_folders(_: Any, root: Path, picture: Picture) -> Path:
    for split in ("train", "dev"):
        for number in range(8):
            path = root / split / f"{number % 2:05d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture().save(path)
    return root


def of_label_files(line: str) -> Callable[[Any, Path, Picture], Path]:
    def lay_out(engine: Any, root: Path, picture: Picture) -> Path:
        for split in ("train", "dev"):
            for number in range(8):
                path = engine.place(root, split, f"{number}.png", Example((line,)))
                path.parent.mkdir(parents=True, exist_ok=True)
                picture().save(path)
        data: Path = engine.finish_layout(root, 2)
        return data

    return lay_out


EDGES = (8 / SIDE, 29 / SIDE, 56 / SIDE, 36 / SIDE)
"""x_min, y_min, x_max, y_max of the bar."""
LEFT, TOP, RIGHT, BOTTOM = EDGES
BOX = f"1 0.5 {(TOP + BOTTOM) / 2} {RIGHT - LEFT} {BOTTOM - TOP}"
POLYGON = f"1 {LEFT} {TOP} {RIGHT} {TOP} {RIGHT} {BOTTOM} {LEFT} {BOTTOM}"
ENGINES: dict[str, tuple[Any, Callable[[Any, Path, Picture], Path]]] = {
    "yolo-cls": (classify.Classifier, of_folders),
    "yolo-det": (detect.Detector, of_label_files(BOX)),
    "yolo-seg": (segment.Segmenter, of_label_files(POLYGON)),
    "embedder": (embed.Embedder, of_folders),
}
DETECTORS = ("yolo-det", "yolo-seg")


class Feed:
    """What an engine's own training feeds its model under a variation."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.name, self._folder = engine, folder

    def seen(
        self, variation: Variation, picture: Picture = bar, repeat: int = 3, **extra: bool
    ) -> list[Seen]:
        """The eight train images of its first batches, so many times over."""
        kind, lay_out = ENGINES[self.name]
        engine, made = kind(), settings(variation, **extra)
        data = lay_out(engine, self._folder / "data", picture)
        images: list[Seen] = []
        for number in range(repeat):
            if self.name == "embedder":
                images += self._of_embedder(made, data, number)
            else:
                images += self._of_library(engine, made, data, number)
        return images

    def _of_embedder(self, made: TrainSettings, data: Path, seed: int) -> list[Seen]:
        hyper = made.hyperparameters.model_copy(update={"seed": seed, "epochs": 1})
        training = embed_training.Training(
            EmbeddingNetwork(backbone("yolo11n-cls.yaml", 8), 8, 2),
            dataclasses.replace(made, hyperparameters=hyper),
            data / "train",
            classify.train_transforms(SIDE, made.variation),
            self._folder,
        )
        watcher = Watcher(lambda _: None, lambda: None, lambda *_: None)
        training.run(watcher, lambda _: {"top-1": 0.0})
        return list(training.seen)

    def judged(self) -> list[torch.Tensor]:
        """The batches of dev that a detector is judged on while it is trained."""
        kind, lay_out = ENGINES[self.name]
        engine, made = kind(), settings(Variation())
        data = lay_out(engine, self._folder / "data", bar)
        trainer = self._trainer(engine, made, data, 0)
        loader = trainer.get_dataloader(str(trainer.data["val"]), 4, -1, "val")
        return [batch["img"] for batch in loader]

    def _of_library(self, engine: Any, made: TrainSettings, data: Path, seed: int) -> list[Seen]:
        trainer = self._trainer(engine, made, data, seed)
        loader = trainer.get_dataloader(str(trainer.data["train"]), 4, -1, "train")
        for batch in loader:
            trainer.preprocess_batch(batch)
        return list(trainer.seen.images)

    def _trainer(self, engine: Any, made: TrainSettings, data: Path, seed: int) -> Any:
        given = arguments(made, engine.suffix, data, self._folder / "engine") | {"seed": seed}
        trainer = engine._trainer()(overrides=given)
        trainer.settings = made
        trainer.seen = FirstSeen(made, engine._shapes_of(made))
        # Batches of a detector need the model's stride only.
        trainer.model = SimpleNamespace(stride=torch.tensor([32.0]))
        trainer.device = torch.device("cpu")
        return trainer


@pytest.fixture(params=ENGINES)
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Feed:
    return Feed(request.param, tmp_path)


@pytest.fixture(params=DETECTORS)
def detector(request: pytest.FixtureRequest, tmp_path: Path) -> Feed:
    return Feed(request.param, tmp_path)


def pixels(images: list[Seen]) -> npt.NDArray[np.float32]:
    """Float [N, H, W, 3] in 0..1."""
    return np.stack([image.pixels for image in images]).astype(np.float32) / 255


PLAIN = np.asarray(bar(), np.float32) / 255


def test_without_variation_a_train_image_is_the_image_itself(feed: Feed) -> None:
    images = pixels(feed.seen(Variation()))
    assert len(images) == 24
    assert np.allclose(images, PLAIN, atol=1 / 255)


def test_rotation_turns_images_both_ways_within_its_bound(feed: Feed) -> None:
    images = pixels(feed.seen(Variation(rotation_degrees=15.0)))
    angles = [angle(image[..., 0]) for image in images]
    assert min(angles) < -3
    assert max(angles) > 3
    assert all(abs(value) < 17 for value in angles)


def test_exposure_reaches_the_model(feed: Feed) -> None:
    images = pixels(feed.seen(Variation(exposure=0.4)))
    ratios = images.mean((1, 2, 3)) / PLAIN.mean()
    assert 0.59 < ratios.min() < 0.9
    assert 1.1 < ratios.max() < 1.41


def test_noise_reaches_the_model(feed: Feed) -> None:
    # The ground of the picture has one colour, so all deviation there is noise.
    def deviations(variation: Variation) -> npt.NDArray[np.float32]:
        return pixels(feed.seen(variation))[:, :12, :12].std((1, 2, 3))

    assert 0.03 < deviations(Variation(noise=0.1)).max() < 0.11
    assert deviations(Variation()).max() < 1e-4


@pytest.mark.parametrize("way", ["flip", "vertical_flip"])
def test_flips_mirror_about_half_of_the_images(feed: Feed, way: str) -> None:
    def marked() -> Image.Image:
        image = bar()
        edge = (0, 0, 5, SIDE) if way == "flip" else (0, 0, SIDE, 5)
        ImageDraw.Draw(image).rectangle(edge, fill=(0, 0, 0))
        return image

    images = pixels(feed.seen(Variation(**{way: 0.5}), marked))
    begin = images[:, 20, :4] if way == "flip" else images[:, :4, 20]
    dark = begin.mean((1, 2)) < 0.1
    assert 4 < dark.sum() < len(images) - 4


def test_scale_makes_images_larger_and_smaller_within_its_bound(feed: Feed) -> None:
    images = pixels(feed.seen(Variation(scale=0.3)))
    # The height of the bar, 7 pixels of 64, in the middle.
    heights = (images[:, :, SIDE // 2, 0] > 0.6).sum(1)
    assert 4 <= heights.min() < 7 < heights.max() <= 10


def test_mosaic_joins_images_of_detectors_with_their_labels(detector: Feed) -> None:
    counts = [len(image.labels) for image in detector.seen(Variation(mosaic=1.0))]
    assert max(counts) > 1
    assert all(len(image.labels) == 1 for image in detector.seen(Variation()))


def test_mosaic_leaves_classifiers_and_embedders_alone(tmp_path: Path) -> None:
    for name in ENGINES.keys() - DETECTORS:
        images = pixels(Feed(name, tmp_path / name).seen(Variation(mosaic=1.0), repeat=1))
        assert np.allclose(images, PLAIN, atol=1 / 255)


def test_whole_images_keep_their_class(tmp_path: Path) -> None:
    for name in ENGINES.keys() - DETECTORS:
        seen = Feed(name, tmp_path / name).seen(Variation(rotation_degrees=90.0))
        assert {image.labels for image in seen} == {
            (Label("class", value, "image"),) for value in CLASSES
        }


def lit(image: Seen) -> tuple[float, ...]:
    """x_min, y_min, x_max, y_max of the bright part, in 0..1."""
    rows, columns = np.nonzero(image.pixels[..., 0] > 150)
    return tuple(
        float(edge) / SIDE
        for edge in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    )


def off_centre() -> Image.Image:
    """A bright square, which no flip leaves where it is."""
    image = Image.new("RGB", (SIDE, SIDE), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((8, 16, 23, 31), fill=(220,) * 3)
    return image


SQUARE = (8 / SIDE, 16 / SIDE, 24 / SIDE, 32 / SIDE)
VARIATIONS = {
    "nothing": Variation(),
    "rotation": Variation(rotation_degrees=90.0),
    "flip": Variation(flip=0.5),
    "vertical flip": Variation(vertical_flip=0.5),
    "scale": Variation(scale=0.3),
    "all": Variation(45.0, 0.1, 0.01, flip=0.5, vertical_flip=0.5, scale=0.2),
}


@pytest.mark.parametrize("overlap", [True, False], ids=["masks in one", "masks apart"])
@pytest.mark.parametrize("name", VARIATIONS)
def test_labels_move_with_the_pixels(
    detector: Feed, name: str, overlap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if detector.name == "yolo-det" and not overlap:
        return
    left, top, right, bottom = SQUARE
    lines = {
        "yolo-det": f"1 {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}",
        "yolo-seg": f"1 {left} {top} {right} {top} {right} {bottom} {left} {bottom}",
    }
    line = lines[detector.name]
    monkeypatch.setitem(ENGINES, detector.name, (ENGINES[detector.name][0], of_label_files(line)))
    extra = {} if detector.name == "yolo-det" else {"overlap_mask": overlap}
    places = set()
    for image in detector.seen(VARIATIONS[name], off_centre, **extra):
        (label,) = image.labels
        assert (label.attribute, label.value) == ("class", "square")
        edges = bounds(label)
        # A turned box becomes the upright one around it, and masks have a quarter of the pixels.
        loose = detector.name == "yolo-det" and VARIATIONS[name].rotation_degrees > 0
        allowed = (2.5 if detector.name == "yolo-det" else 5) / SIDE
        for edge, found in zip(lit(image), edges, strict=True):
            assert loose or edge == pytest.approx(found, abs=allowed)
        middle = [(edges[axis] + edges[axis + 2]) / 2 for axis in (0, 1)]
        shown = [(lit(image)[axis] + lit(image)[axis + 2]) / 2 for axis in (0, 1)]
        assert middle == pytest.approx(shown, abs=allowed)
        places.add(tuple(round(edge * SIDE) for edge in edges))
    assert (len(places) > 1) == (name != "nothing")


def test_the_first_images_are_kept_and_no_more_and_nothing_random_is_used_up() -> None:
    made = settings(Variation())
    kept = FirstSeen(made, ENGINES["yolo-cls"][0]()._shapes_of(made))
    batch = {"img": torch.rand(7, 3, 8, 8), "cls": torch.zeros(7)}
    state = torch.get_rng_state()
    for count in (7, 14, 16, 16):
        kept.look(batch)
        assert len(kept.images) == count
    assert torch.equal(torch.get_rng_state(), state)


def test_the_sheet_shows_every_image_with_its_class(tmp_path: Path) -> None:
    grey = np.full((32, 32, 3), 90, np.uint8)
    shown = [
        Seen(grey, (Label("class", "disc", "image"),)),
        Seen(grey, (Label("class", "square", "box", (0.2, 0.2, 0.7, 0.7)),)),
        Seen(grey, (Label("class", "disc", "polygon", (0.2, 0.2, 0.7, 0.2, 0.5, 0.8)),)),
        Seen(grey, ()),
        Seen(grey, ()),
    ]
    sheet.draw(shown, "a title", tmp_path / "batch.png")
    with Image.open(tmp_path / "batch.png") as picture:
        assert picture.format == "PNG"
        # Four in a row, and one below.
        assert picture.width > 4 * 240
        assert picture.height > 2 * 240


def test_dev_is_judged_on_the_squares_that_a_model_is_used_on(detector: Feed) -> None:
    for batch in detector.judged():
        # A border would be of the library's making: neither training nor use has it.
        assert batch.shape[1:] == (3, SIDE, SIDE)
