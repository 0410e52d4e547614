"""The training engines. Import them only after `machine.quieten`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainyard.api.capability import CapabilityType
from trainyard.api.template import Engine

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine


def engine_for(kind: Engine, element: CapabilityType) -> TrainingEngine:
    """The engine of that name, for models of this type."""
    # The libraries read their environment when they are imported.
    match kind:
        case Engine.YOLO_CLS:
            from trainyard_trainer.engines.classify import Classifier

            return Classifier(crops=element is CapabilityType.BOX_CLASSIFIER)
        case Engine.YOLO_DET:
            from trainyard_trainer.engines.detect import Detector

            return Detector()
        case Engine.EMBEDDER:
            from trainyard_trainer.engines.embed import Embedder

            return Embedder()
        case Engine.YOLO_SEG:
            from trainyard_trainer.engines.segment import Segmenter

            return Segmenter()
