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
from trainyard.api.manifest import SnapshotManifest
from trainyard.api.reasons import ConditionType, Reason
from trainyard.api.run import ProgressTarget, SnapshotRunFile
from trainyard.decide import display, snapshot_job
from trainyard.decide.actions import (
    Action,
    CreateSnapshotJob,
    Decision,
    DeleteJob,
    Happening,
    SuspendJob,
)
from trainyard.decide.conditions import find, with_condition
from trainyard.decide.draft import POLL
from trainyard.decide.facts import DatasetFacts, JobFacts, Mismatch, VerifiedSnapshot
from trainyard.decide.validation import missing_secret

_ENDS = (DatasetPhase.READY, DatasetPhase.FAILED)

_PRESSED_LIMIT = 5
"""How often a kubelet may end the pod: the Job counts what is evicted as nobody's fault, and would
try for good on a node whose disk is too small."""


def decide_dataset(facts: DatasetFacts, now: datetime) -> Decision[DatasetStatus]:
    """The next step of a Dataset; Ready and Failed never change."""
    dataset = facts.dataset
    status = dataset.status
    if dataset.metadata.deletion_timestamp is not None or status.phase in _ENDS:
        return Decision(status)
    if dataset.spec.suspend:
        return _say(
            facts,
            now,
            DatasetPhase.DRAFT,
            Reason.DRAFT,
            "a draft: set spec.suspend to false to make the snapshot",
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
        ended = snapshot_job.ended(job, facts.pod)
        return _say(facts, now, DatasetPhase.FAILED, ended.reason, ended.message)
    if facts.pressed >= _PRESSED_LIMIT:
        return _say(
            facts,
            now,
            DatasetPhase.FAILED,
            Reason.NODE_PRESSURE,
            f"kubelets ended the snapshot's pod {facts.pressed} times, for want of memory or disk "
            "of their nodes: free some there (kubectl describe node says which), then make a new "
            "Dataset",
            # Its pods stay, for their events and logs; and a pass that is cut off decides the same.
            actions=() if job.suspended else (SuspendJob(job),),
        )
    return _follow(facts, job, now)


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
        limits=settings.dataset_limits,
        output=snapshot_root(settings.store_root, meta.namespace),
        store=settings.store,
        progress=ProgressTarget(url=settings.progress_url) if settings.progress_url else None,
    ).sealed()


def _follow(facts: DatasetFacts, job: JobFacts, now: datetime) -> Decision[DatasetStatus]:
    if snapshot_job.waits_for_another_image(facts, job):
        return _say(
            facts,
            now,
            DatasetPhase.SNAPSHOTTING,
            Reason.SNAPSHOTTING,
            f"the snapshot is begun again with image {facts.settings.image}, which the operator's "
            f"setting trainer.image names now, for image {job.image} cannot be had",
            # Until its pod is gone the Job keeps its name, so that there is no second one.
            actions=(DeleteJob(job, pods_first=True),),
        )
    changes: dict[str, Any] = {}
    if facts.report is not None:
        report = facts.report.report
        changes["progress"] = DatasetProgress(percent=report.percent, message=report.message)
    reason, message, poll = snapshot_job.standing(facts, job, now)
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
        poll=poll,
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
    snapshot = snapshot_status(found.location, manifest)
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


def snapshot_status(location: str, manifest: SnapshotManifest) -> SnapshotStatus:
    """What a Dataset says of the snapshot at `location`."""
    return SnapshotStatus(
        uri=location,
        digest=manifest.digest,
        samples=manifest.samples,
        annotations=manifest.annotations,
        classes=manifest.classes,
        size_bytes=manifest.size_bytes,
        refused=manifest.refused,
        created_at=manifest.created_at,
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
    # Nothing goes on any more.
    ended = {"progress": None} if phase is DatasetPhase.FAILED else {}
    conditions = with_condition(
        old.conditions,
        ConditionType.READY,
        phase is DatasetPhase.READY,
        reason,
        message,
        now=now,
        generation=generation,
    )
    if phase in _ENDS:
        finished = ConditionType.FINISHED
        conditions = with_condition(
            conditions, finished, True, reason, message, now=now, generation=generation
        )
    status = old.model_copy(
        update={
            "phase": phase,
            "conditions": conditions,
            "observed_generation": generation,
            **ended,
            **(changes or {}),
        }
    )
    before = find(old.conditions, ConditionType.READY)
    changed = old.phase is not phase or before is None or before.reason != str(reason)
    event = Happening(str(reason), message, warning=phase is DatasetPhase.FAILED)
    return Decision(
        status=status,
        actions=actions,
        events=(event,) if changed else (),
        look_again_at=now + POLL if poll else None,
    )
