"""`trainyard weights upload` of a pretrained .pt: really converted, stored and opened again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from ultralytics.nn.tasks import ClassificationModel

from tests.unit.labelled import BUCKET
from trainyard.stores import Store
from trainyard_local.s3 import S3Server
from trainyard_trainer import model


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the library saves it."""
    network = ClassificationModel("yolo11n-cls.yaml", nc=2, verbose=False)
    network.names = {0: "disc", 1: "square"}
    network.args = {"imgsz": 32, "task": "classify"}
    path = tmp_path_factory.mktemp("pretrained") / "yolo11n-cls.pt"
    torch.save({"model": network.half(), "train_args": network.args, "epoch": -1}, path)
    return path


def upload(s3_server: S3Server, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TRAINYARD_"))}
    environ = kept | {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "TRAINYARD_S3_ENDPOINT": s3_server.endpoint_url,
    }
    command = [sys.executable, "-m", "trainyard.cli", "weights", "upload", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    print(f"$ trainyard weights upload {' '.join(words)}\n{done.stdout}{done.stderr}")
    return done


def test_a_pretrained_checkpoint_becomes_weights_that_load_without_running_code(
    pretrained: Path, s3_server: S3Server, store: Store, tmp_path: Path
) -> None:
    uri = f"s3://{BUCKET}/pretrained/yolo11n.pth"
    done = upload(s3_server, str(pretrained), uri, "--trust")
    assert done.returncode == 0
    values, template = yaml.safe_load_all(done.stdout)
    (digest,) = values["trainer"]["allowedWeights"]
    assert template["spec"]["baseModel"]["weights"] == {"uri": uri, "sha256": digest}
    store.download(uri, tmp_path / "base.pth", digest)
    state, document = model.read_weights(tmp_path / "base.pth")
    assert [item["value"] for item in document["classes"]] == ["disc", "square"]
    assert state
    # Converted again it is the same file: the digest that was allowed stays.
    again = upload(s3_server, str(pretrained), uri, "--trust")
    assert "there already" in again.stderr


def test_a_file_that_is_no_checkpoint_is_told_with_its_exit_code(
    s3_server: S3Server, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "broken.pt").write_bytes(hashlib.sha256(b"").digest() * 100)
    uri = f"s3://{BUCKET}/pretrained/broken.pth"
    done = upload(s3_server, str(tmp_path / "broken.pt"), uri, "--trust")
    assert done.returncode == 65
    assert "broken.pt is no whole checkpoint of ultralytics" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert store.stat(uri) is None
