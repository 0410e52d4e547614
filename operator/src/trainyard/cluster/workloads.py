"""Jobs and their pods: from the cache, and from the API server where the cache may lag behind."""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.api.meta import LABEL_ATTEMPT, LABEL_PROCESS, LABEL_PROCESS_UID, Json
from trainyard.api.process import TrainingProcess
from trainyard.api.reasons import Reason
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import CORE_EVENT, JOB, POD
from trainyard.decide.facts import JobFacts, PodFacts, StartFailure
from trainyard.decide.outcome import BY_KUBELET

LABEL_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
"""Set by the Job controller on the pods that it makes."""

_START_FAILURES = {
    "FailedMount": Reason.VOLUME_NOT_MOUNTED,
    "FailedAttachVolume": Reason.VOLUME_NOT_MOUNTED,
    # For example a runtime class whose handler the node's runtime does not have.
    "FailedCreatePodSandBox": Reason.CONTAINER_NOT_CREATED,
}
"""By reason of a kubelet's event."""


class Workloads:
    """Facts about what runs, or should, and why it does not."""

    def __init__(self, api: ApiServer, cache: Cache) -> None:
        self._api, self._cache = api, cache

    def jobs_of(self, owner: str) -> tuple[JobFacts, ...]:
        """The Jobs in the cache that belong to the object with this UID."""
        return tuple(
            parse.job(raw) for raw in self._cache.all(JOB) if parse.owner_uid(raw) == owner
        )

    def job_now(self, job: JobFacts) -> JobFacts | None:
        """A Job as the API server has it; None if it is gone."""
        raw = self._api.get(JOB, job.name, job.namespace)
        if raw is None:
            return None
        self._cache.put(JOB, raw)
        return parse.job(raw)

    def job(self, namespace: str, name: str, owner: str, expected: object) -> JobFacts | None:
        """The Job from the cache; if it is expected and not there, from the API server."""
        raw = self._cache.get(JOB, f"{namespace}/{name}")
        if raw is not None and parse.owner_uid(raw) != owner:
            # Somebody else's Jobs are not watched: nobody tells that it was deleted.
            fresh = self._api.get(JOB, name, namespace)
            if fresh is None:
                self._cache.drop(JOB, raw)
            raw = fresh
        if raw is None and expected:
            raw = self._api.get(JOB, name, namespace)
        return None if raw is None else parse.job(raw)

    def pod_of(self, job: JobFacts) -> PodFacts | None:
        """The newest pod of a Job; of a finished Job, how the pod ended.

        Jobs and pods are watched apart: the end of a Job may be known before that of its pod,
        whose last words say why. Then the pod is read anew.
        """
        pod = _newest(raw for raw in self._cache.all(POD) if parse.owner_uid(raw) == job.uid)
        if not job.finished or (pod is not None and pod.over):
            return pod
        selector = f"{LABEL_CONTROLLER_UID}={job.uid}"
        return _newest(self._api.list(POD, job.namespace, label_selector=selector).items)

    def pressed(self, job: JobFacts) -> int:
        """Number of a Job's pods that their kubelets ended by themselves."""
        pods = (parse.pod(raw) for raw in self._cache.all(POD) if parse.owner_uid(raw) == job.uid)
        return sum(pod.phase == "Failed" and pod.disruption == BY_KUBELET for pod in pods)

    def pod_of_attempt(
        self, process: TrainingProcess, number: int, job: JobFacts | None
    ) -> PodFacts | None:
        """The newest pod of an attempt, whether its Job is there or not.

        When the Job is over, suspended or gone, the pod is read anew unless its end is known: what
        it said last decides, and Jobs and pods are watched apart.
        """
        uid, attempt = process.metadata.uid, str(number)

        def of_attempt(raw: Json) -> bool:
            labels = parse.metadata(raw).get("labels") or {}
            return (labels.get(LABEL_PROCESS_UID), labels.get(LABEL_ATTEMPT)) == (uid, attempt)

        pod = _newest(raw for raw in self._cache.all(POD) if of_attempt(raw))
        if process.status.attempts[-1].finish_time is not None:
            return pod
        if (job is not None and job.live) or (pod is not None and pod.over):
            return pod
        selector = f"{LABEL_PROCESS_UID}={uid}"
        listed = self._api.list(POD, process.metadata.namespace, label_selector=selector)
        return _newest(filter(of_attempt, listed.items))

    def refusal(self, job: JobFacts | None) -> str:
        """Why the API server refused the pod of a Job that runs and has none; from its events."""
        if job is None or not job.live:
            return ""
        events = self._events(job.namespace, job.uid)
        refused = [raw for raw in events if raw.get("reason") == "FailedCreate"]
        return str(refused[-1].get("message") or "") if refused else ""

    def start_failure(self, pod: PodFacts) -> StartFailure | None:
        """Why a pod's containers are not created; from the pod's events.

        Only the kubelet's last word counts: a volume may be late, and then the image is pulled.
        """
        if not pod.node or pod.waiting_reason != "ContainerCreating":
            return None
        newest = (self._events(pod.namespace, pod.uid) or [{}])[-1]
        reason = _START_FAILURES.get(str(newest.get("reason")))
        return None if reason is None else StartFailure(reason, str(newest.get("message") or ""))

    def live_holder(self, node: str, uid: str) -> str | None:
        """`namespace/name` of another process with a live training pod on the node."""
        for raw in self._cache.all(POD):
            labels = parse.metadata(raw).get("labels") or {}
            if LABEL_PROCESS not in labels or labels.get(LABEL_PROCESS_UID) == uid:
                continue
            fact = parse.pod(raw)
            if node in (fact.node, fact.target_node) and not fact.over:
                return f"{fact.namespace}/{labels[LABEL_PROCESS]}"
        return None

    def _events(self, namespace: str, uid: str) -> list[Json]:
        """Events about an object, the newest last."""
        found = self._api.list(CORE_EVENT, namespace, field_selector=f"involvedObject.uid={uid}")
        return sorted(
            found.items, key=lambda raw: str(raw.get("lastTimestamp") or raw.get("eventTime") or "")
        )


def _newest(pods: Iterable[Json]) -> PodFacts | None:
    ordered = sorted(pods, key=lambda raw: str(parse.metadata(raw).get("creationTimestamp")))
    return parse.pod(ordered[-1]) if ordered else None
