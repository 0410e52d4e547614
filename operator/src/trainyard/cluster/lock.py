"""The lock of a node: one Lease a node, and a look at the whole cluster before a Job is started.

A Lease here never expires. Taking it is a create, or an update with a resourceVersion; whoever
loses that race gets a Conflict. Only the holder's Job is unsuspended, and only after LISTs at
quorum have shown that no other training pod is live on the node and that no other Job may make
one there. How a lock is given back is in `trainyard.cluster.release`; why two trainings never
share a node, in docs/safety.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.cluster import names, objects, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import AlreadyExists, NotFound
from trainyard.cluster.look import look
from trainyard.cluster.release import Tended, Tender
from trainyard.cluster.resources import JOB, LEASE, LOCK_NAMESPACE, NODE, PROCESS
from trainyard.decide.actions import StartJob
from trainyard.decide.facts import OUT_OF_SERVICE, JobFacts, LeaseFacts, NodeFacts, PodFacts
from trainyard.decide.naming import named, why_quarantined

__all__ = ["EVIDENCE_SECONDS", "NodeLock", "Refused", "Tended"]

EVIDENCE_SECONDS = 60


@dataclass(frozen=True)
class Refused:
    """Why a Job was not started now."""

    message: str


class NodeLock:
    """Takes, checks and releases the locks of nodes.

    Parameters
    ----------
    evidence_seconds
        How long after its deletion the pod of a deleted process may still be reported as over,
        before its node is quarantined; at least 0.
    """

    def __init__(self, api: ApiServer, evidence_seconds: int = EVIDENCE_SECONDS) -> None:
        self._api = api
        self._tender = Tender(api, evidence_seconds)

    def read(self, node: str) -> LeaseFacts | None:
        """Who holds the node, or None."""
        raw = self._api.get(LEASE, names.node_lease(node), LOCK_NAMESPACE)
        return None if raw is None else parse.lease(raw)

    def all(self) -> list[LeaseFacts]:
        """All locks of the cluster."""
        return [parse.lease(raw) for raw in self._api.list(LEASE, LOCK_NAMESPACE).items]

    def tend(self, node: str, now: datetime) -> Tended:
        """Let pods go whose end is on record, quarantine the node or release its lock.

        Parameters
        ----------
        now
            The time, with a time zone.

        Raises
        ------
        Conflict
            If something changed in between: to be repeated.
        """
        return self._tender.tend(node, now)

    def start(self, action: StartJob) -> Refused | None:
        """Take the lock, make sure, unsuspend the Job. Safe to repeat at any point.

        A Job that is unsuspended although it may not be, by hand or because its lock was removed,
        is suspended again.

        Raises
        ------
        Conflict
            If the Job or the lock changed since it was read.
        """
        refused = self._still_wanted(action) or self._reserve(action)
        if refused is None:
            self._suspend(action, suspend=False)
        elif action.job.live:
            self._suspend(action, suspend=True)
        return refused

    def _still_wanted(self, action: StartJob) -> Refused | None:
        """The process is there, unfinished, not stopped, and has the attempt open on record."""
        namespace, _, name = action.process.partition("/")
        process = self._api.get(PROCESS, name, namespace)
        meta = {} if process is None else parse.metadata(process)
        if process is None or meta.get("uid") != action.job.owner_uid:
            return Refused(f"TrainingProcess {action.process} is gone")
        if (process.get("spec") or {}).get("suspend"):
            return Refused(f"TrainingProcess {action.process} is suspended")
        status = process.get("status") or {}
        open_ = [
            item.get("number")
            for item in status.get("attempts") or []
            if not item.get("finishTime") and not item.get("reason")
        ]
        finished = status.get("phase") in ("Succeeded", "Failed")
        if meta.get("deletionTimestamp") or finished or action.attempt not in open_:
            return Refused(f"TrainingProcess {action.process} does not want this attempt started")
        return None

    def _reserve(self, action: StartJob) -> Refused | None:
        """Hold the lock of the node, and then see that nothing else is on it."""
        raw = self._api.get(NODE, action.node)
        if raw is None:
            return Refused(f"there is no node {action.node}")
        machine = parse.node(raw)
        if machine.out_of_service:
            return Refused(f"node {action.node} has the taint {OUT_OF_SERVICE}")
        taken = self._take(action, machine)
        if isinstance(taken, Refused):
            return taken
        job, seen = action.job, look(self._api, action.node)
        for other in seen.jobs:
            if other.uid != job.uid and other.live:
                shown = _shown(other, action)
                return Refused(f"another training may start on node {action.node}: Job {shown}")
        stale = not _fits(taken, machine)
        for pod in seen.pods:
            if pod.over:
                continue
            if pod.job_uid != job.uid:
                shown = _shown(pod, action)
                return Refused(f"another training is live on node {action.node}: pod {shown}")
            if stale:
                return Refused(
                    f"node {action.node} is not what it was when its lock was taken, and pod "
                    f"{pod.namespace}/{pod.name} is not known to be over"
                )
        if stale:
            self._renew(taken, machine)
        return None

    def _take(self, action: StartJob, machine: NodeFacts) -> LeaseFacts | Refused:
        """Hold the Lease of the node for the Job."""
        lease = self.read(action.node)
        if lease is None:
            body = objects.node_lease(
                action.node,
                machine,
                job_uid=action.job.uid,
                job=f"{action.job.namespace}/{action.job.name}",
                holder=action.process,
                attempt=str(action.attempt),
            )
            try:
                return parse.lease(self._api.create(LEASE, body, LOCK_NAMESPACE))
            except AlreadyExists:
                return Refused(f"node {action.node} was taken by another process just now")
        if lease.quarantined:
            told = why_quarantined(lease, action.job.namespace, hide=action.hide_names)
            return Refused(f"node {action.node} is quarantined: {told}")
        if lease.holder_job_uid == action.job.uid:
            return lease
        earlier = ", an earlier process of this name" if lease.holder == action.process else ""
        holder = named(lease.holder, action.job.namespace, hide=action.hide_names)
        return Refused(f"node {action.node} is held by {holder}{earlier}")

    def _renew(self, lease: LeaseFacts, machine: NodeFacts) -> None:
        """Hold the lock for the present boot of the present machine.

        The holder has no process there: with the boot of old in the lock, a later look would
        take the reboot for the end of what is being started now.
        """
        annotations = {**objects.node_identity(machine), parse.ANNOTATION_SEEN: None}
        meta = {"resourceVersion": lease.resource_version, "annotations": annotations}
        self._api.merge_patch(LEASE, lease.name, {"metadata": meta}, LOCK_NAMESPACE)

    def _suspend(self, action: StartJob, *, suspend: bool) -> None:
        job = action.job
        patch = {
            "metadata": {"resourceVersion": job.resource_version},
            "spec": {"suspend": suspend},
        }
        try:
            self._api.merge_patch(JOB, job.name, patch, job.namespace)
        except NotFound:
            if not suspend:
                raise


def _shown(other: JobFacts | PodFacts, action: StartJob) -> str:
    """A Job or pod of another training, as it is told to the process that is not started."""
    key = f"{other.namespace}/{other.name}"
    return named(key, action.job.namespace, hide=action.hide_names)


def _fits(lease: LeaseFacts, machine: NodeFacts) -> bool:
    """Whether the lock was taken for this machine in this boot."""
    recorded = (lease.node_uid, lease.system_uuid, lease.boot_id)
    return recorded == (machine.uid, machine.system_uuid, machine.boot_id)
