"""Small labelled images made here, and files put into a store."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from trainyard.stores import Store, join

BUCKET = "trainyard-tests"


def put(store: Store, prefix: str, files: Mapping[str, bytes | str]) -> str:
    """Write files below a prefix of the bucket; returns its URI."""
    uri = f"s3://{BUCKET}/{prefix}"
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        store.write_bytes(join(uri, name), data)
    return uri


def image_bytes(
    seed: int = 0, size: tuple[int, int] = (40, 30), kind: str = "PNG", mode: str = "RGB"
) -> bytes:
    """An image of random pixels: different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def shape_bytes(kind: str, seed: int, side: int = 48) -> tuple[bytes, tuple[float, ...]]:
    """A bright disc or square on a dark ground, and the centre, width and height of its box."""
    generator = np.random.default_rng(seed)
    size = int(generator.integers(16, 24))
    left, top = (int(value) for value in generator.integers(2, side - size - 2, 2))
    noise = generator.integers(0, 40, (side, side, 3)).astype(np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    corners = (left, top, left + size, top + size)
    (pen.ellipse if kind == "disc" else pen.rectangle)(corners, fill=(240, 230, 220))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    box = ((left + size / 2) / side, (top + size / 2) / side, size / side, size / side)
    return buffer.getvalue(), box


def outline(kind: str, box: tuple[float, ...]) -> tuple[float, ...]:
    """The polygon of a shape of `shape_bytes` from the centre, width and height of its box."""
    x, y, width, height = box
    corners = 32 if kind == "disc" else 4
    turns = (np.arange(corners) + 0.5) * (2 * np.pi / corners)
    reach = 0.5 if kind == "disc" else 0.5**0.5
    points = np.stack((x + width * reach * np.cos(turns), y + height * reach * np.sin(turns)), 1)
    return tuple(points.ravel().tolist())


def write_folder(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
