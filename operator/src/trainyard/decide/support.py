"""Fields that are in the schema and do not act yet. One place, so that the list is true."""

from __future__ import annotations

from trainyard.api.capability import CapabilitySpec, CapabilityType, Geometry
from trainyard.api.process import OnExistingRun, TrainingProcessSpec
from trainyard.api.template import Engine, TrainingTemplateSpec

SUPPORTED_ENGINES = frozenset({Engine.YOLO_DET, Engine.YOLO_CLS})


def unsupported_in_capability(spec: CapabilitySpec) -> str | None:
    """The first field of a Capability that does not act yet; None if all act."""
    if spec.type in (CapabilityType.BOX_CLASSIFIER, CapabilityType.BOX_EMBEDDER):
        return f"spec.type: {spec.type}"
    if spec.geometry is Geometry.POLYGON:
        return f"spec.geometry: {spec.geometry}"
    return None


def unsupported_in_template(spec: TrainingTemplateSpec) -> str | None:
    """The first field of a TrainingTemplate that does not act yet; None if all act."""
    if spec.engine not in SUPPORTED_ENGINES:
        return f"spec.engine: {spec.engine}"
    if spec.base_model.weights is not None:
        return "spec.baseModel.weights"
    if spec.base_model.trained_model is not None:
        return "spec.baseModel.trainedModel"
    if spec.hyperparameters.extra:
        return "spec.hyperparameters.extra"
    if spec.exports:
        return "spec.exports"
    if spec.image is not None:
        return "spec.image"
    return None


def unsupported_in_process(spec: TrainingProcessSpec) -> str | None:
    """The first field of a TrainingProcess that does not act yet; None if all act."""
    notifications = spec.notifications
    if notifications is not None and (notifications.email or notifications.webhooks):
        return "spec.notifications"
    if spec.on_existing_run is not OnExistingRun.TRAIN:
        return f"spec.onExistingRun: {spec.on_existing_run}"
    overrides = spec.overrides.to_wire() if spec.overrides is not None else {}
    if overrides.get("hyperparameters", {}).get("extra"):
        return "spec.overrides.hyperparameters.extra"
    return None
