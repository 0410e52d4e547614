"""What a training is told on a GPU: none is needed to see that, and none is used here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ultralytics.utils import DEFAULT_CFG_DICT

from trainyard.api.capability import Output
from trainyard.api.template import Hyperparameters
from trainyard_trainer.engines import batch_size, embed_training, training
from trainyard_trainer.engines.augment import Variation
from trainyard_trainer.engines.base import TrainSettings
from trainyard_trainer.engines.classify import Classifier
from trainyard_trainer.engines.detect import Detector
from trainyard_trainer.engines.training import Varied, arguments
from trainyard_trainer.engines.yolo import YoloEngine

GPU, CPU = "0", "cpu"


def settings(device: str = GPU, **hyperparameters: Any) -> TrainSettings:
    return TrainSettings(
        architecture="yolo11n",
        classes=(Output(attribute="class", value="cat", position=0),),
        hyperparameters=Hyperparameters(batch_size=8, automatic_batch_size=True).model_copy(
            update=hyperparameters
        ),
        variation=Variation(),
        device=device,
        threads=4,
        workers=3,
        primary_metric="mAP50",
        confidence=0.001,
        iou=0.7,
    )


@pytest.mark.parametrize(
    ("fits", "images", "chosen"),
    [
        pytest.param(96, 100_000, 96, id="what fits the memory"),
        pytest.param(1024, 640, 64, id="ten steps an epoch"),
        pytest.param(1024, 50, 8, id="of few images no more than batchSize"),
        pytest.param(3, 50, 3, id="less than batchSize where that does not fit"),
        pytest.param(0, 50, 1, id="never none"),
    ],
)
def test_the_automatic_batch(fits: int, images: int, chosen: int) -> None:
    assert batch_size.choose(lambda: fits, images, settings()) == chosen


@pytest.mark.parametrize(
    ("engine", "place"),
    [(Detector(), "detect.Detector._validator"), (Classifier(), "classify.AnswerValidator")],
)
def test_an_evaluation_has_as_many_workers_as_a_training(
    engine: YoloEngine, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Told(Exception):
        pass

    def validator(save_dir: Path, args: dict[str, Any]) -> None:
        # On a CPU the library loads images in its own process, whatever it is told.
        raise Told(args["workers"])

    monkeypatch.setattr(f"trainyard_trainer.engines.{place}", staticmethod(validator))
    with pytest.raises(Told, match=r"^3$"):
        engine.evaluate(torch.nn.Identity(), tmp_path, "val", settings(), tmp_path)


def test_a_gpu_that_takes_not_one_image_is_out_of_memory() -> None:
    def measure() -> int:
        raise RuntimeError("AutoBatch: no usable batch size found")

    with pytest.raises(torch.OutOfMemoryError, match="no usable batch size"):
        batch_size.choose(measure, 50, settings())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Tells whether the GPU, which is not there, has bfloat16."""
    return lambda has: monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: has)


def test_the_library_measures_on_a_gpu_only_and_only_if_it_is_asked_to(
    gpu: Callable[[bool], None], tmp_path: Path
) -> None:
    gpu(True)

    def batch(made: TrainSettings) -> object:
        return arguments(made, "", tmp_path, tmp_path)["batch"]

    assert batch(settings()) == -1
    assert batch(settings(CPU)) == 8
    assert batch(settings(automatic_batch_size=False)) == 8


def test_mixed_precision_is_bfloat16_where_there_is_one(
    gpu: Callable[[bool], None], tmp_path: Path
) -> None:
    def precision(made: TrainSettings) -> object:
        return arguments(made, "", tmp_path, tmp_path)["amp"]

    gpu(True)
    # Plain True would have the library download a model to try it with.
    assert precision(settings()) == "bf16"
    assert precision(settings(amp=False)) is False
    assert precision(settings(CPU)) is False
    gpu(False)
    assert precision(settings()) is False


def test_the_library_chooses_how_images_lie_in_memory(
    gpu: Callable[[bool], None], tmp_path: Path
) -> None:
    """With nothing said it takes channels_last on CUDA, and only there."""
    gpu(True)
    given = arguments(settings(), "", tmp_path, tmp_path)
    assert DEFAULT_CFG_DICT["channels_last"] is None
    assert "channels_last" not in given
    assert (given["device"], given["workers"]) == ("0", 3)


class Library:
    """Stands for the library's trainer, which cannot measure without a GPU."""

    data = {"train": "there"}

    def __init__(self) -> None:
        self.args = SimpleNamespace(nbs=8)

    def build_dataset(self, path: str, mode: str, batch: int) -> range:
        assert (path, mode) == ("there", "train")
        return range(1000)

    def auto_batch(self) -> int:
        return 64


@pytest.mark.parametrize(("extra", "nbs"), [({}, 64), ({"nbs": 16}, 8)])
def test_each_measured_batch_is_one_step_unless_the_template_says_otherwise(
    extra: dict[str, int], nbs: int
) -> None:
    class Trainer(Varied, Library):
        pass

    trainer = Trainer()
    trainer.settings = dataclasses.replace(settings(), extra=extra)
    assert trainer.auto_batch() == 64
    assert trainer.args.nbs == nbs


def test_the_embedder_does_the_same_by_itself(gpu: Callable[[bool], None]) -> None:
    gpu(True)
    cuda, cpu = torch.device("cuda:0"), torch.device("cpu")
    assert embed_training.memory_format(cuda) is torch.channels_last
    assert embed_training.memory_format(cpu) is torch.contiguous_format
    with pytest.warns(UserWarning) if not torch.cuda.is_available() else nullcontext():
        mixed = embed_training.autocast(True, cuda)
    assert isinstance(mixed, torch.autocast)
    assert mixed.fast_dtype == torch.bfloat16
    for wanted, device in ((False, cuda), (True, cpu)):
        assert isinstance(embed_training.autocast(wanted, device), nullcontext)


def test_a_smaller_batch_after_running_out_of_memory_is_never_taken_in_silence() -> None:
    trainer = SimpleNamespace(_oom_retries=0)
    training.keep_batch_size(trainer)
    # From three on the library raises.
    assert trainer._oom_retries == 3
