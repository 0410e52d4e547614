"""Finished models: writing model.pth, and loading it back from its config.yaml."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps
from pydantic import ValidationError

from trainyard.api.documents import DocumentError, dump_yaml, first_problem, load_yaml
from trainyard.api.report import ExitCode
from trainyard.datasets.errors import BadData
from trainyard.datasets.images import ImageFacts, inspect, plain_image
from trainyard_trainer.config import InputRule, ModelConfig
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.base import Box, Prediction
from trainyard_trainer.faults import Fault

if TYPE_CHECKING:
    import torch

    from trainyard_trainer.engines.engine import TrainingEngine


_LEAST_SIDE = 2
"""Pixels a side of an image that a model is asked about."""
_AT_ONCE = 32
"""Entities that a model is asked about in one go."""


class UnusableModel(Fault):
    """A model file or its config.yaml cannot be used."""

    reason = "UnusableModel"
    exit_code = ExitCode.BAD_DATA


class MaybeCode(UnusableModel):
    """A model file holds more than tensors and plain values."""


@dataclass(frozen=True)
class Predictor:
    """A loaded model.

    Attributes
    ----------
    config
        Its config.yaml.
    """

    config: ModelConfig
    _engine: TrainingEngine
    _model: torch.nn.Module

    def predict(self, image: Image.Image, entities: Sequence[Box] = ()) -> list[Prediction]:
        """Answers for one image of any mode and orientation.

        Those of a detector come with the most confident first, those of a Box element in the
        order of the entities that it is asked about.
        """
        upright = ImageOps.exif_transpose(image).convert("RGB")
        answers: list[Prediction] = []
        # A few at a time: each becomes an input of its own.
        for start in range(0, max(1, len(entities)), _AT_ONCE):
            some = entities[start : start + _AT_ONCE]
            answers += self._engine.predict(self._model, upright, self.config, some)
        return answers

    def predict_file(self, path: Path, entities: Sequence[Box] = ()) -> list[Prediction]:
        """Answers for an image file, read as the images were that the model learnt from.

        Raises
        ------
        RefusedImage
            If it cannot be used; the text is the one-word reason.
        BadData
            If it has too many pixels, or too few along one side.
        """
        data = path.read_bytes()
        _check_sides(inspect(data, path.name), path.name, self.config.input)
        with Image.open(io.BytesIO(plain_image(data)[0])) as image:
            return self.predict(image, entities)


def _check_sides(image: ImageFacts, name: str, rule: InputRule) -> None:
    """Refuse an image of which the model would see nothing."""
    short, long = sorted((image.width, image.height))
    shown = f"{name} has {image.width} x {image.height} pixels"
    if short < _LEAST_SIDE:
        raise BadData(f"{shown}: there is nothing to be seen in it")
    if rule.crop is None and rule.resize == "letterbox" and short * rule.size < long:
        raise BadData(
            f"{shown}: nothing of its short side is left when it becomes {rule.size} pixels long, "
            "as the model takes it: cut it into tiles"
        )


def save(path: Path, state: Mapping[str, Any], config: ModelConfig) -> None:
    """Write model.pth: `{"state_dict": tensors, "config": JSON values}` and nothing else."""
    # torch costs time, which reading a config.yaml need not spend.
    from trainyard_trainer import saving

    saving.save({"state_dict": dict(state), "config": config.to_wire()}, path)


def write_config(path: Path, config: ModelConfig) -> None:
    """Write config.yaml."""
    path.write_text(
        "# How to rebuild model.pth and to interpret its outputs.\n" + dump_yaml(config.to_wire()),
        encoding="utf-8",
    )


def read_config(path: Path) -> ModelConfig:
    """Read config.yaml.

    Raises
    ------
    UnusableModel
        If it is not one.
    """
    try:
        return ModelConfig.model_validate(read_document(path))
    except ValidationError as error:
        raise UnusableModel(f"{path.name}: {first_problem(error)}") from None


def read_document(path: Path) -> Any:
    """What stands in the YAML file that describes a model, as yet unchecked.

    Raises
    ------
    UnusableModel
        If it cannot be read, or is no YAML.
    """
    try:
        return load_yaml(path.read_bytes(), path.name)
    except OSError as error:
        raise UnusableModel(f"{path}: {error.strerror}") from None
    except DocumentError as error:
        raise UnusableModel(str(error)) from None


def load(weights: Path, config: Path) -> Predictor:
    """The model of a finished run, ready to predict on the CPU.

    Parameters
    ----------
    weights
        model.pth. Only tensors and plain values are read from it, never code.
    config
        config.yaml.

    Raises
    ------
    UnusableModel
        If one of the files cannot be used, or they do not belong together.
    """
    described = read_config(config)
    state, _ = read_weights(weights)
    return restore(described, state)


def read_weights(path: Path) -> tuple[dict[str, Any], Any]:
    """The tensors of a model.pth, and the document beside them, as yet unchecked.

    Raises
    ------
    UnusableModel
        If it is none.
    MaybeCode
        As `read_plain` does.
    """
    found = weights_of(read_plain(path))
    if found is None:
        raise UnusableModel(f"{path.name} is no model.pth of Trainyard: it has no tensors by name")
    return found


def read_plain(path: Path) -> Any:
    """What a file of torch holds, if that is nothing but tensors and plain values.

    Raises
    ------
    UnusableModel
        If it cannot be read.
    MaybeCode
        If there is anything else in it: then it is not opened.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UnusableModel(f"{path}: {error.strerror}") from None
    except pickle.UnpicklingError:
        raise MaybeCode(
            f"{path.name} holds more than tensors and plain values, which could be code: it was "
            "not opened; give a model.pth of Trainyard, or convert the file first"
        ) from None
    except Exception as error:  # noqa: BLE001 -- torch raises whatever its readers raise
        raise UnusableModel(
            f"{path.name} is no model.pth of Trainyard, or not whole ({type(error).__name__})"
        ) from None


def weights_of(content: Any) -> tuple[dict[str, Any], Any] | None:
    """The tensors and the document in what was read of a model.pth; None: it is of another kind."""
    import torch

    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        return None
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        return None
    return state, content.get("config")


def restore(config: ModelConfig, state: Mapping[str, Any]) -> Predictor:
    """A predictor from a configuration and tensors."""
    engine = engine_for(config.engine, config.capability.type)
    try:
        model = engine.build(config.model, len(config.classes), state)
    except RuntimeError as error:
        raise UnusableModel(
            f"the weights do not fit the architecture {config.architecture!r} of the "
            f"configuration: {str(error).splitlines()[0]}"
        ) from None
    except Exception as error:  # noqa: BLE001 -- the library raises whatever its readers raise
        raise UnusableModel(
            f"the layers that the configuration names for {config.architecture!r} are none that "
            f"the engine {config.engine.value} builds ({type(error).__name__})"
        ) from None
    return Predictor(config, engine, model)
