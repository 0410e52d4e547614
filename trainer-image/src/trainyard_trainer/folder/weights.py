"""Reading a checkpoint that a person names, with the file that describes it.

A `.pth` holds tensors and plain values. A `best.pt` of the library is a pickle, which runs what it
says as soon as it is opened: only one that this folder's own training wrote is, or one that the
person vouches for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trainyard.api.documents import first_problem
from trainyard.api.training_folder import TASKS
from trainyard.stores.digests import sha256_of
from trainyard_trainer.config import ModelConfig
from trainyard_trainer.engines.base import Trained, TrainSettings
from trainyard_trainer.faults import Fault
from trainyard_trainer.folder.record import Record
from trainyard_trainer.model import (
    MaybeCode,
    UnusableModel,
    read_document,
    read_plain,
    weights_of,
)

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine


@dataclass(frozen=True)
class Described:
    """What a CONFIG says of a checkpoint.

    Attributes
    ----------
    task
        As `TrainingEngine.task`.
    image_size
        Side of the input, in pixels.
    config
        If it is a config.yaml.
    """

    task: str
    image_size: int
    config: ModelConfig | None = None


def read_config(path: Path) -> Described:
    """An args.yaml of a training, or the config.yaml of a model.

    Raises
    ------
    UnusableModel
        If it is neither.
    """
    document = read_document(path)
    document = document if isinstance(document, dict) else {}
    if isinstance(document.get("task"), str) and isinstance(document.get("imgsz"), int):
        return Described(document["task"], document["imgsz"])
    try:
        config = ModelConfig.model_validate(document)
    except ValidationError as error:
        raise UnusableModel(
            f"{path} is neither the args.yaml of a training nor the config.yaml of a model: "
            f"{first_problem(error)}"
        ) from None
    return Described(TASKS[config.engine], config.input.size, config)


@dataclass(frozen=True)
class Reader:
    """Reads checkpoints for the engine and the classes of a folder.

    Attributes
    ----------
    engine, settings
        Of the folder's run.
    record
        Of the folder.
    trust
        The person vouches for the checkpoint.
    """

    engine: TrainingEngine
    settings: TrainSettings
    record: Record
    trust: bool = False

    def read(self, checkpoint: Path, described: Described, config: Path) -> Trained:
        """The model of a checkpoint.

        Raises
        ------
        UnusableModel
            If it cannot be used; one sentence that says why.
        """
        if described.task != self.engine.task:
            raise UnusableModel(
                f"{config} describes a model of task {described.task}; the engine "
                f"{self.engine.kind.value} of this folder has the task {self.engine.task}"
            )
        trained = self._content(checkpoint)
        known = described.config
        if known is not None:
            self._check_classes(known, config)
            trained = replace(trained, architecture=dict(known.model))
        trained = replace(trained, image_size=described.image_size)
        self._check_fits(trained, checkpoint)
        return trained

    def _content(self, path: Path) -> Trained:
        plain = path.suffix == ".pth"
        try:
            ours = weights_of(read_plain(path))
        except MaybeCode:
            if plain:
                raise
            return self._pickle(path)
        if ours is not None:
            return self._of_ours(path, *ours)
        # What opened without code may do so only because the library has vouched for its own
        # classes in this process.
        return self._of_engine(path) if plain else self._pickle(path)

    def _pickle(self, path: Path) -> Trained:
        if not self.trust and not self.record.knows(sha256_of(path)):
            raise UnusableModel(
                f"{path} is a pickle (or no checkpoint), which runs code when it is opened, and no "
                "training of this folder wrote it: give a .pth, or "
                "--trust if you know where it comes from"
            )
        return self._of_engine(path)

    def _of_engine(self, path: Path) -> Trained:
        try:
            return self.engine.read(path, self.settings)
        except Exception as error:  # noqa: BLE001 -- unpickling raises whatever it raises
            said = str(error) if isinstance(error, Fault) else type(error).__name__
            raise UnusableModel(
                f"{path} is no checkpoint of the engine {self.engine.kind.value} ({said})"
            ) from None

    def _of_ours(self, path: Path, state: dict[str, Any], document: Any) -> Trained:
        try:
            config = ModelConfig.model_validate(document)
        except ValidationError as error:
            raise UnusableModel(f"{path}: config: {first_problem(error)}") from None
        if config.engine is not self.engine.kind:
            raise UnusableModel(
                f"{path} was trained by the engine {config.engine.value}; this folder has the "
                f"engine {self.engine.kind.value}"
            )
        self._check_classes(config, path)
        epoch = config.metrics.best_epoch if config.metrics is not None else 0
        return Trained(
            state=state,
            architecture=dict(config.model),
            image_size=config.input.size,
            best_epoch=epoch,
            epochs=epoch,
        )

    def _check_classes(self, config: ModelConfig, path: Path) -> None:
        found = [(item.attribute, item.value) for item in config.classes]
        wanted = [(item.attribute, item.value) for item in self.settings.classes]
        if found == wanted:
            return
        if len(found) != len(wanted):
            raise UnusableModel(
                f"{path} has {len(found)} classes, the capability of this folder has {len(wanted)}"
            )
        place = next(i for i, pair in enumerate(found) if pair != wanted[i])
        raise UnusableModel(
            f"{path}: class {place} is {'='.join(found[place])}, in the capability of this folder "
            f"it is {'='.join(wanted[place])}"
        )

    def _check_fits(self, trained: Trained, path: Path) -> None:
        classes = len(self.settings.classes)
        try:
            self.engine.build(trained.architecture, classes, trained.state)
        except Exception as error:  # noqa: BLE001 -- the library raises whatever it raises
            first = " ".join(str(error).split())[:200]
            raise UnusableModel(
                f"{path} does not fit a model of {classes} classes of the engine "
                f"{self.engine.kind.value}: {first}"
            ) from None
