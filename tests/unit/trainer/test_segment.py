"""Outlines: from a mask of the model's input to a polygon of the image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw
from ultralytics.nn.tasks import SegmentationModel
from ultralytics.utils.ops import process_mask_native

from tests.unit.trainer.untrained import described
from trainyard.api.capability import CapabilityType
from trainyard.datasets.formats.outlines import area, parts_of
from trainyard_trainer.engines.segment import FINEST, Segmenter, outline

SIZE = 160
FINE = 4
"""Shapes are compared in pixels so many times smaller."""


def disc(sides: tuple[int, int], x: float, y: float, radius: float) -> torch.Tensor:
    """A mask [40, 40] of the model's input: a disc of pixels of the image, which is letterboxed."""
    gain = SIZE / max(sides)
    left, top = ((SIZE - round(side * gain)) // 2 for side in sides)
    down, across = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    columns = ((across + 0.5) * 4 - left) / gain
    rows = ((down + 0.5) * 4 - top) / gain
    return radius - ((columns - x) ** 2 + (rows - y) ** 2).sqrt()


def filled(points: tuple[float, ...], sides: tuple[int, int]) -> npt.NDArray[np.bool_]:
    width, height = sides[0] * FINE, sides[1] * FINE
    image = Image.new("1", (width, height))
    pairs = zip(points[::2], points[1::2], strict=True)
    ImageDraw.Draw(image).polygon([(x * width, y * height) for x, y in pairs], fill=1)
    return np.asarray(image)


def overlap(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("sides", [(300, 200), (200, 300), (160, 160), (31, 97)])
def test_an_outline_lies_where_the_mask_is_in_an_image_of_any_shape(sides: tuple[int, int]) -> None:
    x, y, radius = sides[0] * 0.4, sides[1] * 0.6, min(sides) * 0.3
    box = (x - radius, y - radius, x + radius, y + radius)
    points = outline(disc(sides, x, y, radius), box, SIZE, sides)
    true = Image.new("1", (sides[0] * FINE, sides[1] * FINE))
    ImageDraw.Draw(true).ellipse([side * FINE for side in box], fill=1)
    assert overlap(filled(points, sides), np.asarray(true)) > 0.93


def test_what_lies_outside_of_the_box_does_not_count() -> None:
    points = outline(disc((300, 200), 120, 90, 40), (70, 40, 120.4, 140), SIZE, (300, 200))
    assert max(points[::2]) * 300 == pytest.approx(120)
    assert min(points[::2]) * 300 == pytest.approx(80, abs=1.5)


def test_of_several_parts_the_largest_is_the_outline() -> None:
    mask = torch.maximum(disc((160, 160), 40, 80, 20), disc((160, 160), 120, 80, 30))
    points = outline(mask, (0, 0, 160, 160), SIZE, (160, 160))
    assert min(points[::2]) * 160 == pytest.approx(90, abs=2)
    assert max(points[::2]) * 160 == pytest.approx(150, abs=2)


@pytest.mark.parametrize("box", [(70, 40, 170, 140), (300, 200, 300, 200), (20, 20, 20, 40)])
def test_an_empty_mask_has_no_outline(box: tuple[float, ...]) -> None:
    assert outline(disc((300, 200), 120, 90, 40) - 1000, box, SIZE, (300, 200)) == ()


def test_outlines_of_a_huge_image_take_no_more_memory_than_those_of_a_large_one() -> None:
    sides = (60_000, 40_000)
    mask = disc(sides, 30_000, 20_000, 18_000)
    points = outline(mask, (0, 0, 60_000, 40_000), SIZE, sides)
    assert len(points) < 2 * FINEST
    assert min(points[1::2]) * 40_000 == pytest.approx(2_000, abs=200)
    assert max(points[::2]) * 60_000 == pytest.approx(48_000, abs=200)


def test_an_outline_is_that_of_the_mask_which_the_library_draws() -> None:
    generator = torch.Generator().manual_seed(4)
    small = torch.randn((1, 8, 5, 5), generator=generator)
    prototypes = torch.nn.functional.interpolate(small, (40, 40), mode="bicubic")[0]
    weights = torch.randn((6, 8), generator=generator)
    box = torch.tensor([[10.0, 8.0, 110.0, 90.0]]).repeat(6, 1)
    # A square image, so that nothing but the box and the mixture matters.
    drawn = process_mask_native(prototypes, weights, box, (160, 160))
    for weight, mask in zip(weights, drawn, strict=True):
        points = outline(
            (weight @ prototypes.flatten(1)).view(40, 40), box[0].tolist(), 160, (160, 160)
        )
        largest = max(parts_of(mask.numpy().astype(bool)), key=area) / 160
        ours, library = (filled(tuple(x), (160, 160)) for x in (points, largest.ravel().tolist()))
        assert overlap(ours, library) > 0.97


@pytest.mark.parametrize("architecture", ["yolov8n", "yolo11n", "yolo26n"])
def test_every_architecture_gives_outlines(architecture: str) -> None:
    torch.manual_seed(0)
    network = SegmentationModel(f"{architecture}-seg.yaml", nc=2, verbose=False)
    engine = Segmenter()
    config = described(network, engine, CapabilityType.DETECTOR, size=64, confidence=0)
    built = engine.build(config.model, 2, network.state_dict())
    answers = engine.predict(built, Image.new("RGB", (90, 60), (200, 30, 90)), config)
    # A model that has learnt nothing finds something everywhere, with next to no confidence.
    assert answers
    for answer in answers:
        assert answer.geometry == "polygon"
        assert len(answer.points) >= 6
        assert all(0 <= number <= 1 for number in answer.points)
    with torch.inference_mode():
        given = engine.asked(built)(engine.inputs(Image.new("RGB", (90, 60)), config))
    assert [tuple(one.shape[:2]) for one in given] == [(1, 4 + 2 + 32), (1, 32)]
    assert len(engine.outputs) == len(given)
