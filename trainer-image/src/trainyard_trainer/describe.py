"""Describing a trained model: what it takes and gives, how good it is, where it comes from."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from trainyard.api.run import RunFile, SnapshotRef
from trainyard_trainer import publish
from trainyard_trainer.config import (
    CapabilityNote,
    DatasetNote,
    Lineage,
    MetricsNote,
    ModelConfig,
    OutputTensor,
    Thresholds,
)
from trainyard_trainer.engines.base import (
    DEFAULT_CONFIDENCE,
    SplitResult,
    Trained,
    TrainSettings,
)

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine


def describe(
    run: RunFile,
    settings: TrainSettings,
    engine: TrainingEngine,
    trained: Trained,
    outputs: tuple[OutputTensor, ...],
    results: dict[str, SplitResult],
) -> ModelConfig:
    """config.yaml of a trained model.

    Parameters
    ----------
    run, settings, engine
        What was trained, how, by what.
    trained, outputs, results
        What came of it, what it gives, and its metrics by split: dev and perhaps test.
    """
    # The capability's own confidence, if it has one: it was measured with that.
    threshold = results["dev"].threshold

    def notes(references: tuple[SnapshotRef, ...]) -> tuple[DatasetNote, ...]:
        return tuple(DatasetNote(name=x.name, digest=x.digest) for x in references)

    return ModelConfig(
        engine=run.template.engine,
        architecture=settings.architecture,
        model=trained.architecture,
        classes=settings.classes,
        input=engine.input_rule(trained.image_size),
        outputs=outputs,
        thresholds=Thresholds(
            confidence=DEFAULT_CONFIDENCE if threshold is None else threshold,
            iou=settings.iou,
        ),
        capability=CapabilityNote(
            name=run.capability_name,
            type=run.capability.type,
            geometry=run.capability.geometry,
        ),
        metrics=MetricsNote(
            primary=settings.primary_metric,
            best_epoch=trained.best_epoch,
            dev=publish.split_metrics(results["dev"]),
            test=publish.split_metrics(results["test"]) if "test" in results else None,
        ),
        lineage=Lineage(
            process=run.name,
            namespace=run.namespace,
            uid=run.uid,
            attempt=run.attempt,
            template=run.template_name,
            fingerprint=run.fingerprint,
            train=notes(run.datasets.train),
            dev=notes(run.datasets.dev),
            test=notes(run.datasets.test),
            software={
                "python": platform.python_version(),
                "torch": version("torch"),
                "ultralytics": version("ultralytics-opencv-headless"),
            },
        ),
    )
