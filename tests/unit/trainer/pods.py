"""Runs the trainer as a pod does, against a real S3 server."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.labelled import BUCKET, shape_bytes
from trainyard.api.documents import dump_yaml
from trainyard.api.report import ExitCode, LastWords
from trainyard.api.run import RunFile
from trainyard.stores import Store, join, verify_manifest
from trainyard_local.s3 import S3Server

EPOCHS = 2
CAPABILITIES = {
    "yolo-cls": {"type": "ImageClassifierElement"},
    "yolo-cls-boxes": {"type": "BoxClassifierElement"},
    "yolo-det": {"type": "DetectorElement"},
    "yolo-seg": {"type": "DetectorElement", "geometry": "polygon"},
    "embedder": {"type": "BoxEmbedderElement", "embedding": {"dimensions": 16}},
}
"""What is trained: an engine, and what it is used for where it has two uses."""
SOURCES = {"yolo-cls-boxes": "yolo-det", "embedder": "yolo-det"}
"""Whose data is trained on, where it is not of the same name."""
SPLITS = {"train": range(16), "dev": range(100, 108), "test": range(200, 206)}


class Operator:
    """Receives reports like the operator does."""

    def __init__(self) -> None:
        received: list[tuple[str, str, dict[str, Any]]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.received = received
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Bench:
    """Snapshots of discs and squares for all engines, and what runs them."""

    store: Store
    server: S3Server
    root: Path
    snapshots: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def snapshot(self, kind: str, split: str) -> dict[str, str]:
        """What a run.yaml says of a snapshot."""
        return self.snapshots[SOURCES.get(kind, kind), split]

    def document(self, kind: str, **changes: Any) -> dict[str, Any]:
        """A run.yaml for one of `CAPABILITIES`, with the changes made at the top."""
        values = ("disc", "square")
        return {
            "name": f"tiny-{kind}",
            "namespace": "team",
            "uid": f"uid-{kind}",
            "fingerprint": "f" * 64,
            "capability_name": "shape",
            "capability": CAPABILITIES[kind]
            | {
                "outputs": [
                    {"attribute": "class", "value": value, "position": position}
                    for position, value in enumerate(values)
                ],
            },
            "template_name": "tiny",
            "template": self.template(kind),
            "datasets": {split: [self.snapshot(kind, split)] for split in SPLITS},
            "output": f"s3://{BUCKET}/runs/{kind}-{time.monotonic_ns()}",
            "store": {"endpoint_url": self.server.endpoint_url},
        } | changes

    def template(self, kind: str, **hyperparameters: Any) -> dict[str, Any]:
        return {
            "displayName": "tiny",
            "engine": kind.removesuffix("-boxes"),
            "baseModel": {"architecture": "yolo11n"},
            "hyperparameters": {"epochs": EPOCHS, "batchSize": 8, "imageSize": 64}
            | hyperparameters,
            "resources": {"gpus": 0, "cpu": "1"},
        }

    def start(
        self, command: str, document: str, operator: str = "", **variables: str
    ) -> subprocess.Popen[str]:
        """Start the trainer; `finish` waits for it."""
        folder = self.root / f"pod-{time.monotonic_ns()}"
        folder.mkdir()
        (folder / "run.yaml").write_text(document)
        allowed = ",".join([self.server.endpoint_url.removeprefix("http://"), operator])
        guarded = Path(__file__).with_name("guarded.py")
        process = subprocess.Popen(
            [
                sys.executable,
                guarded,
                allowed,
                folder / "calls",
                "trainyard_trainer",
                command,
                folder / "run.yaml",
            ],
            env=os.environ
            | {
                "AWS_ACCESS_KEY_ID": self.server.access_key,
                "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
                "TRAINYARD_WORKDIR": str(folder / "work"),
                "TRAINYARD_TERMINATION_LOG": str(folder / "last-words"),
                "HOME": "/nonexistent",
            }
            | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process.folder = folder  # type: ignore[attr-defined]
        return process

    def finish(self, process: subprocess.Popen[str]) -> Ended:
        output, _ = process.communicate(timeout=300)
        folder: Path = process.folder  # type: ignore[attr-defined]
        calls = folder / "calls"
        return Ended(
            ExitCode(process.returncode),
            LastWords.model_validate_json((folder / "last-words").read_bytes()),
            output,
            calls.read_text() if calls.exists() else "",
            folder,
        )

    def run(self, document: dict[str, Any], operator: str = "") -> Ended:
        return self.finish(self.start("run", sealed(document), operator))


def sealed(document: dict[str, Any]) -> str:
    """run.yaml as the operator writes it."""
    return dump_yaml(RunFile.model_validate(document).sealed().to_wire())


@dataclass(frozen=True)
class Ended:
    """How a trainer ended."""

    code: ExitCode
    words: LastWords
    output: str
    forbidden_calls: str
    folder: Path


LEARNS = {"optimizer": "AdamW", "learningRate": 0.002, "warmupEpochs": 0, "batchSize": 2}
"""Hyperparameters with which few images teach something."""
EPOCHS_TO_LEARN = {
    "yolo-det": 24,
    "yolo-seg": 40,
    "yolo-cls": 8,
    "yolo-cls-boxes": 8,
    "embedder": 6,
}


@dataclass
class Models:
    """Models that know discs from squares, with all exports; trained when first asked for."""

    bench: Bench
    root: Path

    def of(self, kind: str) -> Path:
        """The folder with the files of the finished run."""
        folder = self.root / kind
        if not folder.exists():
            self._train(kind, folder)
        return folder

    def as_base(self, kind: str) -> dict[str, str]:
        """What a run.yaml says of the model's weights."""
        path = self.of(kind) / "model.pth"
        uri = f"s3://{BUCKET}/models/{kind}.pth"
        return {"uri": uri, "sha256": self.bench.store.upload(path, uri).sha256}

    def held_out(self) -> list[Path]:
        """Images that the model has never seen."""
        folder = self.root / "held-out"
        folder.mkdir(exist_ok=True)
        paths = []
        for seed in SPLITS["test"]:
            paths.append(folder / f"{seed}.png")
            paths[-1].write_bytes(shape_bytes(("disc", "square")[seed % 2], seed)[0])
        return paths

    def document(self, kind: str, **hyperparameters: Any) -> dict[str, Any]:
        """A run.yaml with which it learns."""
        template = self.bench.template(kind, **LEARNS | hyperparameters)
        template |= {"exports": ["onnx", "torchscript"], "augmentation": {"preset": "none"}}
        return self.bench.document(kind, template=template)

    def _train(self, kind: str, folder: Path) -> None:
        document = self.document(kind, epochs=EPOCHS_TO_LEARN[kind])
        ended = self.bench.run(document)
        assert ended.code == ExitCode.OK, ended.output
        assert ended.forbidden_calls == ""
        folder.mkdir()
        location = ended.words.location
        assert location is not None
        manifest = verify_manifest(self.bench.store, location, ended.words.manifest_sha256)
        for file in manifest.files:
            self.bench.store.download(join(location, file.name), folder / file.name)
