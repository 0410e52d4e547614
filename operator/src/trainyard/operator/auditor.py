"""A look from outside at the one thing that must never happen: two live trainings on a node.

The lock keeps trainings apart; this decides nothing and trusts nothing of it. It counts what the
watches show, and says it loudly.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable

from trainyard.api.meta import LABEL_ROLE, ROLE_TRAINING, Json
from trainyard.cluster import parse
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import NODE, POD
from trainyard.decide.facts import PodFacts
from trainyard.operator.logs import about

log = logging.getLogger(__name__)


class Auditor:
    """Counts the live training pods of each node.

    A pod is live until there is evidence that no process of it runs (`PodFacts.over`).

    Parameters
    ----------
    on_double_placement
        Called each time a node is seen with more than one live training pod bound to it, and once
        more for each further one.
    """

    def __init__(self, cache: Cache, on_double_placement: Callable[[], None]) -> None:
        self._cache = cache
        self._on_double_placement = on_double_placement
        self._lock = threading.Lock()
        self._doubled: dict[str, frozenset[str]] = {}
        """The pods' UIDs of each node that has more than one."""

    def live_pods(self) -> dict[str, int]:
        """How many live training pods each node has; 0 for others that trainings may use.

        Pods that are pinned to a node and not bound yet count too.
        """
        counts: Counter[str] = Counter()
        for raw in self._cache.all(NODE):
            node = parse.node(raw)
            if node.enabled:
                counts[node.name] = 0
        for raw in self._cache.all(POD):
            if is_training(raw):
                pod = parse.pod(raw)
                if not pod.over:
                    counts[pod.node or pod.target_node] += 1
        return dict(counts)

    def look(self, raw: Json) -> None:
        """Look at the node that a pod, which has just changed, is bound to."""
        node = (raw.get("spec") or {}).get("nodeName")
        if node and is_training(raw):
            with self._lock:
                self._look(node, self._bound(node))

    def look_at_all(self) -> None:
        """Look at every node: the cache was replaced."""
        with self._lock:
            nodes: dict[str, list[PodFacts]] = {node: [] for node in self._doubled}
            for raw in self._cache.all(POD):
                if is_training(raw) and (node := (raw.get("spec") or {}).get("nodeName")):
                    nodes.setdefault(node, []).append(parse.pod(raw))
            for node, pods in nodes.items():
                self._look(node, [pod for pod in pods if not pod.over])

    def _bound(self, node: str) -> list[PodFacts]:
        pods = (
            parse.pod(raw)
            for raw in self._cache.all(POD)
            if (raw.get("spec") or {}).get("nodeName") == node and is_training(raw)
        )
        return [pod for pod in pods if not pod.over]

    def _look(self, node: str, live: list[PodFacts]) -> None:
        if len(live) < 2:
            self._doubled.pop(node, None)
            return
        uids = frozenset(pod.uid for pod in live)
        known = self._doubled.get(node, frozenset())
        self._doubled[node] = uids
        if uids <= known:
            return
        names = ", ".join(sorted(f"{pod.namespace}/{pod.name}" for pod in live))
        with about(NODE.kind, node, node=node):
            log.error("%d live training pods at once: %s", len(live), names)
        self._on_double_placement()


def is_training(raw: Json) -> bool:
    """Whether an object is part of a training, and so may occupy a node."""
    return (parse.metadata(raw).get("labels") or {}).get(LABEL_ROLE) == ROLE_TRAINING
