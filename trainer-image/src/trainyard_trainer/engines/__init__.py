"""The training engines. Import them only after `machine.quieten`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainyard.api.template import Engine
from trainyard_trainer.faults import InvalidRunFile

if TYPE_CHECKING:
    from trainyard_trainer.engines.yolo import YoloEngine


def engine_for(kind: Engine) -> YoloEngine:
    """The engine of that name.

    Raises
    ------
    InvalidRunFile
        If it is not supported yet.
    """
    # The libraries read their environment when they are imported.
    match kind:
        case Engine.YOLO_CLS:
            from trainyard_trainer.engines.classify import Classifier

            return Classifier()
        case Engine.YOLO_DET:
            from trainyard_trainer.engines.detect import Detector

            return Detector()
        case _:
            raise InvalidRunFile(f"the engine {kind.value!r} is not supported yet")
