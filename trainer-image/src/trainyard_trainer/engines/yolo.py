"""What the engines that stand on ultralytics share."""

from __future__ import annotations

import abc
import copy
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import ultralytics
from PIL import Image
from ultralytics.data import utils as data_utils
from ultralytics.nn.tasks import load_checkpoint
from ultralytics.utils import LOGGER, SETTINGS

from trainyard.api.capability import Output
from trainyard.api.report import EpochReport
from trainyard.api.template import Engine
from trainyard_trainer.config import InputRule, ModelConfig, Thresholds
from trainyard_trainer.data.samples import Sample
from trainyard_trainer.engines.augment import vary_pixels
from trainyard_trainer.engines.base import Prediction, SplitResult, Trained, TrainSettings, Watcher
from trainyard_trainer.faults import InvalidRunFile, Stopped

_ARCHITECTURES = Path(ultralytics.__file__).parent / "cfg" / "models"
_SIZE = re.compile(r"(?<=\d)[nsmlx](?=$|-)")

_log = logging.getLogger("trainyard")


class Varied:
    """Mixed into a trainer of the library: our augmentation, our choice of the best epoch."""

    settings: TrainSettings
    fitness_key: str

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Vary the pixels of a train batch, images float [B, 3, H, W] in 0..1."""
        batch = super().preprocess_batch(batch)  # type: ignore[misc]
        varied = self.settings.variation
        batch["img"] = vary_pixels(batch["img"], varied.exposure, varied.noise)
        return batch

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Evaluate on dev; the best epoch is the one with the best primary metric."""
        before = self.best_fitness  # type: ignore[has-type]
        metrics, _ = super().validate()  # type: ignore[misc]
        if metrics is None:
            return None, None
        fitness = metrics[self.fitness_key]
        self.best_fitness = fitness if before is None else max(before, fitness)
        return metrics, fitness

    def read_results_csv(self) -> dict[str, Any]:
        """Nothing: metrics.jsonl has it, and reading the library's table costs an import."""
        return {}

    def final_eval(self) -> None:
        """Nothing: the finished model is evaluated as it is published, by the recipe."""


