"""The lock of a node: one Lease a node, and a look at the whole cluster before a Job is started.

A Lease here never expires. Taking it is a create, or an update with a resourceVersion; whoever
loses that race gets a Conflict. Only the holder's Job is unsuspended, and only after LISTs at
quorum have shown that no other training pod is live on the node and that no other Job may make
one there.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.meta import ANNOTATION_TARGET_NODE, LABEL_ATTEMPT, Json
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import AlreadyExists
from trainyard.cluster.resources import JOB, LEASE, LOCK_NAMESPACE, NODE, POD, PROCESS
from trainyard.decide.actions import StartJob
from trainyard.decide.facts import JobFacts, LeaseFacts, LockFacts, PodFacts
from trainyard.decide.lock import may_release


@dataclass(frozen=True)
class Refused:
    """Why a Job was not started now."""

    message: str


class NodeLock:
    """Takes, checks and releases the locks of nodes."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    def read(self, node: str) -> LeaseFacts | None:
        """Who holds the node, or None."""
        raw = self._api.get(LEASE, names.node_lease(node), LOCK_NAMESPACE)
        return None if raw is None else parse.lease(raw)

    def all(self) -> list[LeaseFacts]:
        """All locks of the cluster."""
        return [parse.lease(raw) for raw in self._api.list(LEASE, LOCK_NAMESPACE).items]

    def start(self, action: StartJob) -> Refused | None:
        """Take the lock, make sure, unsuspend the Job. Safe to repeat at any point.

        Raises
        ------
        Conflict
            If the Job changed since it was read.
        """
        job = action.job
        refused = self._still_wanted(action) or self._take(action)
        if refused is not None:
            return refused
        pods, jobs = self._cluster(action.node)
        for pod in pods:
            if pod.job_uid != job.uid and not pod.over:
                return Refused(
                    f"pod {pod.namespace}/{pod.name} of another training is live on node "
                    f"{action.node}"
                )
        for other in jobs:
            if other.uid != job.uid and other.live:
                return Refused(
                    f"Job {other.namespace}/{other.name} of another training may start on node "
                    f"{action.node}"
                )
        self._api.merge_patch(
            JOB,
            job.name,
            {"metadata": {"resourceVersion": job.resource_version}, "spec": {"suspend": False}},
            job.namespace,
        )
        return None

    def release(self, node: str) -> bool:
        """Free the node if its holder is over, judged by a fresh look; whether it was freed."""
        lease = self.read(node)
        if lease is None:
            return False
        pods, jobs = self._cluster(node)
        holder = next((job for job in jobs if job.uid == lease.holder_job_uid), None)
        if holder is not None and self._abandoned(holder, lease):
            # First the Job, so that nobody's late unsuspend can land on it; then the lock.
            self._api.delete(
                JOB,
                holder.name,
                holder.namespace,
                uid=holder.uid,
                resource_version=holder.resource_version,
            )
            holder = None
        if not may_release(LockFacts(lease=lease, holder_job=holder, pods=tuple(pods))):
            return False
        self._api.delete(
            LEASE,
            lease.name,
            LOCK_NAMESPACE,
            uid=lease.uid,
            resource_version=lease.resource_version,
        )
        return True

    def _abandoned(self, job: JobFacts, lease: LeaseFacts) -> bool:
        """Whether a Job that was never started holds the lock for a process that is over."""
        if not job.suspended or job.finished:
            return False
        namespace, _, name = lease.holder.partition("/")
        process = self._api.get(PROCESS, name, namespace)
        if process is None or parse.metadata(process).get("uid") != job.owner_uid:
            return True
        return (process.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    def _still_wanted(self, action: StartJob) -> Refused | None:
        """The process is there, unfinished, and has the attempt on record."""
        namespace, _, name = action.process.partition("/")
        process = self._api.get(PROCESS, name, namespace)
        meta = {} if process is None else parse.metadata(process)
        if process is None or meta.get("uid") != action.job.owner_uid:
            return Refused(f"TrainingProcess {action.process} is gone")
        status = process.get("status") or {}
        recorded = [item.get("number") for item in status.get("attempts") or []]
        finished = status.get("phase") in ("Succeeded", "Failed")
        if meta.get("deletionTimestamp") or finished or action.attempt not in recorded:
            return Refused(f"TrainingProcess {action.process} does not want this attempt started")
        return None

    def _take(self, action: StartJob) -> Refused | None:
        """Hold the Lease of the node for the Job."""
        lease = self.read(action.node)
        if lease is None:
            try:
                self._api.create(LEASE, self._lease(action), LOCK_NAMESPACE)
            except AlreadyExists:
                return Refused(f"node {action.node} was taken by another process just now")
            return None
        if lease.holder_job_uid == action.job.uid:
            return None
        earlier = ", an earlier process of this name" if lease.holder == action.process else ""
        return Refused(f"node {action.node} is held by {lease.holder}{earlier}")

    def _lease(self, action: StartJob) -> Json:
        raw = self._api.get(NODE, action.node)
        node = None if raw is None else parse.node(raw)
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": names.node_lease(action.node),
                "namespace": LOCK_NAMESPACE,
                # No owner: an owner in another namespace gets it collected within seconds.
                "annotations": {
                    ANNOTATION_TARGET_NODE: action.node,
                    parse.ANNOTATION_HOLDER: action.process,
                    LABEL_ATTEMPT: str(action.attempt),
                    "trainyard.dev/job": f"{action.job.namespace}/{action.job.name}",
                    "trainyard.dev/node-uid": node.uid if node else "",
                    "trainyard.dev/system-uuid": node.system_uuid if node else "",
                    "trainyard.dev/boot-id": node.boot_id if node else "",
                },
            },
            "spec": {"holderIdentity": action.job.uid},
        }

    def _cluster(self, node: str) -> tuple[list[PodFacts], list[JobFacts]]:
        """All training pods and Jobs of a node, in any namespace, by LISTs at quorum.

        Pods are not selected by nodeName on the server: a pod that is pinned and not bound yet
        has none.
        """
        pods = self._api.list(POD, label_selector=names.TRAINING_SELECTOR).items
        jobs = self._api.list(JOB, label_selector=names.TRAINING_SELECTOR).items
        return (
            [fact for fact in map(parse.pod, pods) if node in (fact.node, fact.target_node)],
            [fact for fact in map(parse.job, jobs) if fact.target_node == node],
        )
