"""Apply the examples and follow their trainings to the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from trainyard.api.meta import LABEL_DATASET, LABEL_PROCESS
from trainyard.api.process import TrainingProcess
from trainyard_demo.data.sets import SHOWN
from trainyard_demo.errors import DemoError
from trainyard_demo.install import TEAM
from trainyard_demo.kubernetes import Kubernetes
from trainyard_demo.observe import PodLife, Sight, finished, look, succeeded, waiting
from trainyard_demo.screen import Screen

PROCESSES = ("digits", "digits-unvaried", "nuclei")
"""The TrainingProcesses under ``examples/`` that the demo runs."""
FOLDERS = SHOWN
"""Their folders."""
DATASETS = tuple(f"{name}-{split}" for name in FOLDERS for split in ("train", "dev", "test"))
"""The Datasets in them."""
INTERVAL_S = 2.0
STUCK_S = 600.0
"""When nothing at all changes for this long, nothing will."""
LOG_LINES = 40

Clock = Callable[[], float]


@dataclass
class Followed:
    """What was seen from beginning to end.

    Attributes
    ----------
    processes : dict
        The processes by name, as they ended.
    pods : dict
        The newest that is known of each training pod, by UID.
    waits : list of str
        Sentences in which processes said what they waited for, in order, each once.
    last_seen : dict
        When each pod was last seen, by UID.
    """

    processes: dict[str, TrainingProcess] = field(default_factory=dict)
    pods: dict[str, PodLife] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)
    last_seen: dict[str, datetime] = field(default_factory=dict)

    def note(self, sight: Sight, now: datetime) -> list[str]:
        """Remember a sight.

        A pod that is gone without a word ended: its kubelet lets go of a deleted pod when its
        containers are over. When they were is not known, so it counts as live until it was last
        seen, in whole seconds as kubelets count.

        Parameters
        ----------
        sight : Sight
            What was read just now.
        now : datetime
            The time before it was read.

        Returns
        -------
        list of str
            What the processes wait for now.
        """
        self.processes = {
            name: sight.processes[name] for name in PROCESSES if name in sight.processes
        }
        for pod in sight.pods:
            self.pods[pod.uid] = pod
            self.last_seen[pod.uid] = max(pod.started, now.replace(microsecond=0))
        seen = {pod.uid for pod in sight.pods}
        for uid, pod in self.pods.items():
            if uid not in seen and pod.finished is None:
                self.pods[uid] = replace(pod, finished=self.last_seen[uid])
        waits = [
            f"{name}: {sentence}"
            for name, process in self.processes.items()
            if (sentence := waiting(process))
        ]
        self.waits += [sentence for sentence in waits if sentence not in self.waits]
        return waits


def apply(kubernetes: Kubernetes, examples: Path, *, new_data: bool) -> str:
    """Start the example trainings anew; whatever else is under ``examples/`` is kept.

    The processes of an earlier run are deleted first: a TrainingProcess is one run, and a name can
    be used once at a time. Their models stay in the store, as TrainedModels. Datasets keep their
    snapshots, but for those that failed or whose data is another now.

    Parameters
    ----------
    kubernetes : Kubernetes
        The cluster.
    examples : Path
        Folder of the examples.
    new_data : bool
        Whether the data in the store was replaced.

    Returns
    -------
    str
        What ``kubectl apply`` printed.

    Raises
    ------
    DemoError
        If the API server refuses something; with its own sentence.
    """
    where = ("--namespace", TEAM)
    folders = [part for name in FOLDERS for part in ("--filename", str(examples / name))]
    delete = ("delete", *where, "--ignore-not-found", "--wait", "--timeout=120s")
    kubernetes.run(*delete, "trainingprocesses.trainyard.dev", *PROCESSES)
    if stale := DATASETS if new_data else look(kubernetes).failed(DATASETS):
        kubernetes.run(*delete, "datasets.trainyard.dev", *stale)
    try:
        kubernetes.run("apply", *where, *folders, "--dry-run=server")
    except DemoError:
        # Capabilities and Datasets of another version of the examples cannot be changed.
        kubernetes.run(*delete, *folders)
    return kubernetes.run("apply", *where, *folders)


def follow(kubernetes: Kubernetes, screen: Screen, clock: Clock = time.monotonic) -> Followed:
    """Show what ``kubectl get trainingprocess`` shows until every process is finished.

    Parameters
    ----------
    kubernetes : Kubernetes
        The cluster.
    screen : Screen
        Shows it.
    clock : callable
        Seconds, from any point.

    Raises
    ------
    DemoError
        If a dataset or a process failed, or nothing changes for `STUCK_S`; the message ends with
        what is known of it.
    """
    followed = Followed()
    last, since = None, clock()
    while True:
        now = datetime.now(UTC)
        sight = look(kubernetes)
        notes = followed.note(sight, now)
        if sight.version != last:
            last, since = sight.version, clock()
            table = kubernetes.run("get", "trainingprocesses.trainyard.dev", "--namespace", TEAM)
            screen.show(table, notes)
        if failed := sight.failed(DATASETS):
            raise DemoError(_explain(kubernetes, "dataset", failed, LABEL_DATASET))
        left = [
            name
            for name in PROCESSES
            if name not in followed.processes or not finished(followed.processes[name])
        ]
        if not left:
            break
        if clock() - since > STUCK_S:
            raise DemoError(
                f"nothing changed for {STUCK_S / 60:.0f} minutes\n"
                + _explain(kubernetes, "trainingprocess", left, LABEL_PROCESS)
            )
        time.sleep(INTERVAL_S)
    if lost := [name for name in PROCESSES if not succeeded(followed.processes[name])]:
        raise DemoError(_explain(kubernetes, "trainingprocess", lost, LABEL_PROCESS))
    return followed


def _explain(kubernetes: Kubernetes, kind: str, names: list[str], label: str) -> str:
    """What is known of objects that did not become what they should."""
    parts = [f"{kind} {', '.join(names)} did not succeed"]
    for name in names:
        parts.append(kubernetes.attempt("describe", kind, name, "--namespace", TEAM).rstrip())
        log = ("logs", "--selector", f"{label}={name}", f"--tail={LOG_LINES}")
        parts.append(f"the end of its pod's log:\n{kubernetes.attempt(*log, '--namespace', TEAM)}")
    return "\n\n".join(parts)
