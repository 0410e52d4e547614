"""Whether the process does its work, and what it measures: /healthz, /readyz, /metrics.

Leader and standby alike: both fill their cache from watches and resyncs. An API server that does
not answer is no reason to be restarted before the resyncs are long overdue.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from aiohttp import web

from trainyard.api.meta import Json
from trainyard.cluster import parse
from trainyard.cluster.resources import ResourceType
from trainyard.operator.metrics import Metrics

Clock = Callable[[], float]

PASS_LIMIT_SECONDS = 1800.0
"""A pass may hash a large model; its requests all have time-outs. One that takes longer hangs."""


class Health:
    """What the parts of the process said about themselves; safe to use from several threads.

    Parameters
    ----------
    resync_seconds
        Time between two resyncs.
    stalled_after_seconds
        Without a finished resync for this long beyond its due time, without watches for this long
        after the start, or without the event of a change for this long, health turns bad.
    clock
        Seconds that never jump.
    """

    def __init__(self, resync_seconds: float, stalled_after_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._resync_seconds = resync_seconds
        self._stalled_after_seconds = stalled_after_seconds
        self._lock = threading.Lock()
        self._synced: tuple[float, datetime] | None = None
        self._watching_since: float | None = None
        self._watches_ready = False
        self._passes: dict[int, tuple[float, str]] = {}
        self._awaited: dict[tuple[ResourceType, str], tuple[int, float]] = {}
        self._silent: tuple[ResourceType, str] | None = None

    def synced(self, now: datetime) -> None:
        """Every type was listed."""
        self._synced = (self._clock(), now)

    def watches_started(self) -> None:
        """The watches are being opened."""
        self._watching_since = self._clock()

    def watches_ready(self) -> None:
        """The watches run."""
        self._watches_ready = True

    def pass_begun(self, worker: int, what: str) -> None:
        """A worker begins with an object."""
        self._passes[worker] = (self._clock(), what)

    def pass_over(self, worker: int) -> None:
        """A worker is done with its object."""
        self._passes.pop(worker, None)

    def listed(self, type_: ResourceType, items: Iterable[Json], changed: set[str]) -> None:
        """A LIST showed these objects; of those in `changed` the cache had another version.

        A watch that works brings the event of each of them soon. If one has not come by a later
        LIST that still shows the object, the watch of its type is silent.
        """
        now = self._clock()
        versions = {parse.key_of(raw): _version(raw) for raw in items}
        with self._lock:
            for (awaited, key), (_, since) in list(self._awaited.items()):
                if awaited is not type_:
                    continue
                if key not in versions:
                    del self._awaited[awaited, key]
                elif now - since > self._stalled_after_seconds and self._watches_ready:
                    sentence = f"no event came of {type_.plural} {key}, which has changed"
                    self._silent = (type_, sentence)
            for key in changed & versions.keys():
                self._awaited.setdefault((type_, key), (versions[key], now))

    def event(self, type_: ResourceType, raw: Json) -> None:
        """A watch brought an event of the object."""
        name = (type_, parse.key_of(raw))
        with self._lock:
            if self._silent is not None and self._silent[0] is type_:
                self._silent = None
            awaited = self._awaited.get(name)
            if awaited is not None and _version(raw) >= awaited[0]:
                del self._awaited[name]

    def trouble(self) -> str | None:
        """What is wrong so that only a restart helps, in a sentence; None: nothing."""
        now = self._clock()
        if self._synced is not None:
            at, when = self._synced
            if now - at > self._resync_seconds + self._stalled_after_seconds:
                return f"no resync since {when.isoformat()}"
        since = self._watching_since
        late = since is not None and now - since > self._stalled_after_seconds
        if late and not self._watches_ready:
            return f"the watches have not begun within {self._stalled_after_seconds:.0f} s"
        for begun, what in list(self._passes.values()):
            if now - begun > PASS_LIMIT_SECONDS:
                return f"a worker has been busy with {what} for {now - begun:.0f} s"
        silent = self._silent
        return None if silent is None else silent[1]

    @property
    def ready(self) -> bool:
        """Whether the cache is filled and kept up to date."""
        return self._synced is not None and self._watches_ready


class HealthService:
    """The HTTP service that Kubernetes and Prometheus ask."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._scrape)
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        trouble = self._health.trouble()
        if trouble is not None:
            return web.Response(status=503, text=f"{trouble}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self._health.ready:
            return web.Response(status=503, text="the caches are not filled yet\n")
        return web.Response(text="ok\n")

    async def _scrape(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        body, content_type = await asyncio.to_thread(self._metrics.text, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _version(raw: Json) -> int:
    text = str(parse.metadata(raw).get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