class YoloEngine(abc.ABC):
    """Trains, evaluates and runs models of one task.

    Class attributes say what differs in words; the methods below what differs in work.
    """

    kind: ClassVar[Engine]
    task: ClassVar[str]
    suffix: ClassVar[str]
    """What the library appends to the name of an architecture for this task."""
    metrics: ClassVar[dict[str, str]]
    """Our names of metrics -> the library's."""
    default_metric: ClassVar[str]

    @abc.abstractmethod
    def labels_of(self, sample: Sample, classes: Mapping[tuple[str, str], int]) -> list[str] | None:
        """What the engine learns of a sample, or None if nothing can be learnt from it.

        `classes` gives the index of each (attribute, value) that the model has. Detectors give
        lines of a YOLO label file (none for an image without objects), classifiers one index.
        """

    @abc.abstractmethod
    def place(self, root: Path, split: str, name: str, labels: list[str]) -> Path:
        """Where an image of a split goes below `root`; writes its labels."""

    @abc.abstractmethod
    def finish_layout(self, root: Path, classes: int) -> Path:
        """Complete the layout; returns what the library takes as the dataset."""

    @abc.abstractmethod
    def _trainer(self) -> type[Any]:
        """The library's trainer with `Varied` mixed in."""

    @abc.abstractmethod
    def _build(self, architecture: dict[str, Any], classes: int) -> torch.nn.Module:
        """A model with random weights."""

    @abc.abstractmethod
    def evaluate(
        self, model: torch.nn.Module, data: Path, split: str, settings: TrainSettings, folder: Path
    ) -> SplitResult:
        """Metrics of a model on the split `val` or `test` of a layout."""

    @abc.abstractmethod
    def predict(
        self, model: torch.nn.Module, image: Image.Image, config: ModelConfig
    ) -> list[Prediction]:
        """Answers for one RGB image."""

    @abc.abstractmethod
    def input_rule(self, size: int) -> InputRule:
        """How an image becomes an input of `size` x `size` pixels."""

    def thresholds(self, confidence: float | None, iou: float | None, default: float) -> Thresholds:
        """Thresholds of the finished model; `default` is the overlap used in the evaluation."""
        return Thresholds(
            confidence=0.25 if confidence is None else confidence,
            iou=default if iou is None else iou,
        )

    def check_architecture(self, name: str) -> None:
        """Refuse an architecture that the library does not carry for this task.

        Raises
        ------
        InvalidRunFile
            Otherwise it would be looked for on the network.
        """
        plain = _SIZE.sub("", name)
        if plain == name or not list(_ARCHITECTURES.glob(f"*/{plain}{self.suffix}.yaml")):
            raise InvalidRunFile(
                f"baseModel.architecture: {name!r} is not known to the engine {self.kind.value}: "
                "use for example yolo11n"
            )

    def train(self, settings: TrainSettings, data: Path, folder: Path, watcher: Watcher) -> Trained:
        """Train from scratch; the best epoch's model is in memory afterwards.

        Parameters
        ----------
        settings
            What to train and how.
        data
            As `finish_layout` returned it.
        folder
            For checkpoints, inside of the working directory.
        watcher
            Told about every step; may raise.
        """
        quieten_library()
        trainer = self._trainer()(overrides=self._arguments(settings, data, folder))
        trainer.settings = settings
        trainer.fitness_key = self.metrics[settings.primary_metric]
        if settings.device != "cpu":
            trainer.args.workers = settings.workers
        reports = _Reports(self.metrics, settings.primary_metric, watcher)
        trainer.add_callback("on_train_start", lambda t: _started(t, settings, watcher))
        trainer.add_callback("on_train_epoch_start", _keep_batch_size)
        trainer.add_callback("on_train_batch_end", lambda _: watcher.step())
        trainer.add_callback("on_fit_epoch_end", reports)
        try:
            trainer.train()
        except Stopped:
            raise
        except RuntimeError as error:
            if "out of memory" in str(error).lower():
                raise torch.OutOfMemoryError(str(error)) from None
            raise
        best, _ = load_checkpoint(trainer.best)
        architecture = {k: v for k, v in best.yaml.items() if k != "yaml_file"}
        return Trained(
            # Half precision is what the checkpoint kept.
            state={name: tensor.cpu() for name, tensor in best.half().state_dict().items()},
            architecture=architecture,
            image_size=int(trainer.args.imgsz),
            best_epoch=reports.best_epoch,
            epochs=reports.last_epoch,
        )

    def build(
        self, architecture: dict[str, Any], classes: int, state: Mapping[str, Any]
    ) -> torch.nn.Module:
        """The model with these weights, ready to be asked (float32, evaluation mode)."""
        quieten_library()
        model = self._build(copy.deepcopy(architecture), classes)
        model.load_state_dict(state, strict=True)
        model.names = {index: class_name(index) for index in range(classes)}
        return model.float().eval()

    def _arguments(self, settings: TrainSettings, data: Path, folder: Path) -> dict[str, Any]:
        hyper, variation = settings.hyperparameters, settings.variation
        return {
            "model": f"{settings.architecture}{self.suffix}.yaml",
            "data": str(data),
            "project": str(folder),
            "name": "train",
            "exist_ok": True,
            "device": settings.device,
            "workers": settings.workers,
            "epochs": hyper.epochs,
            "batch": hyper.batch_size,
            # Each batch is one step: without this, gradients are summed up to 64 images.
            "nbs": hyper.batch_size,
            "imgsz": hyper.image_size,
            "optimizer": hyper.optimizer.value,
            "lr0": hyper.learning_rate,
            "lrf": hyper.final_learning_rate_fraction,
            "momentum": hyper.momentum,
            "weight_decay": hyper.weight_decay,
            "warmup_epochs": hyper.warmup_epochs,
            "patience": hyper.patience,
            "seed": hyper.seed,
            "deterministic": True,
            "amp": _precision(hyper.amp, settings.device),
            "pretrained": False,
            "conf": settings.confidence,
            "iou": settings.iou,
            "plots": False,
            "verbose": False,
            "cache": False,
            "degrees": variation.rotation_degrees,
            "scale": variation.scale,
            "fliplr": variation.flip,
            "mosaic": variation.mosaic,
            # What a template cannot ask for does not happen.
            **dict.fromkeys(_OTHER_VARIATIONS, 0.0),
            "auto_augment": None,
        }


