"""A small detector to train: its data, its run.yaml, and children that train it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bench.fill import fill
from trainyard.api.documents import dump_yaml
from trainyard.api.run import RunFile, SnapshotRunFile
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.snapshot import make_snapshot
from trainyard.stores import Store
from trainyard_local.s3 import S3Server

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-trainer" / "bin" / "python"
BUCKET = "bench"
IMAGES = {"train": 96, "dev": 16}
SIDE = 160
BATCH = 8


def labelled(split: str) -> Iterator[tuple[str, bytes]]:
    """Bright squares on noise, as files of the YOLO layout."""
    generator = np.random.default_rng(len(split))
    yield "data.yaml", b"names: [square]"
    for number in range(IMAGES[split]):
        pixels = generator.integers(0, 90, (SIDE, SIDE, 3), np.uint8)
        side, x, y = (
            int(generator.integers(low, high)) for low, high in ((20, 60), (0, 100), (0, 100))
        )
        pixels[y : y + side, x : x + side] += 120
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        box = ((x + side / 2) / SIDE, (y + side / 2) / SIDE, side / SIDE, side / SIDE)
        yield f"images/{number:04d}.png", buffer.getvalue()
        yield f"labels/{number:04d}.txt", ("0 " + " ".join(f"{edge:.6f}" for edge in box)).encode()


def snapshots(server: S3Server, store: Store) -> dict[str, dict[str, str]]:
    """What a run.yaml says of the two splits."""
    server.client().create_bucket(Bucket=BUCKET)
    made = {}
    for split in IMAGES:
        fill(server, BUCKET, f"source/{split}", labelled(split))
        source = {"s3": {"bucket": BUCKET, "prefix": f"source/{split}"}}
        run = SnapshotRunFile.model_validate(
            {
                "name": split,
                "namespace": "n",
                "uid": "u",
                "output": f"s3://{BUCKET}/snapshots",
                "selections": [{"source": source, "format": "yolo"}],
            }
        )
        uri = make_snapshot(store, run, lambda *_: None).location
        digest = read_snapshot(store, uri).digest
        made[split] = {"name": split, "uri": uri, "digest": digest}
    return made


def run_of(server: S3Server, datasets: dict[str, dict[str, str]], epochs: int) -> dict[str, Any]:
    """A run.yaml without augmentation, on one CPU."""
    return {
        "name": "bench",
        "namespace": "n",
        "uid": "u",
        "fingerprint": "f" * 64,
        "capability_name": "c",
        "capability": {
            "type": "DetectorElement",
            "outputs": [{"attribute": "class", "value": "square", "position": 0}],
        },
        "template_name": "t",
        "template": {
            "displayName": "t",
            "engine": "yolo-det",
            "baseModel": {"architecture": "yolo11n"},
            "hyperparameters": {
                "epochs": epochs,
                "batchSize": BATCH,
                "imageSize": SIDE,
                "patience": 0,
            },
            "augmentation": {"preset": "none"},
            "resources": {"gpus": 0, "cpu": "1"},
        },
        "datasets": {split: [reference] for split, reference in datasets.items()},
        "output": f"s3://{BUCKET}/runs/{time.monotonic_ns()}",
        "store": {"endpoint_url": server.endpoint_url},
    }


def start(
    server: S3Server, folder: Path, how: str, given: object, **variables: str
) -> subprocess.Popen[str]:
    """Start `one_training` in an empty folder; see there for `how` and what it is given."""
    folder.mkdir()
    file = folder / "given"
    if isinstance(given, dict) and how == "ours":
        file.write_text(dump_yaml(RunFile.model_validate(given).sealed().to_wire()))
    else:
        file.write_text(json.dumps(given))
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [str(PYTHON), "-m", "tests.bench.one_training", how, str(file), str(time.time())],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "AWS_ACCESS_KEY_ID": server.access_key,
                "AWS_SECRET_ACCESS_KEY": server.secret_key,
                "TRAINYARD_WORKDIR": str(folder / "work"),
                "TRAINYARD_TERMINATION_LOG": str(folder / "last-words"),
            }
            | variables,
        )


def finish(child: subprocess.Popen[str], folder: Path) -> dict[str, float]:
    """What `one_training` measured."""
    if child.wait() != 0:
        raise RuntimeError((folder / "log").read_text()[-3000:])
    found: dict[str, float] = json.loads((folder / "measured.json").read_text())
    return found
