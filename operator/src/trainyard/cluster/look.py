"""A look at everything of ours that is, or may come, on one node."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.meta import Json
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import JOB, POD
from trainyard.decide.facts import JobFacts, PodFacts


@dataclass(frozen=True)
class Look:
    """The training Jobs and pods of a node, in any namespace."""

    jobs: tuple[JobFacts, ...]
    pods: tuple[PodFacts, ...]
    raw: dict[str, Json]
    """Both as the API server showed them, by UID."""

    def job(self, uid: str) -> JobFacts | None:
        """The Job with that UID."""
        return next((job for job in self.jobs if job.uid == uid), None)


def look(api: ApiServer, node: str) -> Look:
    """Look by two LISTs at quorum, at Jobs first.

    A Job that is suspended, finished or absent in the first LIST makes no pod any more, so the
    second shows all that it made. In the other order the pod of a Job that is suspended in
    between would be in neither. Pods are not selected by nodeName on the server: a pod that is
    pinned and not bound yet has none.
    """
    jobs = api.list(JOB, label_selector=names.TRAINING_SELECTOR).items
    pods = api.list(POD, label_selector=names.TRAINING_SELECTOR).items
    found_jobs = tuple(fact for fact in map(parse.job, jobs) if fact.target_node == node)
    found_pods = tuple(
        fact for fact in map(parse.pod, pods) if node in (fact.node, fact.target_node)
    )
    uids = {job.uid for job in found_jobs} | {pod.uid for pod in found_pods}
    raw = {item["metadata"]["uid"]: item for item in (*jobs, *pods)}
    return Look(found_jobs, found_pods, {uid: raw[uid] for uid in uids})
