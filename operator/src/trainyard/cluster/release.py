"""Tending a node's lock: gather what decides about it, carry out the plan step by step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api.meta import (
    FINALIZER_EVIDENCE,
    LABEL_ATTEMPT,
    LABEL_PROCESS,
    LABEL_PROCESS_UID,
    Json,
)
from trainyard.cluster import names, objects, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import AlreadyExists, Conflict, NotFound
from trainyard.cluster.look import Look, look
from trainyard.cluster.resources import JOB, LEASE, LOCK_NAMESPACE, NODE, POD, PROCESS
from trainyard.decide.actions import DeleteJob, DeletePod
from trainyard.decide.facts import JobFacts, LeaseFacts, LockFacts, NodeFacts, PodFacts
from trainyard.decide.lock import (
    EndPod,
    FenceJob,
    LetPodGo,
    LockStep,
    NoteNode,
    Quarantine,
    Release,
    tend,
)

ANNOTATION_FENCED = "trainyard.dev/fenced-for"
"""On a Job: UID of the lock that was taken from it. It is there to change the Job's version."""


@dataclass(frozen=True)
class Tended:
    """What a pass over a node's lock did."""

    released: str = ""
    """Why the lock was released; empty: it was not."""
    quarantined: str = ""
    """Why the node was quarantined in this pass; empty: it was not."""
    look_again_seconds: float | None = None
    """When to tend it again although nothing happens."""


@dataclass(frozen=True)
class _Process:
    """What matters here of the TrainingProcess that a Job or pod belongs to."""

    gone: bool
    recorded: bool
    """The end of the attempt is on record, or nobody will put it there."""


