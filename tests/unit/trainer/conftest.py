"""A real S3 server, and small labelled images made here."""

from __future__ import annotations

import io
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.unit.trainer.pods import BUCKET, SPLITS, Bench, Ended
from trainyard.api.report import ExitCode, LastWords
from trainyard.api.run import SnapshotRunFile, StoreLocation
from trainyard.stores import Credentials, Store, join, open_store
from trainyard.stores.snapshots import read_snapshot
from trainyard_local.s3 import S3Server
from trainyard_trainer.machine import quieten
from trainyard_trainer.main import main
from trainyard_trainer.progress import Reporter
from trainyard_trainer.snapshot import make_snapshot

# Before anything imports ultralytics: without it, importing it asks the network, and it writes into
# the home folder of whoever runs the tests.
quieten(Path(tempfile.mkdtemp(prefix="trainyard-tests-")), threads=1)

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


@pytest.fixture(scope="session")
def bench(store: Store, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(store, s3_server, tmp_path_factory.mktemp("bench"))
    for engine, kind in (("yolo-cls", "folders"), ("yolo-det", "yolo")):
        for split, seeds in SPLITS.items():
            files: dict[str, bytes | str] = {"data.yaml": "names: [disc, square]"}
            for seed in seeds:
                value = ("disc", "square")[seed % 2]
                data, box = shape_bytes(value, seed)
                if engine == "yolo-cls":
                    files[f"{value}/{seed}.png"] = data
                else:
                    files[f"images/{seed}.png"] = data
                    numbers = " ".join(f"{number:.6f}" for number in box)
                    files[f"labels/{seed}.txt"] = f"{seed % 2} {numbers}\n"
            prefix = f"source/{engine}/{split}"
            put(store, prefix, files)
            run = SnapshotRunFile.model_validate(
                {
                    "name": split,
                    "namespace": "team",
                    "uid": "u",
                    "selections": [
                        {"source": {"s3": {"bucket": BUCKET, "prefix": prefix}}, "format": kind}
                    ],
                    "output": f"s3://{BUCKET}/snapshots",
                }
            )
            words = make_snapshot(store, run, Reporter(None, "snapshot", "u"))
            assert words.location is not None
            digest = read_snapshot(store, words.location).digest
            made.snapshots[engine, split] = {
                "name": split,
                "uri": words.location,
                "digest": digest,
            }
    return made


@pytest.fixture
def run_here(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[[str], Ended]]:
    """Runs a run.yaml in this process, which has the libraries loaded already."""
    before = os.environ.copy()
    log = logging.getLogger("trainyard")
    handlers, propagate = list(log.handlers), log.propagate
    handlers_of_signals = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bench.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bench.server.secret_key)
    monkeypatch.setenv("TRAINYARD_WORKDIR", str(tmp_path / "work"))
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "last-words"))

    def run(document: str) -> Ended:
        (tmp_path / "run.yaml").write_text(document)
        code = main(["run", str(tmp_path / "run.yaml")])
        words = LastWords.model_validate_json((tmp_path / "last-words").read_bytes())
        return Ended(ExitCode(code), words, capsys.readouterr().out, "", tmp_path)

    yield run
    signal.signal(signal.SIGTERM, handlers_of_signals)
    log.handlers, log.propagate = handlers, propagate
    os.environ.clear()
    os.environ.update(before)
