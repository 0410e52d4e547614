"""examples/onnx: config.yaml is enough to use model.onnx, with neither Trainyard nor torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.ops import box_iou

from tests.unit.trainer.pods import Models
from trainyard.datasets.formats.outlines import area, parts_of
from trainyard_trainer import model
from trainyard_trainer.engines.base import Box

EXAMPLES = Path(__file__).parents[3] / "examples" / "onnx"
NOT_NEEDED = (
    "torch",
    "torchvision",
    "cv2",
    "ultralytics",
    "scipy",
    "trainyard",
    "trainyard_trainer",
)
ALONE = (
    "import runpy, sys\n"
    f"for name in {NOT_NEEDED}: sys.modules[name] = None\n"
    "sys.argv = sys.argv[1:]\n"
    "sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)


def said(example: str, folder: Path, image: Path, *more: str) -> list[dict[str, Any]]:
    """What an example prints, run where importing anything that it should not need fails."""
    command = [EXAMPLES / example, folder / "model.onnx", folder / "config.yaml", image, *more]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, command)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def images(models: Models, tmp_path: Path) -> list[Path]:
    """Held-out images: as they are, larger and wide, larger and high, turned by the file."""
    small = models.held_out()
    with Image.open(small[2]) as image:
        large = image.resize((192, 192), Image.Resampling.NEAREST)
    for name, sides in (
        ("wide.png", (240, 192)),
        ("high.jpg", (192, 230)),
        ("turned.jpg", (250, 192)),
    ):
        canvas = Image.new("RGB", sides, (20, 20, 20))
        canvas.paste(large, (sides[0] - 192, 0))
        exif = Image.Exif()
        exif[0x0112] = 6 if name.startswith("turned") else 1
        canvas.save(tmp_path / name, exif=exif, quality=95)
    return [*small, *(tmp_path / name for name in ("wide.png", "high.jpg", "turned.jpg"))]


@pytest.fixture
def copied(models: Models, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a detector with whose thresholds it says more, which has to be suppressed."""

    def copy(kind: str) -> Path:
        folder = tmp_path / kind
        shutil.copytree(models.of(kind), folder)
        config = model.read_config(folder / "config.yaml")
        said_more = config.thresholds.model_copy(update={"confidence": 0.002, "iou": 0.5})
        changed = config.model_copy(update={"thresholds": said_more})
        model.write_config(folder / "config.yaml", changed)
        return folder

    return copy


def test_boxes_are_those_of_the_model(copied: Callable[[str], Path], images: list[Path]) -> None:
    folder = copied("yolo-det")
    predictor = model.load(folder / "model.pth", folder / "config.yaml")
    total = 0
    for path in images:
        right = predictor.predict_file(path)
        found = said("detect.py", folder, path)
        # OpenCV rounds its weights: some pixels differ by one level of grey.
        assert len(found) == pytest.approx(len(right), rel=0.1, abs=1), path.name
        sides = [[line["box"] for line in found], [answer.points for answer in right]]
        overlaps = box_iou(*(torch.tensor(boxes).reshape(-1, 4) for boxes in sides)).numpy()
        for line, row in zip(found, overlaps, strict=True):
            if line["confidence"] > 0.1:
                alike = right[int(row.argmax())]
                assert row.max() > 0.95, path.name
                assert line["class"] == alike.output.value
                assert line["confidence"] == pytest.approx(alike.confidence, abs=0.02)
        total += sum(line["confidence"] > 0.1 for line in found)
    assert total >= 5


def test_the_best_mask_is_the_outline_of_the_model(
    copied: Callable[[str], Path], images: list[Path], tmp_path: Path
) -> None:
    folder = copied("yolo-seg")
    predictor = model.load(folder / "model.pth", folder / "config.yaml")
    for path in images:
        right = predictor.predict_file(path)
        line = said("segment.py", folder, path, str(tmp_path / "masks.png"))[0]
        mask = np.asarray(Image.open(tmp_path / "masks.png")) == 1
        # An outline is that of the largest part, without holes.
        found = drawn(max(parts_of(mask), key=area), mask.shape)
        overlaps = []
        for answer in right[:3]:
            corners = np.array(answer.points).reshape(-1, 2) * mask.shape[::-1]
            expected = drawn(corners, mask.shape)
            overlaps.append((found & expected).sum() / (found | expected).sum())
        assert max(overlaps) > 0.9, path.name
        alike = right[int(np.argmax(overlaps))]
        assert line["class"] == alike.output.value
        assert line["confidence"] == pytest.approx(alike.confidence, rel=0.1)


def drawn(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    image = Image.new("1", shape[::-1])
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
    return np.asarray(image)


def test_classes_are_those_of_the_model(models: Models, images: list[Path]) -> None:
    folder = models.of("yolo-cls")
    predictor = model.load(folder / "model.pth", folder / "config.yaml")
    for path in images:
        (right,), (line,) = predictor.predict_file(path), said("classify.py", folder, path)
        assert line["class"] == right.output.value
        assert line["confidence"] == pytest.approx(right.confidence, abs=1e-4)


BOXES: tuple[Box, ...] = ((0.1, 0.2, 0.6, 0.7), (0.0, 0.0, 1.0, 1.0), (0.7, 0.5, 0.99, 0.6))


def test_classes_of_boxes_are_those_of_the_model(models: Models, images: list[Path]) -> None:
    folder = models.of("yolo-cls-boxes")
    predictor = model.load(folder / "model.pth", folder / "config.yaml")
    asked = [",".join(map(str, box)) for box in BOXES]
    for path in images:
        right = predictor.predict_file(path, BOXES)
        lines = said("classify.py", folder, path, *asked)
        assert [line["class"] for line in lines] == [answer.output.value for answer in right]
        assert [line["confidence"] for line in lines] == pytest.approx(
            [answer.confidence for answer in right], abs=1e-4
        )


def test_vectors_are_those_of_the_model(models: Models, images: list[Path]) -> None:
    folder = models.of("embedder")
    predictor = model.load(folder / "model.pth", folder / "config.yaml")
    asked = [",".join(map(str, box)) for box in BOXES]
    for path in images:
        right = predictor.predict_file(path, BOXES)
        lines = said("embed.py", folder, path, *asked)
        for line, answer in zip(lines, right, strict=True):
            np.testing.assert_allclose(line["vector"], answer.embedding, atol=1e-4)
            assert line["nearest"] == answer.output.value
            assert max(0.0, line["cosine"]) == pytest.approx(answer.confidence, abs=1e-4)
