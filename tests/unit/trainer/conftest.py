"""A real S3 server, and small labelled images made here."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trainyard.api.run import StoreLocation
from trainyard.stores import Credentials, Store, join, open_store
from trainyard_local.s3 import S3Server
from trainyard_trainer.machine import quieten

# Before anything imports ultralytics: without it, importing it asks the network, and it writes into
# the home folder of whoever runs the tests.
quieten(Path(tempfile.mkdtemp(prefix="trainyard-tests-")), threads=1)

BUCKET = "trainyard-tests"
_names = iter(range(1_000_000))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.client().create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture(scope="session")
def store(s3_server: S3Server) -> Store:
    return open_store(
        StoreLocation(endpoint_url=s3_server.endpoint_url),
        Credentials(s3_server.access_key, s3_server.secret_key),
    )


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{next(_names)}"


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


def write_folder(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
