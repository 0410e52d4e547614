"""What a run file asks of an engine, resolved and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainyard.api.capability import CapabilitySpec, CapabilityType, Embedding
from trainyard.api.engine_arguments import check_architecture, validated
from trainyard.api.run import RunFile
from trainyard_trainer.engines.augment import resolve
from trainyard_trainer.engines.base import Base, TrainSettings
from trainyard_trainer.faults import InvalidRunFile
from trainyard_trainer.machine import cpu_count, cpus_of

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine


def settings_of(
    run: RunFile, engine: TrainingEngine, device: str, base: Base | None = None
) -> TrainSettings:
    """What the engine is told.

    Parameters
    ----------
    run, engine, device
        What is trained, by what, on what.
    base
        What `run.base` names, fetched.

    Raises
    ------
    InvalidRunFile
        If the template names an architecture, an argument or a metric that the engine does not
        have.
    """
    template = run.template
    architecture = base.architecture if base else template.base_model.architecture
    if architecture is None:
        raise InvalidRunFile(
            "base: the run file names no weights, though the template starts from some"
        )
    try:
        check_architecture(engine.kind, architecture)
        extra = validated(engine.kind, template.hyperparameters.extra)
    except ValueError as error:
        raise InvalidRunFile(str(error)) from None
    primary = template.evaluation.primary_metric or engine.default_metric
    if primary not in engine.metrics:
        raise InvalidRunFile(
            f"evaluation.primaryMetric: the engine {engine.kind.value} has no metric {primary!r}; "
            f"use one of {', '.join(engine.metrics)}"
        )
    threads = cpu_count(cpus_of(template.resources.cpu))
    workers = template.hyperparameters.workers
    return TrainSettings(
        architecture=architecture,
        classes=run.capability.outputs,
        hyperparameters=template.hyperparameters,
        variation=resolve(template.augmentation, engine.kind),
        device=device,
        threads=threads,
        workers=threads if workers is None else workers,
        primary_metric=primary,
        confidence=template.evaluation.confidence_threshold,
        iou=_overlap(run),
        extra=extra,
        dimensions=_dimensions(run.capability),
        base=base,
    )


def _overlap(run: RunFile) -> float:
    """The overlap above which two boxes count as one: a model is judged as it is used."""
    parameters = run.capability.parameters
    if parameters is not None and parameters.iou is not None:
        return parameters.iou
    return run.template.evaluation.iou_threshold


def _dimensions(capability: CapabilitySpec) -> int:
    if capability.type is not CapabilityType.BOX_EMBEDDER:
        return 0
    return (capability.embedding or Embedding()).dimensions
