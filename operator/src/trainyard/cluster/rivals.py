"""The processes that want the same node, and how long each will probably take."""

from __future__ import annotations

from trainyard.api.meta import Json
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

_Made = tuple[str, str, tuple[PastRun, ...]]
"""What a rival was made of: the versions of its process and its template, the runs before it."""


class Rivals:
    """Reads the queues of nodes from the cache; safe to use from several threads.

    Each report of a holder has all that wait for its node decided again, and each of them looks at
    all others. So what nothing has changed of is made once.
    """

    def __init__(self, cache: Cache, typed: TypedCache) -> None:
        self._cache, self._typed = cache, typed
        self._past = PastRuns(cache)
        self._known: dict[str, tuple[_Made, Rival]] = {}

    def expected_seconds(self, process: TrainingProcess) -> float | None:
        """How long the whole run will probably take."""
        return self._expected(process, self._past.on(process.spec.target_node))

    def of(self, process: TrainingProcess) -> tuple[Rival, ...]:
        """The other unfinished processes of the same node."""
        past = self._past.on(process.spec.target_node)
        processes, found = self._cache.all(PROCESS), []
        for raw in processes:
            meta = parse.metadata(raw)
            if (raw.get("spec") or {}).get("targetNode") != process.spec.target_node:
                continue
            phase = (raw.get("status") or {}).get("phase")
            finished = phase in ("Succeeded", "Failed") or meta.get("deletionTimestamp")
            if finished or meta.get("uid") == process.metadata.uid:
                continue
            rival = self._rival(raw, past)
            if rival is not None:
                found.append(rival)
        if len(self._known) > len(processes):
            there = {str(parse.metadata(raw).get("uid")) for raw in processes}
            for uid in [uid for uid in list(self._known) if uid not in there]:
                self._known.pop(uid, None)
        return tuple(found)

    def _rival(self, raw: Json, past: tuple[PastRun, ...]) -> Rival | None:
        meta = parse.metadata(raw)
        uid, named = str(meta.get("uid")), (raw.get("spec") or {}).get("template")
        template = self._cache.get(TEMPLATE, f"{meta.get('namespace')}/{named}")
        made = (_version(raw), "" if template is None else _version(template), past)
        known = self._known.get(uid)
        if known is not None and known[0] == made:
            return known[1]
        try:
            other = self._typed(PROCESS, TrainingProcess, parse.key_of(raw))
        except parse.UnreadableObject:
            return None
        if other is None:
            return None
        rival = as_rival(other, self._expected(other, past))
        if other.metadata.resource_version == made[0]:  # Else it has changed just now.
            self._known[uid] = (made, rival)
        return rival

    def _expected(self, process: TrainingProcess, past: tuple[PastRun, ...]) -> float | None:
        key = f"{process.metadata.namespace}/{process.spec.template}"
        return expected_seconds(process, self._typed(TEMPLATE, TrainingTemplate, key), past)


def _version(raw: Json) -> str:
    return str(parse.metadata(raw).get("resourceVersion"))
