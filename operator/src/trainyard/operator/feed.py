"""What fills the cache: events of the watches, and LISTs of our own every so often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from trainyard.api.meta import Json
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.cache import Cache
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.names import OURS_SELECTOR
from trainyard.cluster.resources import (
    DATASET,
    JOB,
    OWN_KINDS,
    POD,
    PROCESS,
    WATCHED,
    ResourceType,
)
from trainyard.operator.health import Health
from trainyard.operator.keys import NODE_LOCK, Key, affected
from trainyard.operator.metrics import Metrics
from trainyard.operator.reports import ReportStore


class Feed:
    """Keeps the cache up to date and says what is to be decided again.

    Everybody who looks at objects as they come is told here: health, the auditor, the reports.

    Parameters
    ----------
    namespaces
        Namespaces that are served; empty: all.
    wake
        Called with keys to work on soon; safe from any thread.
    """

    def __init__(
        self,
        api: ApiServer,
        lock: NodeLock,
        cache: Cache,
        health: Health,
        metrics: Metrics,
        reports: ReportStore,
        namespaces: tuple[str, ...],
        wake: Callable[[set[Key]], None],
    ) -> None:
        self._api = api
        self._lock = lock
        self._cache = cache
        self._health = health
        self._metrics = metrics
        self._reports = reports
        self._namespaces = namespaces
        self._wake = wake

    def event(self, type_: ResourceType, kind: str | None, raw: Json) -> None:
        """Take over one event of a watch."""
        if not self._served(type_, raw):
            return
        self._health.event(type_, raw)
        if kind == "DELETED":
            self._cache.drop(type_, raw)
        else:
            self._cache.put(type_, raw)
        if kind == "DELETED" or not _may_report(type_, raw):
            self._reports.forget(str(parse.metadata(raw).get("uid")))
        if type_ is POD:
            self._metrics.auditor.look(raw)
        self._wake(affected(type_, raw, self._cache))

    def sync(self, clock: Callable[[], datetime]) -> None:
        """Replace the cache by LISTs, and wake everything: a watch may have lost a deletion.

        Raises
        ------
        ApiError
            If a LIST fails; types that were listed before it are taken over.
        """
        for type_ in WATCHED:
            selector = OURS_SELECTOR if type_ in (JOB, POD) else None
            listing = self._api.list(type_, label_selector=selector)
            items = [raw for raw in listing.items if self._served(type_, raw)]
            changed = self._cache.replace(type_, items, listing.version)
            self._health.listed(type_, items, changed)
        self._metrics.auditor.look_at_all()
        self._reports.retain(
            {
                str(parse.metadata(raw).get("uid"))
                for type_ in (PROCESS, DATASET)
                for raw in self._cache.all(type_)
                if _may_report(type_, raw)
            }
        )
        keys = {Key(NODE_LOCK, node) for node in self.count_locks()}
        for type_ in WATCHED:
            for raw in self._cache.all(type_):
                keys |= affected(type_, raw, self._cache)
        self._health.synced(clock())
        self._wake(keys)

    def count_locks(self) -> list[str]:
        """The nodes that are locked; the quarantined ones are counted for the metrics.

        Raises
        ------
        ApiError
            If the locks cannot be listed.
        """
        locks = self._lock.all()
        self._metrics.quarantined(lock.node for lock in locks if lock.quarantined)
        return [lock.node for lock in locks]

    def _served(self, type_: ResourceType, raw: Json) -> bool:
        """Whether the object is in a namespace that this operator serves.

        Jobs and pods of all namespaces count: they may hold a node.
        """
        if not self._namespaces or type_ not in OWN_KINDS:
            return True
        return parse.metadata(raw).get("namespace") in self._namespaces


def _may_report(type_: ResourceType, raw: Json) -> bool:
    """Whether a pod may still report about the object."""
    phase = (raw.get("status") or {}).get("phase")
    if type_ is PROCESS:
        return phase not in ("Succeeded", "Failed")
    return type_ is not DATASET or phase not in ("Ready", "Failed")
