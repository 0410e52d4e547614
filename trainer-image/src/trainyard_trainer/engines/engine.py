"""What every engine can do; the recipe knows engines by this alone."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from PIL import Image

from trainyard.api.template import Engine
from trainyard.datasets.samples import Sample
from trainyard_trainer.config import InputRule, ModelConfig
from trainyard_trainer.engines.base import (
    LAST,
    Box,
    Example,
    Prediction,
    Resume,
    SplitResult,
    Trained,
    TrainSettings,
    Watcher,
)
from trainyard_trainer.faults import Fault, InvalidRunFile

if TYPE_CHECKING:
    import torch


class TrainingEngine(abc.ABC):
    """Trains, evaluates and runs models of one kind."""

    kind: ClassVar[Engine]
    task: ClassVar[str]
    """What the engine does, as its library names it: detect, segment, classify, embed."""
    metrics: ClassVar[Mapping[str, str]]
    """The metrics of a split, by our names -> the library's."""
    default_metric: ClassVar[str]
    """Chooses the best epoch where the template names none."""
    checkpoint_files: ClassVar[tuple[str, ...]]
    """What the engine needs of its own to go on."""
    outputs: ClassVar[Mapping[str, str]]
    """The tensors that `asked` gives, in their order: name -> what it holds, axis by axis."""

    leaves_out: str
    """Why nothing can be learnt of some images, as a clause about them."""

    @abc.abstractmethod
    def examples_of(
        self, sample: Sample, classes: Mapping[tuple[str, str], int]
    ) -> list[Example] | None:
        """What the engine learns of a sample, or None if nothing can be learnt from it.

        `classes` gives the index of each (attribute, value) that the model has.
        """

    @abc.abstractmethod
    def place(self, root: Path, split: str, name: str, example: Example) -> Path:
        """Where the image of an example goes below `root`; writes its labels."""

    @abc.abstractmethod
    def finish_layout(self, root: Path, classes: int) -> Path:
        """Complete the layout; returns what the engine takes as the dataset."""

    @abc.abstractmethod
    def train(
        self,
        settings: TrainSettings,
        data: Path,
        folder: Path,
        watcher: Watcher,
        resume: Resume | None = None,
    ) -> Trained:
        """Train from scratch or go on; the best epoch's model is in memory afterwards.

        Parameters
        ----------
        settings
            What to train and how.
        data
            As `finish_layout` returned it.
        folder
            For what the engine writes, inside of the working directory; the best epoch and the
            last one lie at `WEIGHTS` below it.
        watcher
            Told about every step; may raise.
        resume
            What to go on from. If it is finished, nothing is trained.
        """

    @abc.abstractmethod
    def read(self, path: Path, settings: TrainSettings) -> Trained:
        """The model of a best epoch that `train` left at `WEIGHTS` below its folder.

        The file may be a pickle, which runs what it says: the caller vouches for it. Raises
        whatever reading it raises.
        """

    def prove(self, folder: Path, epoch: int) -> None:
        """Load the `checkpoint_files` of an epoch from a folder, to see that it can be done.

        The caller vouches for them: this process wrote them itself, or verified their SHA-256.

        Parameters
        ----------
        folder
            Where they lie.
        epoch
            Epochs done.

        Raises
        ------
        InvalidRunFile
            If a file cannot be loaded, or is of another epoch.
        """
        for name in self.checkpoint_files:
            try:
                found = self.epoch_of(folder / name)
            except Exception as error:  # noqa: BLE001 -- unpickling raises whatever it raises
                said = str(error) if isinstance(error, Fault) else type(error).__name__
                raise InvalidRunFile(
                    f"the checkpoint's {name} cannot be loaded ({said}): start without a checkpoint"
                ) from None
            # The best epoch may be an earlier one.
            if found > epoch or (found != epoch and name == LAST):
                raise InvalidRunFile(
                    f"the checkpoint's {name} is of epoch {found}, not of {epoch}: start without a "
                    "checkpoint"
                )

    @abc.abstractmethod
    def epoch_of(self, path: Path) -> int:
        """The number of epochs that were done when one of the `checkpoint_files` was written.

        Loads it whole. Raises whatever reading it raises, and `InvalidRunFile` if there is not
        everything in it that is needed to go on.
        """

    @abc.abstractmethod
    def build(
        self, architecture: dict[str, Any], classes: int, state: Mapping[str, Any]
    ) -> torch.nn.Module:
        """The model with these weights, ready to be asked (float32, evaluation mode).

        Raises
        ------
        RuntimeError
            If the weights do not fit the architecture.
        """

    @abc.abstractmethod
    def evaluate(
        self,
        model: torch.nn.Module,
        data: Path,
        split: str,
        settings: TrainSettings,
        folder: Path,
        threshold: float | None = None,
    ) -> SplitResult:
        """How good a model is on the split `val` or `test` of a layout.

        `threshold` is the confidence from which an answer counts; None: the split is there to
        choose it by, and the one with the best F1 is taken.
        """

    def predict(
        self,
        model: torch.nn.Module,
        image: Image.Image,
        config: ModelConfig,
        entities: Sequence[Box] = (),
    ) -> list[Prediction]:
        """Answers for one upright RGB image.

        `entities` are what a Box element is asked about, one answer each in their order; without
        any, the image is the one entity. Other models are asked about the image alone.
        """
        import torch

        images = self.inputs(image, config, entities)
        with torch.inference_mode():
            given = self.asked(model)(images.to(next(model.parameters()).device))
        return self.answers([one.cpu() for one in given], image, config, entities)

    @abc.abstractmethod
    def inputs(
        self, image: Image.Image, config: ModelConfig, entities: Sequence[Box] = ()
    ) -> torch.Tensor:
        """What the model is asked, as `input_rule` says: float32 [N, 3, size, size].

        N is 1, or for Box elements the number of entities, if there are any.
        """

    @abc.abstractmethod
    def asked(self, model: torch.nn.Module) -> torch.nn.Module:
        """What is run on the `inputs`, here and in every exported form of the model.

        It gives a tuple of tensors, those that `outputs` names, each with the N of the inputs as
        its first side.
        """

    @abc.abstractmethod
    def answers(
        self,
        given: Sequence[torch.Tensor],
        image: Image.Image,
        config: ModelConfig,
        entities: Sequence[Box] = (),
    ) -> list[Prediction]:
        """What the tensors of `asked`, on the CPU, say about the image or the entities."""

    @abc.abstractmethod
    def input_rule(self, size: int) -> InputRule:
        """How an image becomes an input of `size` x `size` pixels."""
