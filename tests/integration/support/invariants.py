"""A continuous look at what must hold at every moment: one live training a node."""

from __future__ import annotations

import threading
from typing import Any

from support.watching import Watch
from trainyard.api.meta import LABEL_ROLE, ROLE_TRAINING
from trainyard.cluster import parse
from trainyard.cluster.resources import JOB, POD

Json = dict[str, Any]


class InvariantChecker:
    """Follows all pods and Jobs and keeps every breach that it saw, however short it was.

    Two things are looked at after each event: pods of trainings that are bound to a node and not
    terminal (I1), and Jobs of trainings that are neither suspended nor finished (I1, I2). At most
    one of each may be there for a node.
    """

    def __init__(self, kubeconfig: str) -> None:
        self._lock = threading.Lock()
        self._pods: dict[str, Json] = {}
        self._jobs: dict[str, Json] = {}
        self.breaches: list[str] = []
        self.most_live: dict[str, int] = {}
        """The most live pods that each node had at one moment: the checker looks indeed."""
        self._watches = (
            Watch(kubeconfig, POD, self._pod),
            Watch(kubeconfig, JOB, self._job),
        )

    def start(self) -> InvariantChecker:
        """Begin to look."""
        for watch in self._watches:
            watch.start()
        return self

    def stop(self) -> None:
        """Stop looking."""
        for watch in self._watches:
            watch.stop()

    def assert_held(self) -> None:
        """Fail with all breaches so far, and then forget them."""
        with self._lock:
            found, self.breaches = self.breaches, []
        assert not found, "\n".join(found)
        for watch in self._watches:
            assert watch.failure is None, f"the checker itself failed: {watch.failure!r}"

    def _pod(self, kind: str, raw: Json) -> None:
        meta = raw["metadata"]
        if (meta.get("labels") or {}).get(LABEL_ROLE) != ROLE_TRAINING:
            return
        node = (raw.get("spec") or {}).get("nodeName")
        over = (raw.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        with self._lock:
            self._pods.pop(meta["uid"], None)
            if kind != "DELETED" and node and not over:
                self._pods[meta["uid"]] = raw
                names = [
                    parse.key_of(pod)
                    for pod in self._pods.values()
                    if pod["spec"]["nodeName"] == node
                ]
                self.most_live[node] = max(self.most_live.get(node, 0), len(names))
                if len(names) > 1:
                    self.breaches.append(f"node {node} has live training pods {sorted(names)}")

    def _job(self, kind: str, raw: Json) -> None:
        if (raw["metadata"].get("labels") or {}).get(LABEL_ROLE) != ROLE_TRAINING:
            return
        fact = parse.job(raw)
        with self._lock:
            self._jobs.pop(fact.uid, None)
            if kind != "DELETED" and fact.live:
                self._jobs[fact.uid] = raw
                names = [
                    parse.key_of(job)
                    for job in self._jobs.values()
                    if parse.job(job).target_node == fact.target_node
                ]
                if len(names) > 1:
                    self.breaches.append(
                        f"node {fact.target_node} has unsuspended unfinished Jobs {sorted(names)}"
                    )
