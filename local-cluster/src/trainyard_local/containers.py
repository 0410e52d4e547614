"""Containers as containerd knows them: the truth below what Kubernetes says."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

_OWN_LABELS = ("io.kubernetes.", "io.cri-containerd.")


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
        Whether that process runs; a frozen one counts as running.
    pod_labels : Mapping of str to str
        Labels of its pod when the pod was started.
    """

    identity: str
    namespace: str
    pod: str
    pod_uid: str
    name: str
    image: str
    pid: int | None
    running: bool
    pod_labels: Mapping[str, str] = field(default_factory=dict)

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
        pod_labels={key: labels[key] for key in labels if not key.startswith(_OWN_LABELS)},
    )


def with_pod_labels(containers: Iterable[Container]) -> list[Container]:
    """Containers with the labels of their pods, which containerd has at the holding ones only.

    Parameters
    ----------
    containers : iterable of Container
        All of a node.
    """
    found = list(containers)
    labels = {item.pod_uid: item.pod_labels for item in found if item.holds_pod}
    return [replace(item, pod_labels=labels.get(item.pod_uid, {})) for item in found]


def task_states(table: str) -> dict[str, tuple[int, str]]:
    """Process ID and state of each container that has a process.

    Parameters
    ----------
    table : str
        What ``ctr tasks list`` prints.
    """
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[0]: (int(row[1]), row[2]) for row in rows if len(row) == 3}


def shims(socket: Path) -> list[int]:
    """Process IDs of the keepers of a containerd's containers, which outlive it.

    Parameters
    ----------
    socket : Path
        Where that containerd listens.
    """
    wanted = os.fsencode(socket)
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if wanted in words and b"containerd-shim" in words[0]:
                    found.append(int(folder.name))
    return found
