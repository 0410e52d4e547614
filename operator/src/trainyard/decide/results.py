"""From the trainer's words to status fields: progress, history, metrics, artefacts, the model."""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.api.manifest import ArtefactManifest, SplitMetrics
from trainyard.api.model import Lineage, TrainedModelSpec
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import (
    ArtefactRef,
    Artefacts,
    EvaluationStatus,
    HistoryPoint,
    MetricSet,
    MetricValue,
    ProgressStatus,
)
from trainyard.api.report import EpochReport, ProgressReport
from trainyard.api.run import RunFile
from trainyard.api.template import TrainingTemplateSpec
from trainyard.decide import display
from trainyard.decide.draft import StatusDraft
from trainyard.decide.facts import ReceivedReport, VerifiedArtefacts
from trainyard.decide.recipe import METRICS


def number(value: float) -> str:
    """A number with six significant digits, as status spells it."""
    return f"{value:.6g}"


def metric_values(metrics: dict[str, float]) -> tuple[MetricValue, ...]:
    """Metrics in the order of their names."""
    return tuple(
        MetricValue(name=name, value=number(value)) for name, value in sorted(metrics.items())
    )


def progress(received: ReceivedReport, expected: datetime | None = None) -> ProgressStatus:
    """Progress as the newest report states it.

    Parameters
    ----------
    expected
        When the attempt would be over if it took as long as runs before it: what is shown until
        the trainer has measured something.
    """
    report = received.report
    at = received.received_at.replace(microsecond=0)
    remaining = report.estimated_remaining_seconds
    if remaining is None and expected is not None and expected > at:
        remaining = round((expected - at).total_seconds())
    return ProgressStatus(
        stage=str(report.stage),
        percent=report.percent,
        epoch=report.epoch,
        epochs=report.epochs,
        estimated_remaining_seconds=remaining,
        estimated_completion_time=None if remaining is None else at + timedelta(seconds=remaining),
        last_updated_time=at,
    )


def history(report: ProgressReport) -> tuple[HistoryPoint, ...]:
    """The learning curves that the report carries."""
    return tuple(_point(epoch) for epoch in report.history)


def _point(epoch: EpochReport) -> HistoryPoint:
    def text(value: float | None) -> str | None:
        return None if value is None else number(value)

    return HistoryPoint(
        epoch=epoch.epoch,
        learning_rate=text(epoch.learning_rate),
        train_loss=text(epoch.train_loss),
        dev_accuracy=text(epoch.dev_accuracy),
    )


def primary_metric_name(template: TrainingTemplateSpec) -> str:
    """The metric that the METRIC column shows: the template's, else the engine's default."""
    return template.evaluation.primary_metric or METRICS[template.engine][0]


def finished_progress(old: ProgressStatus | None, trained: int, now: datetime) -> ProgressStatus:
    """Progress of a run that is over."""
    return ProgressStatus(
        percent=100,
        epoch=trained,
        epochs=old.epochs if old is not None and old.epochs is not None else trained,
        last_updated_time=now.replace(microsecond=0),
    )


def take(draft: StatusDraft, verified: VerifiedArtefacts, before: ProgressStatus | None) -> None:
    """Put into status what a run has reached.

    Parameters
    ----------
    draft
        The status that is being made.
    verified
        Files of the run, which are what its manifest says.
    before
        Progress of the run so far; None: it was another process's.
    """
    manifest = verified.manifest
    done = finished_progress(before, manifest.epochs_trained, draft.now)
    draft.changes.update(
        artefacts=artefacts(verified),
        evaluation=evaluation(manifest),
        metrics=metric_values(manifest.dev.metrics),
        progress=done,
    )
    draft.show(progress=display.progress(done), metric=primary(manifest))


def artefacts(verified: VerifiedArtefacts) -> Artefacts:
    """`status.artefacts` of verified files."""
    by_name = {file.name: file for file in verified.manifest.files}
    refs = {
        role.value: ArtefactRef(
            uri=f"{verified.location}/{name}",
            sha256=by_name[name].sha256,
            size_bytes=by_name[name].size_bytes,
        )
        for role, name in verified.manifest.roles.items()
    }
    return Artefacts(location=verified.location, **refs)


def evaluation(manifest: ArtefactManifest) -> EvaluationStatus:
    """`status.evaluation` of a finished run."""
    return EvaluationStatus(
        dev=_metric_set(manifest.dev),
        test=None if manifest.test is None else _metric_set(manifest.test),
    )


def _metric_set(split: SplitMetrics) -> MetricSet:
    return MetricSet(metrics=metric_values(split.metrics), samples=split.samples)


def primary(manifest: ArtefactManifest) -> str:
    """The METRIC column: the primary metric on test, else on dev."""
    name = manifest.primary_metric
    split = manifest.test if manifest.test is not None else manifest.dev
    value = split.metrics.get(name, manifest.dev.metrics.get(name))
    return "" if value is None else display.metric(name, value)


def model_name(process: TrainingProcess, made_by: str | None) -> str:
    """Name of the TrainedModel: the process's, or with its short UID when that one is taken."""
    meta = process.metadata
    if made_by is None or made_by == meta.uid:
        return meta.name
    return f"{meta.name[:54].rstrip('-')}-{meta.uid[:8]}"


def model_spec(
    process: TrainingProcess, run: RunFile, verified: VerifiedArtefacts, now: datetime
) -> TrainedModelSpec:
    """The TrainedModel of a finished run."""
    capability, template = run.capability, run.template
    return TrainedModelSpec(
        display_name=template.display_name,
        capability=process.spec.capability,
        type=capability.type,
        engine=template.engine,
        classes=capability.outputs,
        artefacts=artefacts(verified),
        fingerprint=verified.manifest.fingerprint,
        lineage=Lineage(
            process=process.metadata.name,
            process_uid=process.metadata.uid,
            template=process.spec.template,
            node=process.spec.target_node,
            finished_at=now.replace(microsecond=0),
        ),
        metric=primary(verified.manifest),
    )
