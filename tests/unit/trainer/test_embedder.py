"""The embedder: whole runs, its network, its loss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from ultralytics.nn.tasks import ClassificationModel

from tests.unit.trainer.pods import Bench, Ended, sealed
from trainyard.api.capability import Output
from trainyard.api.report import EpochReport, ExitCode
from trainyard.api.template import Hyperparameters
from trainyard.stores import join
from trainyard_trainer import model
from trainyard_trainer.engines.augment import Variation
from trainyard_trainer.engines.base import Resume, Saved, TrainSettings, Watcher
from trainyard_trainer.engines.embed import Embedder
from trainyard_trainer.engines.embedding import ArcFace, EmbeddingNetwork, backbone
from trainyard_trainer.faults import InvalidRunFile


def document(bench: Bench, **hyperparameters: Any) -> dict[str, Any]:
    made = bench.document("yolo-det", template=bench.template("embedder", **hyperparameters))
    made["capability"] |= {"type": "BoxEmbedderElement", "embedding": {"dimensions": 16}}
    return made


@pytest.fixture
def trained(
    bench: Bench, run_here: Callable[[str], Ended], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Runs, and gives metrics.json and the tensors."""

    def run(name: str, **hyperparameters: Any) -> dict[str, Any]:
        ended = run_here(sealed(document(bench, **hyperparameters)))
        assert ended.code == ExitCode.OK, ended.output
        assert ended.words.location is not None
        files = tmp_path / name
        files.mkdir()
        for file in ("model.pth", "config.yaml", "metrics.json", "metrics.jsonl"):
            bench.store.download(join(ended.words.location, file), files / file)
        return {
            "files": files,
            "metrics": json.loads((files / "metrics.json").read_text()),
            "state": torch.load(files / "model.pth", weights_only=True)["state_dict"],
        }

    return run


def test_a_run_ends_with_a_model_that_gives_vectors_and_a_baseline_beside_it(
    trained: Callable[..., dict[str, Any]],
) -> None:
    run = trained("first")
    for split in ("dev", "test"):
        metrics = run["metrics"][split]["metrics"]
        for name in ("recall-at-1", "recall-at-5", "mAP"):
            assert 0 <= metrics[name] <= 1
            assert 0 <= metrics[f"baseline-{name}"] <= 1
    predictor = model.load(run["files"] / "model.pth", run["files"] / "config.yaml")
    image = Image.effect_noise((90, 60), 80).convert("RGB")
    whole, part = (0.0, 0.0, 1.0, 1.0), (0.1, 0.1, 0.4, 0.5)
    answers = predictor.predict(image, [part, whole, part])
    assert [answer.points for answer in answers] == [part, whole, part]
    assert answers[0] == answers[2] != answers[1]
    for answer in answers:
        assert len(answer.embedding) == 16
        assert sum(value**2 for value in answer.embedding) == pytest.approx(1, abs=1e-5)
    assert len(predictor.predict(image)) == 1


def test_the_same_seed_gives_the_same_model_and_another_seed_another(
    trained: Callable[..., dict[str, Any]],
) -> None:
    first, again, other = trained("a"), trained("b"), trained("c", seed=1)
    assert first["metrics"] == again["metrics"]
    for name, tensor in first["state"].items():
        assert torch.equal(tensor, again["state"][name]), name
    assert any(not torch.equal(x, other["state"][name]) for name, x in first["state"].items())


def test_the_margin_makes_the_own_identity_harder() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(6, 8), dim=1)
    truth = torch.tensor([0, 1, 2, 0, 1, 2])
    losses = []
    for margin in (0.0, 0.3):
        torch.manual_seed(1)
        losses.append(ArcFace(3, 8, margin)(vectors, truth).item())
    assert losses[1] > losses[0]


def test_vectors_have_length_one_in_training_and_in_use() -> None:
    torch.manual_seed(0)
    network = EmbeddingNetwork(backbone("yolo11n-cls.yaml", 8), 8, 2)
    images = torch.rand(4, 3, 32, 32)
    for mode in (True, False):
        lengths = network.train(mode)(images).norm(dim=1)
        assert torch.allclose(lengths, torch.ones(4), atol=1e-5)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crops")
    torch.manual_seed(0)
    for split, count in (("train", 12), ("val", 6)):
        for number in range(count):
            folder = root / split / f"{number % 2:05d}"
            folder.mkdir(parents=True, exist_ok=True)
            values = (torch.rand(32, 32, 3) * 100 + 155 * (number % 2)).byte().numpy()
            Image.fromarray(values).save(folder / f"{number}.png")
    return root


def settings(epochs: int = 3, patience: int = 0) -> TrainSettings:
    return TrainSettings(
        architecture="yolo11n",
        classes=tuple(
            Output(attribute="class", value=value, position=position)
            for position, value in enumerate(("dark", "light"))
        ),
        hyperparameters=Hyperparameters(
            epochs=epochs, batch_size=4, image_size=32, patience=patience
        ),
        variation=Variation(15, 0.4, 0.02),
        device="cpu",
        threads=1,
        workers=0,
        primary_metric="recall-at-1",
        confidence=0.001,
        iou=0.7,
        dimensions=8,
    )


def test_a_run_that_goes_on_gives_what_it_would_have_given(crops: Path, tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    kept = tmp_path / "kept"

    def keep(report: EpochReport, saved: Saved) -> None:
        reports.append(report)
        assert saved.finished == (report.epoch == 3)
        if report.epoch == 1:
            kept.mkdir()
            for path in saved.files:
                shutil.copyfile(path, kept / path.name)

    watcher = Watcher(lambda steps: None, lambda: None, keep)
    undisturbed = Embedder().train(settings(), crops, tmp_path / "a", watcher)
    Embedder().prove(kept, 1)
    with pytest.raises(InvalidRunFile, match=r"last\.pt is of epoch 1, not of 2"):
        Embedder().prove(kept, 2)
    resume = Resume(kept, (reports[0],), finished=False)
    resumed = Embedder().train(settings(), crops, tmp_path / "b", watcher, resume)
    assert [report.epoch for report in reports] == [1, 2, 3, 2, 3]
    assert [x.train_loss for x in reports[1:3]] == [x.train_loss for x in reports[3:]]
    assert resumed.best_epoch == undisturbed.best_epoch
    for name, tensor in undisturbed.state.items():
        assert torch.equal(tensor, resumed.state[name]), name


def test_it_stops_early_when_dev_does_not_get_better(crops: Path, tmp_path: Path) -> None:
    finished: list[bool] = []
    watcher = Watcher(
        lambda steps: None, lambda: None, lambda report, saved: finished.append(saved.finished)
    )
    values = iter((0.9, 0.5, 0.4, 0.3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "trainyard_trainer.engines.embed._judge",
            lambda *_: SimpleNamespace(metrics=lambda: {"recall-at-1": next(values)}),
        )
        trained = Embedder().train(settings(4, patience=2), crops, tmp_path / "run", watcher)
    assert (trained.best_epoch, trained.epochs) == (1, 3)
    assert finished == [False, False, True]


@pytest.mark.parametrize("name", ["yolo11n-cls.yaml", "yolov8s-cls.yaml"])
def test_the_layers_of_a_backbone_are_known_without_building_it(name: str) -> None:
    built = EmbeddingNetwork(backbone(name, 8), 8, 2).backbone.yaml
    assert built == backbone(name, 8)
    of_library = ClassificationModel(name, nc=8, verbose=False).yaml
    assert {k: v for k, v in of_library.items() if k != "yaml_file"} == built
