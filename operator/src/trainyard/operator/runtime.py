"""The running operator: watches, resync, workers, the progress service, health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import kopf
from aiohttp import web

from trainyard.api.meta import Json
from trainyard.api.report import ProgressReport
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.apply import Applier
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import ApiError, Conflict, NotFound
from trainyard.cluster.gather import Gatherer
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.names import OURS_SELECTOR
from trainyard.cluster.resources import JOB, OWN_KINDS, POD, WATCHED, ResourceType
from trainyard.operator import handlers
from trainyard.operator.keys import NODE_LOCK, Key, affected
from trainyard.operator.progress_server import ProgressService
from trainyard.operator.queue import WorkQueue
from trainyard.operator.reconciler import Reconciler
from trainyard.operator.reports import ReportStore
from trainyard.operator.settings import Settings
from trainyard.operator.wiring import decision_settings, pod_settings
from trainyard.stores import open_store

T = TypeVar("T")

log = logging.getLogger(__name__)

STALLED_AFTER_SECONDS = 120.0
"""Without a finished resync or pass for this long beyond its due time, health turns bad."""


class StartError(RuntimeError):
    """The operator cannot start; one sentence says why and what to do."""


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


class Runtime:
    """Everything that runs in the process, started in one order and stopped in the other."""

    def __init__(self, settings: Settings, api: ApiServer, instance: str) -> None:
        self._settings = settings
        self._api = api
        self._cache = Cache()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._reports = ReportStore()
        self._pool = ThreadPoolExecutor(settings.workers + 2, thread_name_prefix="reconcile")
        self._last_sync: datetime | None = None
        self._kopf_ready = asyncio.Event()
        self._stop = asyncio.Event()
        lock = NodeLock(api)
        self._lock = lock
        gatherer = Gatherer(
            api,
            self._cache,
            lock,
            ArtefactReader(open_store(settings.store.location)),
            self._reports.get,
            decision_settings(settings),
        )
        applier = Applier(api, self._cache, lock, pod_settings(settings), instance)
        self._reconciler = Reconciler(gatherer, applier, lock, self._cache, utc_now, self._wake)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a part of it fails.

        Raises
        ------
        StartError
            If a resource type is not installed or may not be listed.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with self._web():
            # Nothing is decided before everything was listed once: a partial queue would pick
            # the wrong winner.
            await self._first_sync()
            parts: list[asyncio.Task[None]] = [
                asyncio.create_task(self._watch(), name="watch"),
                asyncio.create_task(self._resync(), name="resync"),
                *(
                    asyncio.create_task(self._work(), name=f"worker-{number}")
                    for number in range(self._settings.workers)
                ),
            ]
            stop = asyncio.create_task(self._stop.wait(), name="stop")
            done, _ = await asyncio.wait([*parts, stop], return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._pool.shutdown(wait=True, cancel_futures=True)
            for task in parts:
                if task in done:
                    task.result()

    def on_event(self, type_: ResourceType, kind: str | None, raw: Json) -> None:
        """Take over one event of a watch; called from kopf's threads."""
        if not self._served(type_, raw):
            return
        if kind == "DELETED":
            self._cache.drop(type_, raw)
            self._reports.forget(str(parse.metadata(raw).get("uid")))
        else:
            self._cache.put(type_, raw)
        keys = affected(type_, raw, self._cache)
        self._wake(keys)

    def _wake(self, keys: set[Key]) -> None:
        """Work on keys soon; safe from any thread."""
        self._loop.call_soon_threadsafe(self._add, keys)

    def _on_report(self, report: ProgressReport, key: Key) -> None:
        self._reports.put(report, utc_now())
        self._queue.add(key)

    def _add(self, keys: set[Key]) -> None:
        for key in keys:
            self._queue.add(key)

    def _served(self, type_: ResourceType, raw: Json) -> bool:
        """Whether the object is in a namespace that this operator serves.

        Jobs and pods of all namespaces count: they may hold a node.
        """
        namespaces = self._settings.namespaces
        if not namespaces or type_ not in OWN_KINDS:
            return True
        return parse.metadata(raw).get("namespace") in namespaces

    async def _watch(self) -> None:
        await kopf.operator(
            registry=handlers.registry(self.on_event),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=True,
            ready_flag=self._kopf_ready,
            stop_flag=self._stop,
        )
        # kopf takes over the signals of the main thread, so SIGTERM ends it first. Whatever else
        # ends it is raised by it.
        self._stop.set()

    async def _first_sync(self) -> None:
        delay = 1.0
        while not self._stop.is_set():
            try:
                await self._sync()
            except NotFound as error:
                raise StartError(
                    f"a resource type of Trainyard is not installed ({error}): apply the CRDs"
                ) from None
            except ApiError as error:
                log.warning("the API server cannot be listed yet: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), delay)
                delay = min(30.0, delay * 2)
            else:
                return

    async def _resync(self) -> None:
        """Replace the cache every so often: a watch may have lost a deletion."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self._sync()
            except ApiError as error:
                log.warning("resync failed and is tried again: %s", error)

    async def _sync(self) -> None:
        for type_ in WATCHED:
            selector = OURS_SELECTOR if type_ in (JOB, POD) else None
            listing = await self._in_thread(partial(self._api.list, type_, label_selector=selector))
            items = [raw for raw in listing.items if self._served(type_, raw)]
            self._cache.replace(type_, items, listing.version)
        for type_ in WATCHED:
            for raw in self._cache.all(type_):
                self._add(affected(type_, raw, self._cache))
        for lease in await self._in_thread(self._lock.all):
            self._queue.add(Key(NODE_LOCK, lease.node))
        self._last_sync = utc_now()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            failed = False
            try:
                again = await self._in_thread(self._reconciler.reconcile, key)
                if again is not None:
                    self._queue.add_after(key, again)
            except Conflict as error:
                log.debug("%s %s: %s", key.kind, key.key, error)
                failed = True
            except ApiError as error:
                log.warning("%s %s: %s", key.kind, key.key, error)
                failed = True
            except Exception:
                # One object must not stop the others; it is tried again, later each time.
                log.exception("%s %s: the pass failed", key.kind, key.key)
                failed = True
            finally:
                self._queue.done(key, failed=failed)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._pool, function, *arguments)

    @contextlib.asynccontextmanager
    async def _web(self) -> AsyncIterator[None]:
        """Progress service and health, each on its own port."""
        service = ProgressService(
            self._api,
            self._cache,
            self._on_report,
            self._settings.progress.max_body_bytes,
        )
        health = web.Application()
        health.router.add_get("/healthz", self._healthz)
        health.router.add_get("/readyz", self._readyz)
        runners = []
        for application, port in (
            (service.application(), self._settings.progress.port),
            (health, self._settings.health_port),
        ):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            runners.append(runner)
            try:
                await web.TCPSite(runner, port=port).start()
            except OSError as error:
                raise StartError(f"port {port} cannot be listened on: {error.strerror}") from None
        try:
            yield
        finally:
            for runner in runners:
                await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        last = self._last_sync
        limit = self._settings.resync_seconds + STALLED_AFTER_SECONDS
        if last is not None and (utc_now() - last).total_seconds() > limit:
            return web.Response(status=503, text=f"no resync since {last.isoformat()}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._last_sync is None or not self._kopf_ready.is_set():
            return web.Response(status=503, text="the caches are not filled yet\n")
        return web.Response(text="ok\n")