class Tender:
    """Lets pods go, quarantines and releases, for one node at a time.

    Every step carries the UID, and where its object may have changed the resourceVersion, of what
    the decision was made on: a pass that was paused for however long does nothing to what came
    after.
    """

    def __init__(self, api: ApiServer, evidence_seconds: int) -> None:
        self._api = api
        self._evidence_seconds = evidence_seconds

    def tend(self, node: str, now: datetime) -> Tended:
        """Look afresh and do what is to be done.

        Raises
        ------
        Conflict
            If something changed in between: to be repeated.
        """
        facts, seen = self._gather(node)
        plan = tend(facts, now, self._evidence_seconds)
        released = quarantined = ""
        lease = facts.lease
        for step in plan.steps:
            lease = self._carry_out(step, node, lease, facts.node, seen)
            match step:
                case Release():
                    released = step.sentence
                case Quarantine():
                    quarantined = step.sentence
        again = plan.look_again_at
        seconds = None if again is None else max(0.0, (again - now).total_seconds())
        return Tended(released, quarantined, seconds)

    def _gather(self, node: str) -> tuple[LockFacts, Look]:
        raw_lease = self._api.get(LEASE, names.node_lease(node), LOCK_NAMESPACE)
        lease = None if raw_lease is None else parse.lease(raw_lease)
        seen = look(self._api, node)
        # After the pods: what runs, runs in the boot that is shown now or in an earlier one.
        raw_node = self._api.get(NODE, node)
        known: dict[tuple[str, str, str], _Process] = {}
        pods = {pod.uid: self._process(seen.raw[pod.uid], known) for pod in seen.pods if pod.kept}
        jobs = {
            job.uid: self._process(seen.raw[job.uid], known)
            for job in seen.jobs
            # What others marked as a training without naming a process is not ours to remove.
            if not job.finished and job.process
        }
        facts = LockFacts(
            lease=lease,
            holder_job=None if lease is None else seen.job(lease.holder_job_uid),
            pods=seen.pods,
            node=None if raw_node is None else parse.node(raw_node),
            recorded=frozenset(uid for uid, process in pods.items() if process.recorded),
            orphaned=frozenset(uid for uid, process in pods.items() if process.gone),
            leftover=tuple(job for job in seen.jobs if job.uid in jobs and jobs[job.uid].recorded),
        )
        return facts, seen

    def _process(self, raw: Json, known: dict[tuple[str, str, str], _Process]) -> _Process:
        """What is known about the process of a Job or pod, read once a pass."""
        meta = parse.metadata(raw)
        labels = meta.get("labels") or {}
        namespace, name = meta.get("namespace", ""), labels.get(LABEL_PROCESS, "")
        uid, attempt = labels.get(LABEL_PROCESS_UID, ""), labels.get(LABEL_ATTEMPT, "")
        key = (f"{namespace}/{name}", uid, attempt)
        if key not in known:
            found = self._api.get(PROCESS, name, namespace) if name else None
            known[key] = _judge(found, uid, attempt)
        return known[key]

    def _carry_out(
        self,
        step: LockStep,
        node: str,
        lease: LeaseFacts | None,
        machine: NodeFacts | None,
        seen: Look,
    ) -> LeaseFacts | None:
        """Do one step; the lock as it is afterwards."""
        match step:
            case LetPodGo():
                let_go(self._api, step.pod)
            case EndPod():
                pod = step.pod
                self._api.delete(POD, pod.name, pod.namespace, uid=pod.uid, grace_period_seconds=0)
            case DeletePod():
                pod = step.pod
                self._api.delete(POD, pod.name, pod.namespace, uid=pod.uid)
            case Quarantine():
                return self._quarantine(step, node, lease, machine, seen)
            case NoteNode() if lease is not None:
                annotations = {
                    parse.ANNOTATION_SYSTEM_UUID: step.system_uuid,
                    parse.ANNOTATION_BOOT_ID: step.boot_id,
                }
                if step.pod is not None:
                    annotations[parse.ANNOTATION_SEEN] = step.pod.uid
                return self._annotate(lease, annotations)
            case FenceJob():
                self._fence(step.job, lease)
            case DeleteJob():
                job = step.job
                self._api.delete(
                    JOB,
                    job.name,
                    job.namespace,
                    uid=job.uid,
                    resource_version=job.resource_version,
                )
            case Release() if lease is not None:
                self._api.delete(
                    LEASE,
                    lease.name,
                    LOCK_NAMESPACE,
                    uid=lease.uid,
                    resource_version=lease.resource_version,
                )
                return None
        return lease

    def _quarantine(
        self,
        step: Quarantine,
        node: str,
        lease: LeaseFacts | None,
        machine: NodeFacts | None,
        seen: Look,
    ) -> LeaseFacts | None:
        marks = {
            parse.ANNOTATION_QUARANTINED: step.sentence,
            parse.ANNOTATION_BOOT_ID: step.boot_id,
        }
        if lease is not None:
            return self._annotate(lease, marks)
        if step.pod is None:
            return None
        meta = parse.metadata(seen.raw[step.pod.uid])
        labels = meta.get("labels") or {}
        holder = f"{step.pod.namespace}/{labels.get(LABEL_PROCESS, '')}"
        body = objects.node_lease(
            node,
            machine,
            job_uid=step.pod.job_uid,
            job=parse.owner_name(meta, step.pod.namespace),
            holder=holder,
            attempt=str(labels.get(LABEL_ATTEMPT, "")),
        )
        body["metadata"]["annotations"].update(marks)
        try:
            return parse.lease(self._api.create(LEASE, body, LOCK_NAMESPACE))
        except AlreadyExists:
            raise Conflict(f"the lock of node {node} was taken just now") from None

    def _annotate(self, lease: LeaseFacts, annotations: dict[str, str]) -> LeaseFacts:
        patch = {
            "metadata": {
                "uid": lease.uid,
                "resourceVersion": lease.resource_version,
                "annotations": annotations,
            }
        }
        try:
            return parse.lease(self._api.merge_patch(LEASE, lease.name, patch, LOCK_NAMESPACE))
        except NotFound:
            raise Conflict(f"the lock of node {lease.node} was released just now") from None

    def _fence(self, job: JobFacts, lease: LeaseFacts | None) -> None:
        """Suspend the Job, and change its version although it may be suspended already."""
        patch = {
            "metadata": {
                "resourceVersion": job.resource_version,
                "annotations": {ANNOTATION_FENCED: lease.uid if lease is not None else ""},
            },
            "spec": {"suspend": True},
        }
        try:
            self._api.merge_patch(JOB, job.name, patch, job.namespace)
        except NotFound:
            raise Conflict(f"Job {job.namespace}/{job.name} was deleted just now") from None


def let_go(api: ApiServer, pod: PodFacts) -> None:
    """Take our finalizer off a pod; those of others stay, and one that is gone is no matter.

    Raises
    ------
    Conflict
        If the pod changed in between.
    """
    raw = api.get(POD, pod.name, pod.namespace)
    meta = {} if raw is None else parse.metadata(raw)
    finalizers = meta.get("finalizers") or []
    if meta.get("uid") != pod.uid or FINALIZER_EVIDENCE not in finalizers:
        return
    left = [item for item in finalizers if item != FINALIZER_EVIDENCE]
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": left}}
    try:
        api.merge_patch(POD, pod.name, patch, pod.namespace)
    except NotFound:
        return


def _judge(raw: Json | None, uid: str, attempt: str) -> _Process:
    """A process that is being deleted counts as gone: nothing is put on its record any more."""
    meta = {} if raw is None else parse.metadata(raw)
    if raw is None or meta.get("uid") != uid or meta.get("deletionTimestamp"):
        return _Process(gone=True, recorded=True)
    status = raw.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return _Process(gone=False, recorded=True)
    open_ = [
        str(item.get("number"))
        for item in status.get("attempts") or []
        if not item.get("finishTime")
    ]
    return _Process(gone=False, recorded=attempt not in open_)
