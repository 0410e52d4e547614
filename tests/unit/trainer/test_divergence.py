"""A training that diverges ends at once, with a reason of its own and what to change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.unit.trainer.pods import Bench, Ended, sealed
from trainyard.api.capability import Output
from trainyard.api.report import ExitCode
from trainyard.api.template import Hyperparameters, Optimizer
from trainyard.stores import join
from trainyard_trainer.engines import embed_training
from trainyard_trainer.engines.augment import Variation, vary_pixels
from trainyard_trainer.engines.base import TrainSettings, Watcher
from trainyard_trainer.engines.classify import Classifier, train_transforms
from trainyard_trainer.engines.divergence import check_loss, check_weights
from trainyard_trainer.engines.embedding import EmbeddingNetwork, backbone
from trainyard_trainer.faults import LossNotFinite


def test_looking_at_a_loss_says_nothing_itself(recwarn: pytest.WarningsRecorder) -> None:
    torch.set_warn_always(True)
    try:
        check_loss(torch.ones((), requires_grad=True), settings(), 1, 0.1)
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


def settings(device: str = "cpu", **hyperparameters: Any) -> TrainSettings:
    return TrainSettings(
        architecture="yolo11n",
        classes=(
            Output(attribute="class", value="dark", position=0),
            Output(attribute="class", value="light", position=1),
        ),
        hyperparameters=Hyperparameters(
            epochs=3, batch_size=4, image_size=32, optimizer=Optimizer.SGD
        ).model_copy(update=hyperparameters),
        variation=Variation(),
        device=device,
        threads=1,
        workers=0,
        primary_metric="top-1",
        confidence=0.001,
        iou=0.7,
        dimensions=8,
    )


@pytest.mark.parametrize(
    ("value", "made", "said"),
    [
        (
            float("nan"),
            settings(),
            "the train loss became NaN in epoch 3 at the learning rate 0.02: make "
            "hyperparameters.learningRate smaller or warmupEpochs longer",
        ),
        (
            float("inf"),
            settings("0"),
            "the train loss became infinite in epoch 3 at the learning rate 0.02: make "
            "hyperparameters.learningRate smaller or warmupEpochs longer, or set amp: false",
        ),
        (
            float("nan"),
            settings("0", optimizer=Optimizer.AUTO, amp=False),
            "the train loss became NaN in epoch 3 at the learning rate 0.02: choose an optimizer "
            "other than auto and a small hyperparameters.learningRate",
        ),
    ],
)
def test_the_text_says_when_it_happened_and_what_to_change(
    value: float, made: TrainSettings, said: str
) -> None:
    with pytest.raises(LossNotFinite) as caught:
        check_loss(torch.tensor(value), made, 3, 0.02)
    assert str(caught.value) == said
    check_loss(torch.tensor(1e30), made, 3, 0.02)


def test_weights_are_looked_at_with_the_running_statistics() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    check_weights(model, settings(), 1, 0.1)
    model[1].running_var[0] = float("inf")
    with pytest.raises(LossNotFinite, match="the weights are no numbers any more in epoch 1"):
        check_weights(model, settings(), 1, 0.1)


def test_a_run_that_diverges_ends_with_its_reason_and_publishes_nothing(
    bench: Bench, run_here: Callable[[str], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def spoilt(images: torch.Tensor, exposure: float, noise: float) -> torch.Tensor:
        batches.append(len(images))
        return images * float("nan") if len(batches) == 3 else vary_pixels(images, exposure, noise)

    # What the library computes of it is real.
    monkeypatch.setattr("trainyard_trainer.engines.training.vary_pixels", spoilt)
    document = bench.document("yolo-cls")
    document["template"] = bench.template("yolo-cls", epochs=5, optimizer="SGD")
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.LOSS_NOT_FINITE, "LossNotFinite")
    assert ended.words.message.startswith("the train loss became NaN in epoch 2 at the learning")
    assert bench.store.stat(join(document["output"], "manifest.json")) is None
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    assert "LossNotFinite: the train loss became NaN" in log
    # The epoch before is there, for whoever wants to go on from it with another recipe.
    assert bench.store.stat(join(document["output"], "checkpoints/000001/checkpoint.json"))
    lines = bench.store.read_bytes(join(document["output"], "metrics.jsonl")).splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1]
    assert bench.store.stat(join(document["output"], "curves.png"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "val"):
        for number in range(8):
            path = root / split / f"{number % 2:05d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (200 * (number % 2),) * 3).save(path)
    return root


@pytest.mark.parametrize("step", [1, 2], ids=["the first step", "the last step"])
def test_the_embedder_ends_in_the_step_or_before_the_epoch_is_kept(
    images: Path, tmp_path: Path, step: int
) -> None:
    made = settings()
    network = EmbeddingNetwork(backbone("yolo11n-cls.yaml", 8), 8, 2)
    steps: list[int] = []

    def poison() -> None:
        steps.append(1)
        if len(steps) == step:
            next(network.parameters()).data.fill_(float("nan"))

    training = embed_training.Training(
        network, made, images / "train", train_transforms(32, made.variation), tmp_path
    )
    watcher = Watcher(lambda _: None, poison, lambda *_: pytest.fail("an epoch was kept"))
    with pytest.raises(LossNotFinite, match="in epoch 1"):
        training.run(watcher, lambda _: {"top-1": 1.0})
    assert len(steps) == step
    assert not list(tmp_path.iterdir())


def test_the_library_keeps_no_epoch_whose_last_step_spoilt_the_weights(
    images: Path, tmp_path: Path
) -> None:
    steps: list[int] = []
    kept: list[int] = []

    class Spoilt(Classifier):
        """Its weights are spoilt after the fourth step, the last of the second epoch."""

        def _trainer(self) -> type[Any]:
            class Trainer(super()._trainer()):  # type: ignore[misc]
                def optimizer_step(self) -> None:
                    super().optimizer_step()
                    steps.append(1)
                    if len(steps) == 4:
                        self.ema.ema.model[0].conv.weight.data.fill_(float("nan"))

            return Trainer

    watcher = Watcher(lambda _: None, lambda: None, lambda report, _: kept.append(report.epoch))
    with pytest.raises(LossNotFinite, match="the weights are no numbers any more in epoch 2"):
        Spoilt().train(settings(), images, tmp_path, watcher)
    assert kept == [1]
