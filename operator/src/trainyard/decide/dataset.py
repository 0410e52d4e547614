"""What to do about a Dataset: draft, snapshot Job, Ready or Failed for good."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trainyard.api.dataset import (
    DatasetDisplay,
    DatasetPhase,
    DatasetProgress,
    DatasetSpec,
    DatasetStatus,
    SnapshotStatus,
)
from trainyard.api.grouping import InvalidGroupBy, parse_group_by
from trainyard.api.reasons import ConditionType, Reason
from trainyard.api.run import ProgressTarget, SnapshotRunFile
from trainyard.decide import display, outcome
from trainyard.decide.actions import Action, CreateSnapshotJob, Decision, Happening
from trainyard.decide.conditions import with_condition
from trainyard.decide.draft import POLL
from trainyard.decide.facts import DatasetFacts, Mismatch, VerifiedSnapshot
from trainyard.decide.support import unsupported_in_dataset
from trainyard.decide.validation import missing_secret


def decide_dataset(facts: DatasetFacts, now: datetime) -> Decision[DatasetStatus]:
    """The next step of a Dataset; Ready and Failed never change."""
    dataset = facts.dataset
    status = dataset.status
    if dataset.metadata.deletion_timestamp is not None or status.phase in (
        DatasetPhase.READY,
        DatasetPhase.FAILED,
    ):
        return Decision(status)
    if dataset.spec.suspend:
        return _say(
            facts,
            now,
            DatasetPhase.DRAFT,
            Reason.DRAFT,
            "a draft: set spec.suspend to false to make the snapshot",
        )
    field = unsupported_in_dataset(dataset.spec)
    if field is not None:
        return _say(
            facts,
            now,
            DatasetPhase.FAILED,
            Reason.NOT_YET_SUPPORTED,
            f"Dataset {dataset.metadata.name}: {field} is not supported yet: remove it",
        )
    invalid = _invalid_group_by(dataset.spec)
    if invalid is not None:
        sentence = f"Dataset {dataset.metadata.name}: {invalid}"
        return _say(facts, now, DatasetPhase.FAILED, Reason.INVALID_GROUP_BY, sentence)
    job = facts.job
    if job is None:
        return _begin(facts, now)
    if job.owner_uid != dataset.metadata.uid:
        return _say(
            facts,
            now,
            DatasetPhase.PENDING,
            Reason.JOB_NAME_TAKEN,
            f"Job {job.name} was made by another and has the name that this dataset "
            f"needs: delete it with kubectl delete job {job.name}",
            poll=True,
        )
    if job.complete:
        return _harvest(facts, now)
    if job.failed:
        ended = outcome.of_failure(job, facts.pod)
        return _say(facts, now, DatasetPhase.FAILED, ended.reason, ended.message)
    return _follow(facts, now)


def _invalid_group_by(spec: DatasetSpec) -> str | None:
    """What is wrong with groupBy, found out before a Job is made for nothing."""
    if spec.group_by is not None:
        try:
            parse_group_by(spec.group_by, (selection.format for selection in spec.selections))
        except InvalidGroupBy as error:
            return str(error)
    return None


def snapshot_root(store_root: str, namespace: str) -> str:
    """Folder of a namespace's snapshots and shards."""
    return f"{store_root}/datasets/{namespace}"


def _begin(facts: DatasetFacts, now: datetime) -> Decision[DatasetStatus]:
    meta = facts.dataset.metadata
    if not facts.secret_present:
        finding = missing_secret(meta.namespace)
        return _say(facts, now, DatasetPhase.PENDING, finding.reason, finding.message, poll=True)
    return _say(
        facts,
        now,
        DatasetPhase.SNAPSHOTTING,
        Reason.SNAPSHOTTING,
        "the snapshot is being made",
        actions=(CreateSnapshotJob(_run_file(facts)),),
    )


