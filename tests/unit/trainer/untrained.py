"""Models that have learnt nothing: they are asked, and what they say does not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ultralytics.nn.tasks import ClassificationModel

from trainyard.api.capability import CapabilityType, Output
from trainyard.api.template import Engine
from trainyard_trainer import model
from trainyard_trainer.config import CapabilityNote, Lineage, ModelConfig, Thresholds
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.engine import TrainingEngine

OUTPUTS = tuple(
    Output(attribute="class", value=value, position=position)
    for position, value in enumerate(("disc", "square"))
)


def described(
    network: Any, engine: TrainingEngine, element: CapabilityType, size: int, confidence: float
) -> ModelConfig:
    """config.yaml of a network of the library, which knows discs and squares."""
    return ModelConfig(
        engine=engine.kind,
        architecture="yolo11n",
        model={key: value for key, value in network.yaml.items() if key != "yaml_file"},
        classes=OUTPUTS,
        input=engine.input_rule(size),
        thresholds=Thresholds(confidence=confidence, iou=0.7),
        capability=CapabilityNote(name="shape", type=element),
        lineage=Lineage(
            process="p",
            namespace="n",
            uid="u",
            attempt=1,
            template="t",
            fingerprint="f",
            train=(),
            dev=(),
            software={},
        ),
    )


def write_box_classifier(folder: Path) -> Path:
    """Write model.pth and config.yaml of a box classifier; gives their folder."""
    network = ClassificationModel("yolo11n-cls.yaml", nc=2, verbose=False)
    engine = engine_for(Engine.YOLO_CLS, CapabilityType.BOX_CLASSIFIER)
    config = described(network, engine, CapabilityType.BOX_CLASSIFIER, size=32, confidence=0.25)
    model.save(folder / "model.pth", network.state_dict(), config)
    model.write_config(folder / "config.yaml", config)
    return folder
