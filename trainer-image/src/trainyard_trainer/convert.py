"""From a pretrained checkpoint of ultralytics, a pickle, to a model.pth to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ultralytics.nn.tasks import load_checkpoint

from trainyard.api.capability import CapabilityType, Geometry, Output
from trainyard.api.documents import first_problem
from trainyard.api.engine_arguments import check_architecture
from trainyard.api.report import LastWords
from trainyard.api.template import Engine, Evaluation
from trainyard.stores.digests import sha256_of
from trainyard_trainer import model
from trainyard_trainer.config import CapabilityNote, ModelConfig, Origin, Thresholds
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.base import DEFAULT_CONFIDENCE
from trainyard_trainer.engines.yolo import YoloEngine, quieten_library

ATTRIBUTE = "class"
"""What the names of the library's classes are values of."""

_CAPABILITIES = {
    "detect": (Engine.YOLO_DET, CapabilityType.DETECTOR, Geometry.BOX),
    "segment": (Engine.YOLO_SEG, CapabilityType.DETECTOR, Geometry.POLYGON),
    "classify": (Engine.YOLO_CLS, CapabilityType.IMAGE_CLASSIFIER, None),
}
"""By the library's name of the task."""


def convert(source: Path, target: Path, *, trust: bool) -> LastWords:
    """Write the tensors of a checkpoint and what they are as a model.pth.

    Parameters
    ----------
    source
        A `.pt` of ultralytics.
    target
        The model.pth to write.
    trust
        The person vouches for the file. Though the library's layers are all that is unpickled,
        a pickle is a program, and nobody but who fetched it can say whose.

    Raises
    ------
    UnusableModel
        If it cannot be used; one sentence that says why.
    """
    if not trust:
        raise model.UnusableModel(
            f"{source} is a pickle, which can run code when it is opened: give --trust if you know "
            "where it comes from"
        )
    if source.suffix != ".pt" or not source.is_file():
        raise model.UnusableModel(f"{source} is no file that ends in .pt")
    quieten_library()
    try:
        network, content = load_checkpoint(source)
    except Exception as error:  # noqa: BLE001 -- unpickling raises whatever it raises
        raise model.UnusableModel(
            f"{source} is no whole checkpoint of ultralytics, or holds other things than layers "
            f"that it knows ({type(error).__name__})"
        ) from None
    if network.task not in _CAPABILITIES:
        raise model.UnusableModel(
            f"{source} is a model for the task {network.task}, for which there is no engine: use "
            f"one for {', '.join(_CAPABILITIES)}"
        )
    config = _describe(source, network, content)
    state = {name: tensor.cpu() for name, tensor in network.half().state_dict().items()}
    try:
        model.restore(config, state)
    except model.UnusableModel as error:
        raise model.UnusableModel(f"{source}: {error}") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    model.save(target, state, config)
    said = f"{target}: {config.architecture} for {config.engine}, {len(config.classes)} classes"
    return LastWords(reason="Succeeded", message=said)


def _describe(source: Path, network: Any, content: dict[str, Any]) -> ModelConfig:
    kind, element, geometry = _CAPABILITIES[network.task]
    engine = engine_for(kind, element)
    assert isinstance(engine, YoloEngine)  # noqa: S101 -- those of `_CAPABILITIES` are
    size = int((content.get("train_args") or network.args)["imgsz"])
    layers = {key: value for key, value in network.yaml.items() if key != "yaml_file"}
    try:
        return ModelConfig(
            engine=kind,
            architecture=_architecture(engine, network.yaml),
            model=layers,
            classes=tuple(
                Output(attribute=ATTRIBUTE, value=str(network.names[index]), position=index)
                for index in range(len(network.names))
            ),
            input=engine.input_rule(size),
            thresholds=Thresholds(confidence=DEFAULT_CONFIDENCE, iou=Evaluation().iou_threshold),
            capability=CapabilityNote(name=source.stem, type=element, geometry=geometry),
            converted_from=Origin(file=source.name, sha256=sha256_of(source)),
        )
    except ValidationError as error:
        raise model.UnusableModel(f"{source}: {first_problem(error)}") from None
    except ValueError as error:
        raise model.UnusableModel(f"{source}: {error}") from None


def _architecture(engine: YoloEngine, layers: dict[str, Any]) -> str:
    """The name of the architecture, with its size."""
    stem = Path(str(layers.get("yaml_file") or "unnamed")).stem
    name = stem.removesuffix(engine.suffix)
    size = str(layers.get("scale") or "")
    if not name.endswith(size):
        name += size
    check_architecture(engine.kind, name)
    return name