_OTHER_VARIATIONS = (
    "hsv_h",
    "hsv_s",
    "hsv_v",
    "translate",
    "shear",
    "perspective",
    "flipud",
    "bgr",
    "mixup",
    "cutmix",
    "copy_paste",
    "erasing",
)


def class_name(index: int) -> str:
    """Name of a class inside of the library: sorts as its index does; people never see it."""
    return f"{index:05d}"


def quieten_library() -> None:
    """No network, no integrations, and only warnings in the log."""
    LOGGER.setLevel(logging.WARNING)
    # Before each training it has matplotlib search all fonts of the system, which takes seconds,
    # and downloads one that is missing. Nothing here draws with it.
    data_utils.check_font = _no_font
    integrations = (
        "clearml",
        "comet",
        "dvc",
        "hub",
        "mlflow",
        "neptune",
        "raytune",
        "sync",
        "tensorboard",
        "wandb",
    )
    wanted = {name: False for name in integrations if SETTINGS.get(name)}
    if wanted:
        SETTINGS.update(wanted)


def _no_font(font: str = "") -> None:
    """Stands in for `ultralytics.utils.checks.check_font`."""


def _precision(wanted: bool, device: str) -> bool | str:
    """Mixed precision. Plain `True` would download a model to check it, bfloat16 does not."""
    if not wanted or device == "cpu":
        return False
    if torch.cuda.is_bf16_supported():
        return "bf16"
    _log.warning("this GPU has no bfloat16: training in full precision")
    return False


def _started(trainer: Any, settings: TrainSettings, watcher: Watcher) -> None:
    # The library took all CPUs of the machine but one.
    torch.set_num_threads(settings.threads)
    watcher.started(len(trainer.train_loader))


def _keep_batch_size(trainer: Any) -> None:
    """After running out of memory, fail: a silently smaller batch is another training."""
    trainer._oom_retries = 3


class _Reports:
    """Turns the library's end of an epoch into a report, once an epoch."""

    def __init__(self, metrics: Mapping[str, str], primary: str, watcher: Watcher) -> None:
        self._metrics, self._primary, self._watcher = metrics, primary, watcher
        self._best = -math.inf
        self.best_epoch = 0
        self.last_epoch = 0

    def __call__(self, trainer: Any) -> None:
        epoch = trainer.epoch + 1
        if epoch <= self.last_epoch:
            return
        self.last_epoch = epoch
        found = trainer.metrics
        metrics = {name: finite(found[key]) for name, key in self._metrics.items() if key in found}
        losses = trainer.label_loss_items(trainer.tloss)
        value = metrics.get(self._primary, 0.0)
        # The library keeps the last of equally good epochs.
        if value >= self._best:
            self._best, self.best_epoch = value, epoch
        loss = sum(losses.values())
        self._watcher.epoch(
            EpochReport(
                epoch=epoch,
                learning_rate=float(next(iter(trainer.lr.values()))),
                train_loss=loss if math.isfinite(loss) else None,
                dev_accuracy=value,
                metrics=metrics,
                seconds=max(0.0, trainer.epoch_time or 0.0),
            )
        )


def finite(value: float) -> float:
    """`value`, or 0 where the library divides nothing by nothing."""
    number = float(value)
    return number if math.isfinite(number) else 0.0


def output_index(classes: tuple[Output, ...]) -> dict[tuple[str, str], int]:
    """Index of each class by (attribute, value)."""
    return {(output.attribute, output.value): output.position for output in classes}
