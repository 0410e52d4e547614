"""Small, complete objects and facts that tests vary one thing of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from trainyard.api.capability import Capability
from trainyard.api.comparison import Comparison, LabelCount, SplitContent, SplitPair
from trainyard.api.dataset import Dataset
from trainyard.api.manifest import ArtefactManifest, SnapshotManifest
from trainyard.api.model import TrainedModel
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import TrainingProcessStatus
from trainyard.api.report import EpochReport, LastWords, ProgressReport
from trainyard.api.run import RunFile
from trainyard.api.template import TrainingTemplate
from trainyard.decide.actions import CreateTrainingJob
from trainyard.decide.facts import (
    DatasetFacts,
    DecisionSettings,
    JobFacts,
    LeaseFacts,
    NodeFacts,
    PodFacts,
    ProcessFacts,
    ReceivedReport,
    VerifiedArtefacts,
    VerifiedSnapshot,
)
from trainyard.decide.process import decide_process

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
JOB_UID = "aaaaaaaa-0000-0000-0000-000000000001"
JOB_NAME = "tp-111111112222-1"
STORE_ROOT = "s3://trainyard"
LOCATION = f"{STORE_ROOT}/runs/demo/{UID}/1"
SETTINGS = DecisionSettings(image="trainer:1", store_root=STORE_ROOT)
DATASET_UID = "99999999-8888-7777-6666-555555555555"
JOB = JobFacts(
    namespace="demo",
    name=JOB_NAME,
    uid=JOB_UID,
    resource_version="10",
    owner_uid=UID,
    spec_hash="h",
    suspended=True,
    complete=False,
    failed=False,
    process="digits",
    target_node="gpu-1",
)
RUNNING_JOB = replace(JOB, suspended=False)
COMPLETE_JOB = replace(RUNNING_JOB, complete=True)
FAILED_JOB = replace(RUNNING_JOB, failed=True, failure="Job has reached the backoff limit")
POD = PodFacts(
    namespace="demo",
    name=f"{JOB_NAME}-x7x7x",
    uid="pod-uid",
    job_uid=JOB_UID,
    phase="Running",
    target_node="gpu-1",
    node="gpu-1",
    image="trainer:1",
)
LEASE = LeaseFacts(
    name="node-1",
    uid="lease-uid",
    resource_version="5",
    node="gpu-1",
    holder_job_uid=JOB_UID,
    holder="demo/digits",
)
OTHERS_LEASE = replace(LEASE, holder_job_uid="another", holder="team/other")
NODE = NodeFacts(name="gpu-1", uid="node-uid", enabled=True, ready=True, cordoned=False)


def after(seconds: float) -> datetime:
    """A time after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def meta(name: str, uid: str = "", **more: Any) -> dict[str, Any]:
    """Metadata in the namespace demo."""
    return {
        "name": name,
        "namespace": "demo",
        "uid": uid or f"uid-of-{name}",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-11-23T11:00:00Z",
        **more,
    }


def capability(*values: str, type_: str = "ImageClassifierElement", **spec: Any) -> Capability:
    """A Capability with one output a value."""
    outputs = [
        {"attribute": "class", "value": value, "position": position}
        for position, value in enumerate(values or ("cat", "dog"))
    ]
    return Capability.model_validate(
        {"metadata": meta("pets"), "spec": {"type": type_, "outputs": outputs, **spec}}
    )


def template(engine: str = "yolo-cls", **spec: Any) -> TrainingTemplate:
    """A TrainingTemplate that trains on the CPU."""
    return TrainingTemplate.model_validate(
        {
            "metadata": meta("recipe"),
            "spec": {
                "displayName": "recipe",
                "engine": engine,
                "baseModel": {"architecture": "yolo11n"},
                "hyperparameters": {"epochs": 30},
                "resources": {"gpus": 0},
                **spec,
            },
        }
    )


