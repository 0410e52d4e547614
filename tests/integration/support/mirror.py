"""All objects of some types, followed by watches: looked at often without asking the API server."""

from __future__ import annotations

import threading
from typing import Any

from support.watching import Watch
from trainyard.cluster.resources import (
    CONFIG_MAP,
    JOB,
    LEASE,
    MODEL,
    POD,
    PROCESS,
    ResourceType,
)

Json = dict[str, Any]
MIRRORED = (PROCESS, JOB, POD, CONFIG_MAP, LEASE, MODEL)


class Mirror:
    """What the API server holds, a few milliseconds ago."""

    def __init__(self, kubeconfig: str) -> None:
        self._lock = threading.Lock()
        self._held: dict[ResourceType, dict[tuple[str, str], Json]] = {
            type_: {} for type_ in MIRRORED
        }
        self._watches = [Watch(kubeconfig, type_, self._taker(type_)) for type_ in MIRRORED]

    def start(self) -> Mirror:
        """Begin to follow."""
        for watch in self._watches:
            watch.start()
        return self

    def stop(self) -> None:
        """Stop following."""
        for watch in self._watches:
            watch.stop()

    def get(self, type_: ResourceType, name: str, namespace: str) -> Json | None:
        """The object, or None."""
        with self._lock:
            return self._held[type_].get((namespace, name))

    def all(self, type_: ResourceType, namespace: str) -> list[Json]:
        """The objects of a namespace, by name."""
        with self._lock:
            found = [raw for (where, _), raw in self._held[type_].items() if where == namespace]
        return sorted(found, key=lambda raw: str(raw["metadata"]["name"]))

    def _taker(self, type_: ResourceType) -> Any:
        def take(kind: str, raw: Json) -> None:
            meta = raw["metadata"]
            key = (meta["namespace"], meta["name"])
            with self._lock:
                if kind == "DELETED":
                    self._held[type_].pop(key, None)
                else:
                    self._held[type_][key] = raw

        return take
