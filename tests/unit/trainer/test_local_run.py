"""`trainyard run` as a person types it: manifests and folders, no cluster, real training."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.labelled import shape_bytes, write_folder
from trainyard.api.documents import dump_yaml
from trainyard.api.manifest import ArtefactManifest
from trainyard_trainer import model

VALUES = ("disc", "square")
SPLITS = {"train": range(16), "dev": range(100, 106), "test": range(200, 206)}


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def manifests(**hyperparameters: Any) -> list[dict[str, Any]]:
    """A classifier of discs and squares; train on a volume, the rest in a bucket."""
    sources: dict[str, dict[str, Any]] = {
        "train": {"volume": {"claimName": "pictures", "path": "train"}},
        "dev": {"s3": {"bucket": "shapes", "prefix": "dev"}},
        "test": {"s3": {"bucket": "shapes", "prefix": "test"}},
    }
    outputs = [{"attribute": "class", "value": v, "position": i} for i, v in enumerate(VALUES)]
    return [
        manifest("Capability", "shape", {"type": "ImageClassifierElement", "outputs": outputs}),
        manifest(
            "TrainingTemplate",
            "tiny",
            {
                "displayName": "tiny",
                "engine": "yolo-cls",
                "baseModel": {"architecture": "yolo11n"},
                "hyperparameters": {"epochs": 2, "batchSize": 8, "imageSize": 32} | hyperparameters,
                "resources": {"gpus": 0, "cpu": "1"},
            },
        ),
        *(
            manifest("Dataset", split, {"selections": [{"source": source, "format": "folders"}]})
            for split, source in sources.items()
        ),
        manifest(
            "TrainingProcess",
            "shapes",
            {
                "capability": "shape",
                "template": "tiny",
                "datasets": {split: [split] for split in SPLITS},
                "targetNode": "nowhere",
            },
        ),
    ]


def prepare(folder: Path, documents: Sequence[dict[str, Any]]) -> None:
    (folder / "m").mkdir(exist_ok=True)
    (folder / "m" / "all.yaml").write_text("---\n".join(map(dump_yaml, documents)))
    if (folder / "pictures").exists():
        return
    for split, seeds in SPLITS.items():
        for seed in seeds:
            value = VALUES[seed % 2]
            data, _ = shape_bytes(value, seed)
            place = "pictures" if split == "train" else "shapes"
            write_folder(folder / place / split, {f"{value}/{seed}.png": data})


COMMAND = [sys.executable, "-m", "trainyard.cli", "run", "-f", "m"]
PLACES = ["--volume", "pictures=pictures", "--bucket", "shapes=shapes"]


def environment(folder: Path) -> dict[str, str]:
    """Of a machine that has no keys and no cluster."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TRAINYARD_"))}
    return kept | {"HOME": str(folder), "KUBECONFIG": str(folder / "none")}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options], cwd=folder, env=environment(folder), capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a model was trained, and what was said."""
    folder = tmp_path_factory.mktemp("laptop")
    prepare(folder, manifests())
    ended = run(folder, *PLACES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended.stdout + ended.stderr


def test_a_model_lies_where_the_command_says(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert "Dataset train: 16 images, 16 labels" in said
    (line,) = (line for line in said.splitlines() if line.startswith("model "))
    weights, config = line.split()[1], line.split()[-1]
    predictor = model.load(folder / weights, folder / config)
    assert [output.value for output in predictor.config.classes] == list(VALUES)
    found = ArtefactManifest.model_validate_json(
        (folder / weights).with_name("manifest.json").read_bytes()
    )
    assert found.test is not None
    assert f"{found.test.metrics['top-1']:.4f}" in said


def test_nothing_but_the_results_stays_of_the_work(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    assert list((folder / "trainyard-runs" / "work").iterdir()) == []
    assert {path.name for path in folder.iterdir()} == {
        "m",
        "pictures",
        "shapes",
        "trainyard-runs",
    }


def test_the_second_time_it_is_done_at_once(trained: tuple[Path, str]) -> None:
    ended = run(trained[0], *PLACES)
    assert ended.returncode == 0
    assert "TrainingProcess shapes is done already, with these inputs" in ended.stderr
    assert "epoch" not in ended.stderr
    assert "model " in ended.stdout


def test_a_damaged_model_is_not_taken_for_done(trained: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained[0], folder, symlinks=True)
    with (folder / "trainyard-runs/models/shapes/model.pth").open("r+b") as file:
        file.truncate(1000)
    ended = run(folder, *PLACES)
    assert ended.returncode == 1
    assert "model.pth has 1000 bytes, the manifest says" in ended.stderr
    assert "to train again" in ended.stderr


def test_other_inputs_are_another_run(trained: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained[0], folder, symlinks=True)
    prepare(folder, manifests(epochs=1))
    ended = run(folder, *PLACES)
    assert ended.returncode == 0, ended.stderr
    assert len(list((folder / "trainyard-runs/runs/local").iterdir())) == 2
    assert "shapes: 1 epochs" in ended.stdout


def test_what_was_interrupted_goes_on(trained: tuple[Path, str], tmp_path: Path) -> None:
    prepare(tmp_path, manifests(epochs=5))
    started = subprocess.Popen(
        [*COMMAND, *PLACES],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert started.stdout is not None
    seen = []
    for line in started.stdout:
        seen.append(line)
        if "epoch 2 of 5:" in line:
            # As a terminal does: to all of the foreground.
            os.killpg(started.pid, signal.SIGINT)
    assert started.wait() == 130, "".join(seen)
    assert seen[-1].startswith("Error: stopped after epoch")
    assert seen[-1].endswith("; the same command goes on\n")
    ended = run(tmp_path, *PLACES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ", going on after epoch" in ended.stderr
    assert "epoch 1 of 5:" not in ended.stdout
    assert "epoch 5 of 5:" in ended.stdout
    assert "shapes: 5 epochs" in ended.stdout


def test_labels_that_cannot_be_used_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    prepare(tmp_path, manifests())
    (tmp_path / "pictures/train/disc/0.png").write_bytes(b"no image")
    ended = run(tmp_path, *PLACES)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: Dataset train: 1 of 16 files cannot be used")


def test_an_image_in_train_and_dev_is_refused_as_by_the_operator(tmp_path: Path) -> None:
    prepare(tmp_path, manifests())
    shutil.copy(tmp_path / "pictures/train/disc/0.png", tmp_path / "shapes/dev/disc/0.png")
    ended = run(tmp_path, *PLACES)
    assert ended.returncode == 1
    assert "SplitsOverlap: 1 image is in train and in dev (disc/0.png)" in ended.stderr


def test_a_run_that_fails_ends_with_the_code_of_the_trainer(tmp_path: Path) -> None:
    documents = manifests()
    documents[1]["spec"]["resources"] = {"gpus": 1, "cpu": "1"}
    prepare(tmp_path, documents)
    ended = run(tmp_path, *PLACES)
    assert ended.returncode == 80
    assert "Error: GPUNotVisible: " in ended.stderr
