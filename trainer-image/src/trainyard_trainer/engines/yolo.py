"""What the engines that stand on ultralytics share."""

from __future__ import annotations

import abc
import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from ultralytics.data import utils as data_utils
from ultralytics.nn.tasks import load_checkpoint
from ultralytics.utils import LOGGER, SETTINGS, torch_utils

from trainyard_trainer.engines import training
from trainyard_trainer.engines.base import (
    BEST,
    LAST,
    Resume,
    Trained,
    TrainSettings,
    Watcher,
)
from trainyard_trainer.engines.class_folders import class_name
from trainyard_trainer.engines.engine import TrainingEngine
from trainyard_trainer.engines.fine_tuning import class_rows
from trainyard_trainer.engines.seen import FirstSeen, Shapes
from trainyard_trainer.faults import InvalidRunFile, Stopped


class YoloEngine(TrainingEngine):
    """What is the same for every task of the library.

    Class attributes say what differs in words; the methods below what differs in work.
    """

    suffix: ClassVar[str]
    """What the library appends to the name of an architecture for this task."""
    checkpoint_files = (LAST, BEST)

    @abc.abstractmethod
    def _trainer(self) -> type[Any]:
        """The library's trainer with `Varied` mixed in."""

    @abc.abstractmethod
    def _shapes_of(self, settings: TrainSettings) -> Shapes:
        """How a train batch says what its images show."""

    @abc.abstractmethod
    def _build(self, architecture: dict[str, Any], classes: int) -> torch.nn.Module:
        """A model with random weights."""

    def train(
        self,
        settings: TrainSettings,
        data: Path,
        folder: Path,
        watcher: Watcher,
        resume: Resume | None = None,
    ) -> Trained:
        """Train from scratch or go on; the best epoch's model is in memory afterwards.

        Going on is not bit-exact: see `trainyard_trainer.engines.training`.
        """
        quieten_library()
        history = () if resume is None else resume.history
        reports = training.Reports(self.metrics, settings.primary_metric, history, watcher)
        if resume is not None and resume.finished:
            # The library would take a finished run for none, and train on something else.
            return self._trained(resume.folder / BEST, settings, reports)
        arguments = training.arguments(settings, self.suffix, data, folder)
        if resume is not None:
            arguments |= training.arguments_of(resume, settings)
        trainer = self._trainer()(overrides=arguments)
        trainer.settings = settings
        trainer.seen = FirstSeen(settings, self._shapes_of(settings))
        trainer.fitness_key = self.metrics[settings.primary_metric]
        trainer.class_rows = self._class_rows
        if settings.device != "cpu":
            trainer.args.workers = settings.workers
        if resume is not None:
            training.go_on(trainer, resume)
        trainer.add_callback("on_train_start", lambda t: training.started(t, settings, watcher))
        trainer.add_callback("on_train_epoch_start", training.keep_batch_size)
        trainer.add_callback("on_train_batch_end", lambda t: training.stepped(t, settings, watcher))
        trainer.add_callback("on_fit_epoch_end", reports)
        try:
            trainer.train()
        except Stopped:
            raise
        except RuntimeError as error:
            if "out of memory" in str(error).lower():
                raise torch.OutOfMemoryError(str(error)) from None
            raise
        trained = self._trained(trainer.best, settings, reports)
        return replace(trained, seen=tuple(trainer.seen.images))

    def _trained(self, best: Path, settings: TrainSettings, reports: training.Reports) -> Trained:
        """The model of a best.pt: written by this process, or verified by its SHA-256."""
        found = self.read(best, settings)
        return replace(found, best_epoch=reports.best_epoch, epochs=reports.last_epoch)

    def read(self, path: Path, settings: TrainSettings) -> Trained:  # noqa: ARG002 -- it says all
        """The model of a checkpoint of the library, which is a pickle."""
        quieten_library()
        model, content = load_checkpoint(path)
        if model.task != self.task:
            raise InvalidRunFile(f"it is of the task {model.task}, not {self.task}")
        epoch = int(content.get("epoch", -1)) + 1
        return Trained(
            # Half precision is what the checkpoint kept.
            state={name: tensor.cpu() for name, tensor in model.half().state_dict().items()},
            architecture={k: v for k, v in model.yaml.items() if k != "yaml_file"},
            image_size=int(content["train_args"]["imgsz"]),
            best_epoch=epoch,
            epochs=epoch,
        )

    def _class_rows(self, architecture: dict[str, Any]) -> frozenset[str]:
        return class_rows(lambda classes: self._build(copy.deepcopy(architecture), classes))

    def epoch_of(self, path: Path) -> int:
        """Of a checkpoint of the library that has what its training goes on with."""
        quieten_library()
        _, content = load_checkpoint(path)
        if not content["optimizer"] or content["ema"] is None:
            raise InvalidRunFile("it lacks the optimizer's state or the averaged weights")
        return int(content["epoch"]) + 1

    def build(
        self, architecture: dict[str, Any], classes: int, state: Mapping[str, Any]
    ) -> torch.nn.Module:
        """The model with these weights, ready to be asked (float32, evaluation mode)."""
        quieten_library()
        model = self._build(copy.deepcopy(architecture), classes)
        if hasattr(model, "end2end"):
            # The head that is trained and evaluated, whose boxes overlap; not a second one beside
            # it that says each box once.
            model.end2end = False
        model.load_state_dict(state, strict=True)
        model.names = {index: class_name(index) for index in range(classes)}
        return model.float().eval()

    def _judge(
        self,
        validator: type[Any],
        model: torch.nn.Module,
        data: Path,
        split: str,
        settings: TrainSettings,
        folder: Path,
        **more: Any,
    ) -> Any:
        """A validator of the library that has seen a split; `more` are arguments of its task."""
        made = validator(
            save_dir=folder,
            args={
                "task": self.task,
                "data": str(data),
                "split": split,
                "imgsz": settings.hyperparameters.image_size,
                "batch": settings.hyperparameters.batch_size,
                "device": settings.device,
                "workers": settings.workers,
                "plots": False,
                "verbose": False,
                **more,
            },
        )
        # Evaluation fuses layers in place.
        made(model=copy.deepcopy(model))
        return made

    def asked(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model without what it gives for its loss."""
        return _Answering(model)


class _Answering(torch.nn.Module):  # type: ignore[misc]
    """A model of the library, in evaluation mode: its answer as a tuple of tensors."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.model(images)
        # (answer, what the loss needs); the answer of a segmenter is a pair itself.
        first = answer[0] if isinstance(answer, (list, tuple)) else answer
        return tuple(first) if isinstance(first, (list, tuple)) else (first,)


def quieten_library() -> None:
    """No network, no integrations, and only warnings in the log."""
    LOGGER.setLevel(logging.WARNING)
    # Whenever it chooses the CPU, before each evaluation too, it takes all CPUs of the machine but
    # one. Ours are as many as torch was given.
    torch_utils.NUM_THREADS = torch.get_num_threads()
    # Before each training it has matplotlib search all fonts of the system, which takes seconds,
    # and downloads one that is missing. Nothing that it would draw is wanted.
    data_utils.check_font = _no_font
    LOGGER.addFilter(_is_no_missing_class)
    # It leaves out images below 10 pixels a side, in silence: from an evaluation, too.
    data_utils.check_image = _image_size
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


def _is_no_missing_class(record: logging.LogRecord) -> bool:
    """Whether it is another message than that dev or test has no image of a class, as an error.

    There it is none, and the class is known all the same; in train it was looked for before.
    """
    return "images in" not in record.getMessage() or "(requires" not in record.getMessage()


def _no_font(font: str = "") -> None:
    """Stands in for `ultralytics.utils.checks.check_font`."""


def _image_size(im_file: str) -> tuple[str, tuple[int, int]]:
    """Stands in for `ultralytics.data.utils.check_image`: nothing to say, height and width.

    What a snapshot holds was decoded whole when it was made, and is not to be written anew.
    """
    with Image.open(im_file) as image:
        return "", (image.height, image.width)
