"""What is true of the examples now, read from the cluster, and what it means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from trainyard.api.dataset import Dataset, DatasetPhase
from trainyard.api.meta import LABEL_ROLE, ROLE_TRAINING, ConditionStatus
from trainyard.api.process import TrainingProcess
from trainyard.api.reasons import ConditionType
from trainyard_demo.install import TEAM
from trainyard_demo.kubernetes import Kubernetes


@dataclass(frozen=True)
class PodLife:
    """A training pod, as far as its kubelet has told.

    Attributes
    ----------
    name, uid, node : str
        Which pod, and where.
    started : datetime
        When its container started.
    finished : datetime or None
        When its container ended; None while it runs.
    """

    name: str
    uid: str
    node: str
    started: datetime
    finished: datetime | None


@dataclass(frozen=True)
class Sight:
    """The examples at one moment.

    Attributes
    ----------
    processes : Mapping of str to TrainingProcess
        By name.
    datasets : Mapping of str to Dataset
        By name.
    pods : tuple of PodLife
        The training pods whose container was started.
    version : tuple of (str, str)
        Changes whenever a process or a dataset does.
    """

    processes: Mapping[str, TrainingProcess]
    datasets: Mapping[str, Dataset]
    pods: tuple[PodLife, ...]
    version: tuple[tuple[str, str], ...]

    def failed(self, names: Iterable[str]) -> list[str]:
        """Datasets whose snapshot failed: no process that needs one will ever start.

        Parameters
        ----------
        names : iterable of str
            Datasets to look at.
        """
        return [
            name
            for name in names
            if name in self.datasets and self.datasets[name].status.phase is DatasetPhase.FAILED
        ]


def look(kubernetes: Kubernetes) -> Sight:
    """Read processes, datasets and pods of the examples' namespace in one request each.

    Parameters
    ----------
    kubernetes : Kubernetes
        The cluster.
    """
    kinds = "trainingprocesses.trainyard.dev,datasets.trainyard.dev,pods"
    return parse(kubernetes.json("get", kinds, "--namespace", TEAM)["items"])


def parse(items: Iterable[dict[str, Any]]) -> Sight:
    """Make a `Sight` of what kubectl printed.

    Parameters
    ----------
    items : iterable of dict
        Objects of three kinds, in any order.
    """
    processes: dict[str, TrainingProcess] = {}
    datasets: dict[str, Dataset] = {}
    pods: list[PodLife] = []
    version = []
    for item in items:
        name = item["metadata"]["name"]
        if item["kind"] == "Pod":
            pods += _pod(item)
            continue
        version.append((f"{item['kind']}/{name}", item["metadata"]["resourceVersion"]))
        if item["kind"] == "Dataset":
            datasets[name] = Dataset.model_validate(item)
        else:
            processes[name] = TrainingProcess.model_validate(item)
    return Sight(processes, datasets, tuple(pods), tuple(sorted(version)))


def finished(process: TrainingProcess) -> bool:
    """Whether a process ended, either way.

    Parameters
    ----------
    process : TrainingProcess
        As read.
    """
    return _has(process, ConditionType.FINISHED)


def succeeded(process: TrainingProcess) -> bool:
    """Whether a process ended with a verified model.

    Parameters
    ----------
    process : TrainingProcess
        As read.
    """
    return _has(process, ConditionType.COMPLETE)


def _has(process: TrainingProcess, type_: ConditionType) -> bool:
    return any(
        condition.type == type_ and condition.status is ConditionStatus.TRUE
        for condition in process.status.conditions
    )


def waiting(process: TrainingProcess) -> str | None:
    """The sentence that says what a process waits for, or None when it does not wait.

    Parameters
    ----------
    process : TrainingProcess
        As read.
    """
    if finished(process):
        return None
    for type_ in (ConditionType.VALIDATED, ConditionType.NODE_RESERVED):
        for condition in process.status.conditions:
            if condition.type == type_ and condition.status is ConditionStatus.FALSE:
                return condition.message
    return None


def overlaps(pods: Iterable[PodLife]) -> list[str]:
    """A sentence for each two training pods that were live together on one node.

    Parameters
    ----------
    pods : iterable of PodLife
        Each pod once. Kubelets report whole seconds: a pod that starts in the second in which
        another one ends is not counted.
    """
    found = []
    ordered = sorted(pods, key=lambda pod: (pod.node, pod.started, pod.name))
    for first, second in combinations(ordered, 2):
        together = first.finished is None or second.started < first.finished
        if first.node == second.node and together:
            ended = "runs" if first.finished is None else f"ended at {first.finished:%H:%M:%S}"
            found.append(
                f"two training pods were live together on node {first.node}: {first.name} {ended}, "
                f"and {second.name} started at {second.started:%H:%M:%S}"
            )
    return found


def _pod(item: dict[str, Any]) -> list[PodLife]:
    labels = item["metadata"].get("labels") or {}
    node = item["spec"].get("nodeName")
    if labels.get(LABEL_ROLE) != ROLE_TRAINING or node is None:
        return []
    for status in item.get("status", {}).get("containerStatuses") or []:
        state = status.get("state") or {}
        ended, running = state.get("terminated") or {}, state.get("running") or {}
        if start := ended.get("startedAt") or running.get("startedAt"):
            end = ended.get("finishedAt")
            return [
                PodLife(
                    item["metadata"]["name"],
                    item["metadata"]["uid"],
                    node,
                    datetime.fromisoformat(start),
                    datetime.fromisoformat(end) if end else None,
                )
            ]
    return []
