"""The truth below Kubernetes: the training containers that each node's containerd runs."""

from __future__ import annotations

import threading
from collections import defaultdict

from trainyard_local.cluster import Cluster
from trainyard_local.errors import LocalClusterError

EVERY_SECONDS = 0.5


class ContainerWatch:
    """Looks at the running training containers of each node, again and again.

    Attributes
    ----------
    together
        Sets of pods that were seen running on one node at one time, with more than one member.
    seen
        Pods of trainings seen running, by node.
    looks
        How often all nodes were looked at.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="containers", daemon=True)
        self.together: list[tuple[str, frozenset[str]]] = []
        self.seen: dict[str, set[str]] = defaultdict(set)
        self.looks = 0
        self.failure: str | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        for node in self._cluster.nodes:
            try:
                found = node.containers()
            except LocalClusterError as error:
                self.failure = str(error)
                continue
            running = frozenset(
                f"{item.namespace}/{item.pod}"
                for item in found
                if item.running and not item.holds_pod and item.pod.startswith("tp-")
            )
            self.seen[node.name] |= running
            if len(running) > 1:
                self.together.append((node.name, running))
        self.looks += 1
