"""`trainyard run` as a person types it: manifests and folders, no cluster, real training."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.trainer.laptop import (
    COMMAND,
    PLACES,
    VALUES,
    environment,
    manifests,
    prepare,
    run,
    trainyard,
)
from trainyard.api.manifest import ArtefactManifest
from trainyard_trainer import model


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


def test_programs_get_the_results_as_json_and_nothing_else(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    ended = run(folder, *PLACES, "--output", "json")
    assert ended.returncode == 0
    found = json.loads(ended.stdout)
    assert (found["name"], found["primaryMetric"], found["epochs"]) == ("shapes", "top-1", 2)
    assert found["test"]["samples"] == 6
    assert (folder / found["weights"]).is_file()
    assert (folder / found["config"]).is_file()


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
    (lines,) = (tmp_path / "trainyard-runs/runs/local").glob("*/1/metrics.jsonl")
    assert len(lines.read_text().splitlines()) >= 2
    assert lines.with_name("curves.png").is_file()
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


def test_the_next_command_works_as_it_is_printed(trained: tuple[Path, str]) -> None:
    folder, said = trained
    (line,) = (line for line in said.splitlines() if line.startswith("next "))
    program, *arguments = shlex.split(line.removeprefix("next "))
    assert program.endswith("trainyard")
    ended = trainyard(folder, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "predictions.png").is_file()
    (folder / "predictions.png").unlink()
