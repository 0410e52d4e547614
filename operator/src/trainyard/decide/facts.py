"""Facts: what was gathered about the cluster, as frozen values. No Kubernetes types, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trainyard.api.capability import Capability
from trainyard.api.comparison import Comparison
from trainyard.api.dataset import Dataset
from trainyard.api.evaluation import EvaluationFile
from trainyard.api.manifest import ArtefactManifest, SnapshotManifest
from trainyard.api.model import TrainedModel
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import Reason
from trainyard.api.report import LastWords, ProgressReport
from trainyard.api.run import RunFile, SnapshotLimits, StoreLocation
from trainyard.api.template import TrainingTemplate
from trainyard.decide.outbox import Deliveries
from trainyard.decide.recipients import NotificationRules

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Taint by which an administrator says that a node is off."""
DELETED_BY_POD_GC = "DeletionByPodGC"
"""Reason of DisruptionTarget on pods whose node is gone."""


@dataclass(frozen=True)
class Taint:
    """A taint that keeps pods off a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class NodeFacts:
    """A node as the API server shows it."""

    name: str
    uid: str
    enabled: bool
    """Carries the label trainyard.dev/target=true."""
    ready: bool
    cordoned: bool
    taints: tuple[Taint, ...] = ()
    allocatable: dict[str, int] = field(default_factory=dict)
    """Whole units of each extended resource."""
    system_uuid: str = ""
    boot_id: str = ""
    release: str = ""
    """UID of the lock that an administrator wants freed."""

    @property
    def out_of_service(self) -> bool:
        """Whether an administrator says that the machine is off."""
        return any(taint.key == OUT_OF_SERVICE for taint in self.taints)


@dataclass(frozen=True)
class JobFacts:
    """A Job with our labels."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner_uid: str
    spec_hash: str
    suspended: bool
    complete: bool
    failed: bool
    failure: str = ""
    """Message of the condition Failed."""
    failed_pods: int = 0
    """Pods that failed, without those that were evicted or lost their node."""
    process: str = ""
    """Name of its TrainingProcess."""
    target_node: str = ""
    image: str = ""
    """That a snapshot Job was made with; empty: of another Job."""
    deleting: bool = False

    @property
    def finished(self) -> bool:
        """Whether the Job controller is done with it."""
        return self.complete or self.failed

    @property
    def live(self) -> bool:
        """Whether the Job controller may make a pod of it."""
        return not self.suspended and not self.finished


@dataclass(frozen=True)
class PodFacts:
    """A pod with our labels."""

    namespace: str
    name: str
    uid: str
    job_uid: str
    phase: str
    target_node: str
    """Node that it is pinned to, bound or not."""
    node: str = ""
    """Node that it is bound to."""
    exit_code: int | None = None
    oom_killed: bool = False
    last_words: LastWords | None = None
    deletion_time: datetime | None = None
    """When it should be gone: the time of the deletion and its grace period; None: not deleted."""
    kept: bool = False
    """Carries our finalizer."""
    ended: bool = False
    """Each container that was started has ended, in its kubelet's own words."""
    disruption: str = ""
    """Reason of the condition DisruptionTarget, for example EvictionByEvictionAPI."""
    over_limit: str = ""
    """Why its kubelet evicted it, in its words, when it used more disk than it may.

    Kubernetes counts that as the pod's own failure: there is no DisruptionTarget.
    """
    log_tail: str = ""
    """End of the log, when the container left no last words."""
    waiting_reason: str = ""
    """Reason of the container's state waiting, for example ErrImagePull."""
    waiting_message: str = ""
    unschedulable: str = ""
    """Message of the scheduler."""
    image: str = ""
    memory_limit: str = ""
    """As it was asked for, for example 3Gi."""
    start_error: str = ""
    """Why the container could not be started, in its runtime's words."""

    @property
    def terminal(self) -> bool:
        """Whether its phase says that it is over; somebody else than its kubelet may say that."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def over(self) -> bool:
        """Whether there is evidence that no process of it lives.

        It was never bound and cannot be bound any more; or it is terminal, its kubelet reported
        the end of every container that it started, and the phase was not written by the pod
        garbage collector, which knows nothing about processes.
        """
        if not self.node:
            return self.terminal or self.deletion_time is not None
        return self.terminal and self.ended and self.disruption != DELETED_BY_POD_GC


@dataclass(frozen=True)
class StartFailure:
    """Why a bound pod is not set up on its node, if that is its kubelet's last event."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class LeaseFacts:
    """The lock of a node."""

    name: str
    uid: str
    resource_version: str
    node: str
    holder_job_uid: str
    holder: str
    """`namespace/name` of the TrainingProcess."""
    node_uid: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    """Of the node, when the lock was taken, or when `seen` was; empty: not known."""
    seen: str = ""
    """UID of the holder's pod that was seen running while the node had this boot ID."""
    quarantined: str = ""
    """Why nobody knows whether the holder is over; empty: not quarantined."""