def trained_model(name: str = "older", *, location: str = LOCATION, **spec: Any) -> TrainedModel:
    """A TrainedModel of a classifier, by default made by a run of the namespace demo."""
    weights = {"uri": f"{location}/model.pth", "sha256": "5" * 64, "sizeBytes": 3_500_000}
    return TrainedModel.model_validate(
        {
            "metadata": meta(name),
            "spec": {
                "capability": "pets",
                "type": "ImageClassifierElement",
                "engine": "yolo-cls",
                "classes": [{"attribute": "class", "value": "cat", "position": 0}],
                "artefacts": {"location": location, "weights": weights},
                **spec,
            },
        }
    )


def snapshot_status(digest: str = "a" * 64, **counts: int) -> dict[str, Any]:
    """`status.snapshot` of a ready Dataset."""
    return {
        "uri": f"{STORE_ROOT}/datasets/demo/{digest[:8]}",
        "digest": digest,
        "samples": 100,
        "annotations": 100,
        "classes": [
            {"attribute": "class", "value": value, "count": count}
            for value, count in (counts or {"cat": 50, "dog": 50}).items()
        ],
        "sizeBytes": 1000,
        "createdAt": "2026-11-23T11:30:00Z",
    }


def dataset(
    name: str = "train",
    *,
    snapshot: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Dataset:
    """A Dataset of folders in a bucket; with `snapshot` it is ready."""
    if snapshot is not None:
        status = {"phase": "Ready", "snapshot": snapshot}
    selections = [{"source": {"s3": {"bucket": "data", "prefix": name}}, "format": "folders"}]
    return Dataset.model_validate(
        {
            "metadata": meta(name, DATASET_UID if name == "train" else ""),
            "spec": {"selections": selections, **spec},
            "status": status or {},
        }
    )


def ready_datasets() -> dict[str, Dataset]:
    """Train and dev, both with a snapshot."""
    return {
        "train": dataset("train", snapshot=snapshot_status("a" * 64)),
        "dev": dataset("dev", snapshot=snapshot_status("b" * 64)),
    }


def content(samples: int = 100, geometry: str = "image", **counts: int) -> SplitContent:
    """What a split holds: annotations of values of the attribute `class`."""
    labels = sorted((counts or {"cat": 50, "dog": 50}).items())
    return SplitContent(
        samples, tuple(LabelCount("class", value, geometry, count) for value, count in labels)
    )


def compared(*pairs: SplitPair, **splits: SplitContent) -> Comparison:
    """Train and dev with cats and dogs, which have nothing in common but `pairs`."""
    whole: dict[Any, SplitContent] = {"train": content(), "dev": content(), **splits}
    return Comparison(whole, pairs)


def process(
    name: str = "digits",
    *,
    uid: str = UID,
    status: TrainingProcessStatus | None = None,
    metadata: dict[str, Any] | None = None,
    **spec: Any,
) -> TrainingProcess:
    """A TrainingProcess for node gpu-1."""
    made = TrainingProcess.model_validate(
        {
            "metadata": meta(name, uid, **(metadata or {})),
            "spec": {
                "capability": "pets",
                "template": "recipe",
                "datasets": {"train": ["train"], "dev": ["dev"]},
                "targetNode": "gpu-1",
                **spec,
            },
        }
    )
    return made if status is None else made.model_copy(update={"status": status})


def facts(**changes: Any) -> ProcessFacts:
    """Everything fits and the node is free; nothing was done yet."""
    base = ProcessFacts(
        process=process(),
        settings=SETTINGS,
        capability=capability(),
        template=template(),
        datasets=ready_datasets(),
        data=compared(),
        node=NODE,
    )
    return replace(base, **changes)


def with_status(known: ProcessFacts, status: TrainingProcessStatus, **changes: Any) -> ProcessFacts:
    """The facts after the status was written and read back through the wire format."""
    stored = TrainingProcessStatus.model_validate(status.to_wire())
    made = known.process.model_copy(update={"status": stored})
    return replace(known, process=made, **changes)


def joined(**changes: Any) -> ProcessFacts:
    """Facts of a process that stands in the queue of its node, as a later pass reads them."""
    known = facts(**changes)
    return with_status(known, decide_process(known, NOW).status)


def attempted(**changes: Any) -> ProcessFacts:
    """Facts in the pass after the attempt was recorded: its suspended Job and run.yaml are there.

    `changes` apply on top, for example `job=RUNNING_JOB, lease=LEASE`.
    """
    first = joined(
        **{
            key: changes[key]
            for key in ("process", "template", "base_model", "node")
            if key in changes
        }
    )
    decision = decide_process(first, NOW)
    action = next(item for item in decision.actions if isinstance(item, CreateTrainingJob))
    changes.pop("process", None)
    return with_status(first, decision.status, **{"job": JOB, "run": action.run, **changes})


def run_of(known: ProcessFacts) -> RunFile:
    """The run.yaml that `attempted` has."""
    assert known.run is not None
    return known.run


def report(percent: int = 40, **more: Any) -> ReceivedReport:
    """A report after 12 of 30 epochs."""
    history = (
        EpochReport(
            epoch=12,
            learning_rate=0.01,
            train_loss=0.5,
            dev_accuracy=0.9,
            metrics={"top-1": 0.9, "top-5": 0.99},
        ),
    )
    values: dict[str, Any] = {
        "kind": "run",
        "uid": UID,
        "stage": "train",
        "percent": percent,
        "epoch": 12,
        "epochs": 30,
        "estimated_remaining_seconds": 6000,
        "history": history,
        **more,
    }
    return ReceivedReport(ProgressReport(**values), NOW)


def manifest(**changes: Any) -> ArtefactManifest:
    """The manifest of a finished run."""
    values: dict[str, Any] = {
        "uid": UID,
        "attempt": 1,
        "run_digest": "d" * 64,
        "fingerprint": "f" * 64,
        "files": [
            {"name": "model.pth", "sha256": "1" * 64, "size_bytes": 3_500_000},
            {"name": "config.yaml", "sha256": "2" * 64, "size_bytes": 900},
        ],
        "roles": {"weights": "model.pth", "config": "config.yaml"},
        "primary_metric": "top-1",
        "dev": {"metrics": {"top-1": 0.95, "top-5": 1.0}, "samples": 40},
        "test": {"metrics": {"top-1": 0.9375}, "samples": 32},
        "epochs_trained": 30,
        "created_at": NOW,
    }
    return ArtefactManifest.model_validate({**values, **changes})


def verified(known: ProcessFacts, **changes: Any) -> VerifiedArtefacts:
    """Artefacts that belong to the run of `known`."""
    run = run_of(known)
    own = {"run_digest": run.digest, "fingerprint": run.fingerprint}
    return VerifiedArtefacts(LOCATION, manifest(**{**own, **changes}))


def ended_pod(pod: PodFacts, phase: str = "Failed", **changes: Any) -> PodFacts:
    """The pod after its kubelet said that all its containers have ended."""
    return replace(pod, phase=phase, ended=True, **changes)


def last_words(reason: str, message: str = "") -> LastWords:
    """What a trainer said at its end."""
    return LastWords(reason=reason, message=message)


def dataset_facts(**changes: Any) -> DatasetFacts:
    """A Dataset that was just applied."""
    return replace(DatasetFacts(dataset=dataset(), settings=SETTINGS), **changes)


def snapshot_manifest() -> VerifiedSnapshot:
    """A complete snapshot of 100 images."""
    made = SnapshotManifest.model_validate(
        {
            "digest": "a" * 64,
            "samples": 100,
            "annotations": 120,
            "classes": [{"attribute": "class", "value": "cat", "count": 120}],
            "size_bytes": 2048,
            "manifest": {"name": "manifest.parquet", "sha256": "3" * 64, "size_bytes": 10},
            "shards": [],
            "created_at": NOW,
        }
    )
    return VerifiedSnapshot(f"{STORE_ROOT}/datasets/demo/aaaa", made)
