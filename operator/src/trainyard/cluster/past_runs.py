"""How long finished runs took, from the cache; each is looked at once, since it never changes."""

from __future__ import annotations

import threading

from trainyard.api.meta import Json
from trainyard.api.process import TrainingProcess
from trainyard.cluster import parse
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import PROCESS
from trainyard.decide.expectation import PastRun, past_run


class PastRuns:
    """The runs that succeeded and are still there; safe to use from several threads."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._known: dict[str, PastRun | None] = {}

    def on(self, node: str) -> tuple[PastRun, ...]:
        """Those of one node."""
        finished = {
            str(parse.metadata(raw).get("uid")): raw
            for raw in self._cache.all(PROCESS)
            if (raw.get("status") or {}).get("phase") == "Succeeded"
        }
        with self._lock:
            self._known = {
                uid: self._known[uid] if uid in self._known else _past(raw)
                for uid, raw in finished.items()
            }
            return tuple(run for run in self._known.values() if run and run.node == node)


def _past(raw: Json) -> PastRun | None:
    try:
        return past_run(parse.typed(TrainingProcess, raw))
    except parse.UnreadableObject:
        return None
