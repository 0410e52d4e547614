"""What a recipe may say beyond what its schema checks: names that only its engine knows."""

from __future__ import annotations

from trainyard.api.engine_arguments import check_architecture, validated
from trainyard.api.template import Engine, TrainingTemplateSpec

_BOX_METRICS = ("mAP50-95", "mAP50", "precision", "recall")
METRICS: dict[Engine, tuple[str, ...]] = {
    Engine.YOLO_DET: _BOX_METRICS,
    Engine.YOLO_SEG: (*(f"mask-{name}" for name in _BOX_METRICS), *_BOX_METRICS),
    Engine.YOLO_CLS: ("top-1", "top-5"),
    Engine.EMBEDDER: ("recall-at-1", "recall-at-5", "mAP"),
}
"""Metrics by which an engine can choose its best epoch; the first is the default."""


def problem(recipe: TrainingTemplateSpec) -> str | None:
    """The first thing that the engine does not know, in one sentence; None if there is none."""
    engine, base = recipe.engine, recipe.base_model
    try:
        if base.architecture is not None:
            check_architecture(engine, base.architecture)
        validated(engine, recipe.hyperparameters.extra)
    except ValueError as error:
        return str(error)
    metric, allowed = recipe.evaluation.primary_metric, METRICS[engine]
    if metric is not None and metric not in allowed:
        return (
            f"evaluation.primaryMetric: {metric!r} is not a metric of engine {engine}: use one of "
            f"{', '.join(allowed)}"
        )
    return None