@dataclass(frozen=True)
class Rival:
    """Another process of the same node, as far as the queue is concerned."""

    key: str
    """`namespace/name`."""
    uid: str
    phase: ProcessPhase | None
    validated: bool
    suspended: bool
    priority: int
    created: datetime
    rest_seconds: float | None = None
    """How long its next attempt will probably take; None: nobody knows."""
    done_at: datetime | None = None
    """When its present attempt will probably be over; None: nobody knows, or it has none."""
    leaves: bool = False
    """Whether it is being stopped, and within the time that this may take."""


@dataclass(frozen=True)
class Unavailable:
    """Something that could not be read now and may be readable later."""

    message: str
    reason: Reason = Reason.STORE_UNAVAILABLE


@dataclass(frozen=True)
class Mismatch:
    """Something in the store that is not what it should be."""

    message: str


@dataclass(frozen=True)
class ReceivedReport:
    """The newest report of a trainer pod."""

    report: ProgressReport
    received_at: datetime


@dataclass(frozen=True)
class VerifiedArtefacts:
    """The artefacts of a run: each file has the size and the SHA-256 that the manifest states."""

    location: str
    manifest: ArtefactManifest


@dataclass(frozen=True)
class ExistingRun:
    """A model of the same inputs, verified."""

    model: str
    """Name of the TrainedModel."""
    found: VerifiedArtefacts


@dataclass(frozen=True)
class VerifiedCheckpoint:
    """The newest checkpoint of which each file has the size and the SHA-256 stated."""

    location: str
    sha256: str
    """Of its checkpoint.json."""
    epoch: int
    attempt: int


@dataclass(frozen=True)
class VerifiedSnapshot:
    """A complete snapshot."""

    location: str
    manifest: SnapshotManifest


@dataclass(frozen=True)
class ProcessFacts:
    """Everything that decides about one TrainingProcess."""

    process: TrainingProcess
    settings: DecisionSettings
    capability: Capability | None = None
    template: TrainingTemplate | None = None
    base_model: TrainedModel | None = None
    """The TrainedModel that the template starts from; None: it names none, or it is not there."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    secret_present: bool = True
    data: Comparison | Unavailable | None = None
    """What the snapshots hold and have in common; None: not asked for, or one is not there."""
    node: NodeFacts | None = None
    job: JobFacts | None = None
    """The Job that has the name of the last attempt's."""
    next_job: JobFacts | None = None
    """The Job that has the name that the next attempt's will have."""
    jobs: tuple[JobFacts, ...] = ()
    """All Jobs of a process that is finished."""
    run: RunFile | None = None
    """The run.yaml of the current attempt, from its ConfigMap."""
    pod: PodFacts | None = None
    """The newest pod of the last attempt, whether its Job is there or not."""
    lease: LeaseFacts | None = None
    """The lock of the target node."""
    live_holder: str | None = None
    """`namespace/name` of another process with a live training pod on the target node."""
    rivals: tuple[Rival, ...] = ()
    expected_seconds: float | None = None
    """How long runs of the template took on the node; None: there was none."""
    report: ReceivedReport | None = None
    verdict: VerifiedArtefacts | Mismatch | Unavailable | None = None
    """Result of verifying the artefacts, once the Job is complete."""
    base: RunFile | None = None
    """The run.yaml of the first attempt: the frozen inputs."""
    checkpoint: VerifiedCheckpoint | Unavailable | None = None
    """The newest checkpoint, once the attempt's pod is over without a finished run."""
    refusal: str = ""
    """Why the API server refused the Job's pod, from the Job's events."""
    start_failure: StartFailure | None = None
    listening_since: datetime | None = None
    """Since when reports have been received."""
    existing: ExistingRun | Unavailable | None = None
    """A model of the same inputs; None: there is none, or it is not asked for."""
    deliveries: Deliveries = field(default_factory=Deliveries)
    """What came of the messages about its end that are on record as Sending."""
    model_made_by: str | None = None
    """UID of the process that made the TrainedModel which has this process's name; "" if that
    model was made by hand, None if there is no such model."""