def _run_file(facts: DatasetFacts) -> SnapshotRunFile:
    """What the snapshot Job is told."""
    settings = facts.settings
    meta = facts.dataset.metadata
    return SnapshotRunFile(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        selections=facts.dataset.spec.selections,
        group_by=facts.dataset.spec.group_by,
        output=snapshot_root(settings.store_root, meta.namespace),
        store=settings.store,
        progress=ProgressTarget(url=settings.progress_url) if settings.progress_url else None,
    ).sealed()


def _follow(facts: DatasetFacts, now: datetime) -> Decision[DatasetStatus]:
    changes: dict[str, Any] = {}
    if facts.report is not None:
        report = facts.report.report
        changes["progress"] = DatasetProgress(percent=report.percent, message=report.message)
    reason, message = Reason.SNAPSHOTTING, "the snapshot is being made"
    pod = facts.pod
    if pod is not None and pod.phase == "Pending":
        if pod.image_missing:
            reason = Reason.IMAGE_PULL_FAILED
            message = f"the trainer image cannot be had: {pod.waiting_message[:300]}"
        elif pod.unschedulable:
            reason = Reason.UNSCHEDULABLE
            message = f"the snapshot's pod cannot be placed: {pod.unschedulable[:300]}"
    # The record is written after Job and ConfigMap: without it a pass was cut off between them,
    # and the pod waits for its ConfigMap.
    recorded = facts.dataset.status.phase is DatasetPhase.SNAPSHOTTING
    return _say(
        facts,
        now,
        DatasetPhase.SNAPSHOTTING,
        reason,
        message,
        actions=() if recorded else (CreateSnapshotJob(_run_file(facts)),),
        changes=changes,
    )


def _harvest(facts: DatasetFacts, now: datetime) -> Decision[DatasetStatus]:
    found = facts.snapshot
    if isinstance(found, Mismatch):
        return _say(facts, now, DatasetPhase.FAILED, Reason.SNAPSHOT_FAILED, found.message)
    if not isinstance(found, VerifiedSnapshot):
        message = found.message if found is not None else "the snapshot is being verified"
        return _say(
            facts, now, DatasetPhase.SNAPSHOTTING, Reason.STORE_UNAVAILABLE, message, poll=True
        )
    manifest = found.manifest
    snapshot = SnapshotStatus(
        uri=found.location,
        digest=manifest.digest,
        samples=manifest.samples,
        annotations=manifest.annotations,
        classes=manifest.classes,
        size_bytes=manifest.size_bytes,
        refused=manifest.refused,
        created_at=manifest.created_at,
    )
    shown = DatasetDisplay(
        size=display.size(manifest.size_bytes), classes=str(len(manifest.classes))
    )
    return _say(
        facts,
        now,
        DatasetPhase.READY,
        Reason.SNAPSHOTTED,
        f"{manifest.samples} images, {manifest.annotations} labels",
        changes={"snapshot": snapshot, "display": shown, "progress": None},
    )


def _say(
    facts: DatasetFacts,
    now: datetime,
    phase: DatasetPhase,
    reason: Reason,
    message: str,
    *,
    actions: tuple[Action, ...] = (),
    changes: dict[str, Any] | None = None,
    poll: bool = False,
) -> Decision[DatasetStatus]:
    old = facts.dataset.status
    generation = facts.dataset.metadata.generation
    conditions = with_condition(
        old.conditions,
        ConditionType.READY,
        phase is DatasetPhase.READY,
        reason,
        message,
        now=now,
        generation=generation,
    )
    status = old.model_copy(
        update={
            "phase": phase,
            "conditions": conditions,
            "observed_generation": generation,
            **(changes or {}),
        }
    )
    before = next((item.reason for item in old.conditions), None)
    changed = old.phase is not phase or before != str(reason)
    event = Happening(str(reason), message, warning=phase is DatasetPhase.FAILED)
    return Decision(
        status=status,
        actions=actions,
        events=(event,) if changed else (),
        look_again_at=now + POLL if poll else None,
    )
