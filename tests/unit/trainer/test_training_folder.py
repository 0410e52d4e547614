"""A folder that `generate training-run` makes: trained, evaluated and run again in it."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.trainer.laptop import (
    PLACES,
    SPLITS,
    VALUES,
    environment,
    manifests,
    prepare,
    run,
    trainyard,
)
from tests.unit.trainer.pods import Ended
from trainyard.api.documents import load_yaml
from trainyard.api.evaluation import EvaluationFile
from trainyard.api.report import ExitCode
from trainyard.api.run import RunFile, StoreLocation
from trainyard.stores import open_store
from trainyard.stores.verify import verify_manifest
from trainyard_trainer import model

GENERATE = ("generate", "training-run", "shapes", "yolo-cls")


def typed(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """A command as it was printed."""
    program, *arguments = shlex.split(command)
    assert program.endswith("trainyard")
    return trainyard(folder, *arguments)


def next_of(said: str) -> str:
    (command,) = re.findall(r"^next:? +(\S*trainyard .*)$", said, re.MULTILINE)
    return str(command)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with manifests and images, and nothing else."""
    folder = tmp_path_factory.mktemp("desk")
    prepare(folder, manifests())
    return folder


@pytest.fixture(scope="module")
def made(desk: Path) -> str:
    """A folder was generated; what was said."""
    ended = trainyard(desk, *GENERATE, "-f", "m", *PLACES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def trained(desk: Path, made: str) -> str:
    """It was trained by the command that was printed; what was said."""
    ended = typed(desk, next_of(made))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


FOLDER = "ml_training/shapes"
WEIGHTS = f"{FOLDER}/runs/classify/train/weights/best.pt"
ARGUMENTS = f"{FOLDER}/runs/classify/train/args.yaml"


def test_it_has_what_a_person_looks_at_edits_and_runs(desk: Path, made: str) -> None:
    folder = desk / FOLDER
    assert {path.name for path in folder.iterdir()} >= {
        "run.yaml",
        "train.py",
        "README.md",
        "train",
        "dev",
        "test",
    }
    for split, seeds in SPLITS.items():
        assert len(list((folder / split).rglob("*.png"))) == len(seeds)
    document = RunFile.model_validate(load_yaml((folder / "run.yaml").read_text()))
    document.verify("run.yaml")
    assert document.output == f"file://{folder.resolve()}/results"
    readme = (folder / "README.md").read_text()
    assert "trainyard train start ml_training/shapes" in readme
    assert "| 1 | class=square |" in readme
    compile((folder / "train.py").read_text(), "train.py", "exec")


def test_what_is_there_is_not_overwritten(desk: Path, made: str) -> None:
    before = (desk / FOLDER / "run.yaml").read_bytes()
    ended = trainyard(desk, *GENERATE, "-f", "m", *PLACES)
    assert ended.returncode == 1
    assert "ml_training/shapes is there already and is not overwritten" in ended.stderr
    assert (desk / FOLDER / "run.yaml").read_bytes() == before


def test_another_trainer_than_the_templates_is_refused(desk: Path) -> None:
    ended = trainyard(desk, *GENERATE[:3], "yolo-det", "elsewhere", "-f", "m", *PLACES)
    assert ended.returncode == 1
    assert "TrainingTemplate tiny has the engine yolo-cls, not yolo-det" in ended.stderr
    assert not (desk / "elsewhere").exists()


def test_nothing_stays_of_a_folder_whose_data_cannot_be_used(tmp_path: Path) -> None:
    prepare(tmp_path, manifests())
    (tmp_path / "pictures/train/disc/0.png").write_bytes(b"no image")
    ended = trainyard(tmp_path, *GENERATE, "-f", "m", *PLACES)
    assert ended.returncode == 1
    assert "Dataset train: 1 of 16 files cannot be used" in ended.stderr
    assert not (tmp_path / FOLDER).exists()


def test_training_leaves_checkpoint_arguments_and_metrics(desk: Path, trained: str) -> None:
    assert (desk / WEIGHTS).is_file()
    arguments = load_yaml((desk / ARGUMENTS).read_text())
    assert (arguments["task"], arguments["imgsz"], arguments["epochs"]) == ("classify", 32, 2)
    metrics = json.loads((desk / FOLDER / "results/metrics.json").read_text())
    assert f"{metrics['test']['metrics']['top-1']:.4f}" in trained
    assert metrics["train"]["samples"] == len(SPLITS["train"])
    # Copies of the model and of checkpoints are as large as these.
    assert not (desk / FOLDER / ".trainyard/work").exists()
    predictor = model.load(
        desk / FOLDER / "results/model.pth", desk / FOLDER / "results/config.yaml"
    )
    assert [output.value for output in predictor.config.classes] == list(VALUES)


def test_the_same_seed_and_threads_give_the_same_as_a_run(
    desk: Path, trained: str, tmp_path: Path
) -> None:
    shutil.copytree(desk, tmp_path / "other", ignore=shutil.ignore_patterns("ml_training"))
    ended = run(tmp_path / "other", *PLACES)
    assert ended.returncode == 0, ended.stderr
    found = [
        json.loads(path.read_text())
        for path in (
            desk / FOLDER / "results/metrics.json",
            tmp_path / "other/trainyard-runs/models/shapes/metrics.json",
        )
    ]
    for split in ("dev", "test"):
        assert found[0][split]["metrics"] == found[1][split]["metrics"]
    assert found[0]["train"] == found[1]["train"]
    lines = [
        [json.loads(line)["trainLoss"] for line in path.read_text().splitlines()]
        for path in (
            desk / FOLDER / "results/metrics.jsonl",
            tmp_path / "other/trainyard-runs/models/shapes/metrics.jsonl",
        )
    ]
    assert lines[0] == lines[1]


def test_the_printed_command_evaluates_what_was_trained(desk: Path, trained: str) -> None:
    ended = typed(desk, next_of(trained))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    file = EvaluationFile.model_validate_json(
        (desk / FOLDER / "evaluations/default.json").read_bytes()
    )
    metrics = json.loads((desk / FOLDER / "results/metrics.json").read_text())
    assert file.dev is not None and file.test is not None
    assert file.dev.metrics == metrics["dev"]["metrics"]
    assert file.test.metrics == metrics["test"]["metrics"]
    assert "trainyard train export ml_training/shapes " in next_of(ended.stdout)


def test_a_pth_is_evaluated_within_the_folder_under_a_plan(desk: Path, trained: str) -> None:
    ended = trainyard(
        desk / FOLDER, "train", "evaluate", "results/model.pth", "results/config.yaml",
        "--plan", "second",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, second = (
        EvaluationFile.model_validate_json(
            (desk / FOLDER / f"evaluations/{plan}.json").read_bytes()
        )
        for plan in ("default", "second")
    )
    assert first.test == second.test
    assert first.checkpoint_sha256 != second.checkpoint_sha256


def test_a_checkpoint_becomes_a_whole_model_with_its_metrics(desk: Path, trained: str) -> None:
    # What `train export` runs before it uploads and registers.
    arguments = ("-m", "trainyard_trainer", "export", FOLDER, WEIGHTS, ARGUMENTS)
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=desk,
        env=environment(desk),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ERROR" not in ended.stdout
    exported, results = desk / FOLDER / "exported", desk / FOLDER / "results"
    manifest = verify_manifest(open_store(StoreLocation()), f"file://{exported.resolve()}")
    assert {path.name for path in results.iterdir()} - {file.name for file in manifest.files} == {
        "manifest.json",
        # What only a training has.
        "batch.png",
        "curves.png",
        "metrics.jsonl",
    }
    found, before = (json.loads((x / "metrics.json").read_text()) for x in (exported, results))
    for split in ("dev", "test"):
        assert found[split]["metrics"] == before[split]["metrics"]
    shutil.rmtree(exported)


def test_it_is_not_trained_again_until_something_is_changed(desk: Path, trained: str) -> None:
    ended = trainyard(desk / FOLDER, "train", "start")
    assert ended.returncode == 0
    assert "trained already, with these inputs" in ended.stdout
    assert "epoch 1 of" not in ended.stdout


def test_an_edited_train_py_is_run_and_older_results_are_kept(
    desk: Path, trained: str, tmp_path: Path
) -> None:
    shutil.copytree(desk / FOLDER, tmp_path / "shapes")
    script = tmp_path / "shapes/train.py"
    script.write_text(script.read_text().replace("opened(HERE)", "opened(HERE, epochs=1)"))
    ended = subprocess.run(
        [sys.executable, str(script)], env=environment(tmp_path), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "epoch 1 of 1:" in ended.stdout
    assert (tmp_path / "shapes/results-1/model.pth").is_file()
    assert (tmp_path / "shapes/runs/classify/train-1/weights/best.pt").is_file()
    fingerprints = {
        json.loads((tmp_path / "shapes" / name / "manifest.json").read_text())["fingerprint"]
        for name in ("results", "results-1")
    }
    assert len(fingerprints) == 2


def test_a_hyperparameter_that_does_not_exist_is_named(
    desk: Path, made: str, tmp_path: Path
) -> None:
    shutil.copytree(desk / FOLDER, tmp_path / "shapes")
    script = tmp_path / "shapes/train.py"
    text = script.read_text()
    for argument, sentence in (
        ("epoch=1", "there is no such hyperparameter; there are amp, "),
        ("epochs=0", "epochs: Input should be greater than or equal to 1"),
    ):
        script.write_text(text.replace("opened(HERE)", f"opened(HERE, {argument})"))
        ended = subprocess.run(
            [sys.executable, str(script)], env=environment(tmp_path), capture_output=True, text=True
        )
        assert ended.returncode == 78
        assert sentence in ended.stdout


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


Refused = Callable[..., str]


@pytest.fixture
def refused(desk: Path, trained: str, in_this_process: Callable[..., Ended]) -> Refused:
    """The sentence for a checkpoint that cannot be used, of the trainer's command."""

    def evaluate(checkpoint: Path, config: Path = desk / ARGUMENTS) -> str:
        ended = in_this_process("evaluate", desk / FOLDER, checkpoint, config)
        assert (ended.code, ended.words.reason) == (ExitCode.BAD_DATA, "UnusableModel")
        return ended.words.message

    return evaluate


def test_a_pickle_that_was_not_trained_here_is_not_opened(refused: Refused, tmp_path: Path) -> None:
    for name, sentence in (
        ("strange.pt", "is a pickle (or no checkpoint), which runs code when it is opened"),
        ("strange.pth", "holds more than tensors and plain values"),
    ):
        torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / name)
        assert sentence in refused(tmp_path / name)
        assert not (tmp_path / "ran").exists()
    # It is a payload: the test would see it run.
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_a_pickle_is_opened_when_the_person_vouches_for_it(
    desk: Path, refused: Refused, tmp_path: Path
) -> None:
    content = torch.load(desk / WEIGHTS, weights_only=False)
    torch.save(content | {"date": "another digest"}, tmp_path / "sent.pt")
    assert "and no training of this folder wrote it" in refused(tmp_path / "sent.pt")
    ended = trainyard(
        desk, "train", "evaluate", FOLDER, str(tmp_path / "sent.pt"), ARGUMENTS,
        "--plan", "trusted", "--trust",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def test_a_damaged_checkpoint_is_told(desk: Path, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes((desk / FOLDER / "results/model.pth").read_bytes()[:100_000])
    assert "cut.pth is no model.pth of Trainyard, or not whole (" in refused(path)


def test_a_model_of_other_classes_or_of_another_engine_is_told(
    desk: Path, refused: Refused, tmp_path: Path
) -> None:
    source = desk / FOLDER / "results/model.pth"
    content = torch.load(source, weights_only=True)
    config = content["config"]
    more = {**config["classes"][1], "value": "ring", "position": 2}
    torch.save(content | {"config": config | {"classes": [*config["classes"], more]}},
               tmp_path / "three.pth")  # fmt: skip
    assert "three.pth has 3 classes, the capability of this folder has 2" in refused(
        tmp_path / "three.pth"
    )
    first, second = config["classes"]
    swapped = [{**second, "position": 0}, {**first, "position": 1}]
    torch.save(content | {"config": config | {"classes": swapped}}, tmp_path / "swapped.pth")
    assert "class 0 is class=square, in the capability of this folder it is class=disc" in refused(
        tmp_path / "swapped.pth"
    )
    torch.save(content | {"config": config | {"engine": "yolo-det"}}, tmp_path / "boxes.pth")
    assert "boxes.pth was trained by the engine yolo-det" in refused(tmp_path / "boxes.pth")


def test_a_config_that_is_none_or_of_another_task_is_told(
    desk: Path, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "none.yaml").write_text("a: 1\n")
    said = refused(desk / WEIGHTS, tmp_path / "none.yaml")
    assert "is neither the args.yaml of a training nor the config.yaml of a model" in said
    text = (desk / ARGUMENTS).read_text().replace("task: classify", "task: detect")
    (tmp_path / "args.yaml").write_text(text)
    said = refused(desk / WEIGHTS, tmp_path / "args.yaml")
    assert "describes a model of task detect; the engine yolo-cls of this folder" in said


def test_a_changed_run_yaml_is_told(desk: Path, made: str, tmp_path: Path) -> None:
    shutil.copytree(desk / FOLDER, tmp_path / "shapes")
    path = tmp_path / "shapes/run.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    ended = trainyard(tmp_path, "train", "start", "shapes")
    assert ended.returncode == 1
    assert "the content does not match its digest" in ended.stderr


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    ended = trainyard(tmp_path, "train", "start")
    assert ended.returncode == 1
    assert ". has no run.yaml: make such a folder with `trainyard generate" in ended.stderr


def test_an_export_needs_a_cluster_and_is_told_so_before_anything_is_done(
    desk: Path, trained: str
) -> None:
    ended = trainyard(desk, "train", "export", FOLDER, WEIGHTS, ARGUMENTS)
    assert ended.returncode == 1
    assert "there is no kubeconfig" in ended.stderr
    assert not (desk / FOLDER / "exported").exists()
