"""Containers as containerd knows them: the truth below what Kubernetes says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Container:
    """One container.

    Attributes
    ----------
    identity : str
        Its ID in containerd.
    namespace, pod, pod_uid : str
        Of the pod that it belongs to.
    name : str
        Its name in the pod; empty for the one that holds the pod.
    image : str
        Name of its image.
    pid : int or None
        Process ID of its first process; None when it has none.
    running : bool
        Whether that process runs.
    """

    identity: str
    namespace: str
    pod: str
    pod_uid: str
    name: str
    image: str
    pid: int | None
    running: bool

    @property
    def holds_pod(self) -> bool:
        """Whether it is the pod's own (pause) container."""
        return not self.name


def parse_container(info: str, tasks: Mapping[str, tuple[int, str]]) -> Container:
    """Container from what ``ctr containers info`` prints.

    Parameters
    ----------
    info : str
        JSON.
    tasks : Mapping
        Container ID to process ID and state, for those that have a process.
    """
    found = json.loads(info)
    labels: Mapping[str, str] = found.get("Labels") or {}
    pid, state = tasks.get(found["ID"], (None, ""))
    return Container(
        identity=found["ID"],
        namespace=labels.get("io.kubernetes.pod.namespace", ""),
        pod=labels.get("io.kubernetes.pod.name", ""),
        pod_uid=labels.get("io.kubernetes.pod.uid", ""),
        name=labels.get("io.kubernetes.container.name", ""),
        image=found.get("Image", ""),
        pid=pid,
        running=state == "RUNNING",
    )
