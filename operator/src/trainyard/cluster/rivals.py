"""The processes that want the same node, and how long each will probably take."""

from __future__ import annotations

from trainyard.api.process import TrainingProcess
from trainyard.api.template import TrainingTemplate
from trainyard.cluster import parse
from trainyard.cluster.cache import Cache
from trainyard.cluster.past_runs import PastRuns
from trainyard.cluster.resources import PROCESS, TEMPLATE
from trainyard.cluster.typed import TypedCache
from trainyard.decide.expectation import PastRun, expected_seconds
from trainyard.decide.facts import Rival
from trainyard.decide.queue import as_rival


class Rivals:
    """Reads the queues of nodes from the cache."""

    def __init__(self, cache: Cache, typed: TypedCache) -> None:
        self._cache, self._typed = cache, typed
        self._past = PastRuns(cache)

    def expected_seconds(self, process: TrainingProcess) -> float | None:
        """How long the whole run will probably take."""
        return self._expected(process, self._past.on(process.spec.target_node))

    def of(self, process: TrainingProcess) -> tuple[Rival, ...]:
        """The other unfinished processes of the same node."""
        past = self._past.on(process.spec.target_node)
        found = []
        for raw in self._cache.all(PROCESS):
            meta = parse.metadata(raw)
            if (raw.get("spec") or {}).get("targetNode") != process.spec.target_node:
                continue
            phase = (raw.get("status") or {}).get("phase")
            finished = phase in ("Succeeded", "Failed") or meta.get("deletionTimestamp")
            if finished or meta.get("uid") == process.metadata.uid:
                continue
            try:
                other = self._typed(PROCESS, TrainingProcess, parse.key_of(raw))
            except parse.UnreadableObject:
                continue
            if other is not None:
                found.append(as_rival(other, self._expected(other, past)))
        return tuple(found)

    def _expected(self, process: TrainingProcess, past: tuple[PastRun, ...]) -> float | None:
        key = f"{process.metadata.namespace}/{process.spec.template}"
        return expected_seconds(process, self._typed(TEMPLATE, TrainingTemplate, key), past)