@dataclass(frozen=True)
class DatasetFacts:
    """Everything that decides about one Dataset."""

    dataset: Dataset
    settings: DecisionSettings
    secret_present: bool = True
    job: JobFacts | None = None
    pod: PodFacts | None = None
    start_failure: StartFailure | None = None
    pressed: int = 0
    """Pods of the Job that their kubelets ended, for want of memory or disk; kept by the Job."""
    report: ReceivedReport | None = None
    snapshot: VerifiedSnapshot | Mismatch | Unavailable | None = None


@dataclass(frozen=True)
class FoundEvaluations:
    """The evaluations of a model that are in the store."""

    files: tuple[EvaluationFile, ...]
    unusable: tuple[str, ...] = ()
    """One sentence for each file that is no evaluation."""
    more: bool = False
    """There are more files than a status has room for."""


@dataclass(frozen=True)
class ModelFacts:
    """Everything that decides about one TrainedModel."""

    model: TrainedModel
    settings: DecisionSettings
    evaluations: FoundEvaluations | Unavailable | None = None
    """None: they were not to be read, or the model lies where they must not be read."""


@dataclass(frozen=True)
class LockFacts:
    """Everything that decides whether a node's lock is released."""

    lease: LeaseFacts | None
    holder_job: JobFacts | None
    pods: tuple[PodFacts, ...]
    """All training pods of the node, bound or pinned to it."""
    node: NodeFacts | None = None
    recorded: frozenset[str] = frozenset()
    """UIDs of pods whose end is on record, or whose process is gone."""
    orphaned: frozenset[str] = frozenset()
    """UIDs of pods whose process is gone."""
    leftover: tuple[JobFacts, ...] = ()
    """Unfinished Jobs of the node whose attempt is over or whose process is finished or gone."""


class OnBusyNode(StrEnum):
    """What becomes of a process whose node has an unfinished one."""

    QUEUE = "Queue"
    REJECT = "Reject"


@dataclass(frozen=True)
class DecisionSettings:
    """The settings that decisions depend on."""

    image: str
    store_root: str
    gpu_resource_name: str = "nvidia.com/gpu"
    tolerated_taints: frozenset[tuple[str, str]] = frozenset()
    """(key, effect) of the taints that training pods tolerate; key `*` is any."""
    gpu_wait_seconds: int = 600
    pod_start_seconds: int = 600
    """How long a pod may be refused, unschedulable or without its image before it is given up."""
    store: StoreLocation = field(default_factory=StoreLocation)
    progress_url: str | None = None
    on_busy_node: OnBusyNode = OnBusyNode.QUEUE
    hides_other_namespaces: bool = False
    """Whether objects of one namespace may not name trainings of another."""
    allowed_weights: frozenset[str] = frozenset()
    """SHA-256 of the weights that training may start from."""
    allowed_images: frozenset[str] = frozenset()
    """Trainer images that templates may name, besides `image`."""
    dataset_limits: SnapshotLimits = field(default_factory=SnapshotLimits)
    """How large the snapshot of a Dataset may become."""
    notifications: NotificationRules = field(default_factory=NotificationRules)
    """Who is told how a run ended, if the process does not say."""
