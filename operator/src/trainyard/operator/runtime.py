"""The running operator: watches, resync, the lead, workers, the progress service, health.

Watches and resyncs fill the cache, whether this operator leads or stands by. Only who leads puts
keys into the queue and works on them; see `trainyard.operator.leader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import kopf
from aiohttp import web

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import TrainingProcessStatus
from trainyard.api.report import ProgressReport
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.apply import Applier
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import ApiError, Conflict, NotFound
from trainyard.cluster.gather import Gatherer
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.resources import PROCESS
from trainyard.decide.outbox import Message
from trainyard.operator import handlers
from trainyard.operator.feed import Feed
from trainyard.operator.health import Health, HealthService
from trainyard.operator.keys import Key, about_key
from trainyard.operator.leader import Elector
from trainyard.operator.metrics import Metrics, Vitals
from trainyard.operator.notifier import Notifier
from trainyard.operator.progress_server import ProgressService
from trainyard.operator.queue import WorkQueue
from trainyard.operator.reconciler import Reconciler
from trainyard.operator.reports import ReportStore
from trainyard.operator.settings import Settings
from trainyard.operator.wiring import decision_settings, pod_settings
from trainyard.stores import open_store

T = TypeVar("T")

log = logging.getLogger(__name__)

LOOK_AT_LOCKS_SECONDS = 30.0
"""Every so often the quarantined nodes are counted for the metrics: locks are not watched."""
FIRST_RESYNC_SECONDS = 5.0
"""Until the first resync; each wait after it is twice as long, up to the setting."""
LEAD_AGAIN_SECONDS = 1.0
KOPF_ENDS_SECONDS = 10.0
LATE_RENEWAL_SECONDS = 0.1


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
        self._reports = ReportStore(utc_now)
        self._health = Health(
            settings.resync_seconds, settings.stalled_after_seconds, time.monotonic
        )
        rules = decision_settings(settings)
        vitals = Vitals(
            queue_depth=self._queue.__len__,
            leading=self._may_decide,
            healthy=lambda: self._health.trouble() is None,
            ready=lambda: self._health.ready,
        )
        self._metrics = Metrics(self._cache, vitals, rules, utc_now)
        self._pool = ThreadPoolExecutor(settings.workers + 2, thread_name_prefix="reconcile")
        self._kopf_ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._elector: Elector | None = None
        if settings.leader_election.enabled:
            # Unlike any other process's, also the one that this pod had before a restart.
            identity = f"{instance}_{uuid.uuid4()}"
            self._elector = Elector(api, settings.leader_election, identity, self._on_lead)
        self._lead_changed = asyncio.Event()
        self._queueing = self._elector is None
        self._deciding = asyncio.Event()
        if self._elector is None:
            self._deciding.set()
        lock = NodeLock(api, settings.evidence_seconds)
        self._feed = Feed(
            api,
            lock,
            self._cache,
            self._health,
            self._metrics,
            self._reports,
            settings.namespaces,
            self._wake,
        )
        store = open_store(settings.store.location)
        self._notifier = Notifier(
            settings,
            store,
            self._metrics,
            utc_now,
            lambda process: self._wake({Key(PROCESS.kind, process.key)}),
        )
        gatherer = Gatherer(
            api,
            self._cache,
            lock,
            ArtefactReader(store),
            self._reports.get,
            rules,
            lambda: self._reports.listening_since,
            self._notifier.deliveries,
        )
        applier = Applier(api, self._cache, lock, pod_settings(settings), instance)
        self._reconciler = Reconciler(
            gatherer,
            applier,
            lock,
            self._cache,
            utc_now,
            self._wake,
            self._written,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a part of it fails.

        Raises
        ------
        StartError
            If a resource type is not installed or may not be listed.
        """
        self._loop = asyncio.get_running_loop()
        self._take_signals()
        async with self._web():
            # Nothing is decided before everything was listed once: a partial queue would pick
            # the wrong winner.
            await self._first_sync()
            # All before kopf: it ends every task that was made after it began.
            parts: list[asyncio.Task[None]] = [
                asyncio.create_task(self._signals_again(), name="signals"),
                asyncio.create_task(self._resync(), name="resync"),
                asyncio.create_task(self._look_at_locks(), name="locks"),
                asyncio.create_task(self._lead(), name="lead"),
                *(
                    asyncio.create_task(self._work(number), name=f"worker-{number}")
                    for number in range(self._settings.workers)
                ),
                asyncio.create_task(self._watch(), name="watch"),
            ]
            self._notifier.start()
            if self._elector is not None:
                self._elector.start()
            stop = asyncio.create_task(self._stop.wait(), name="stop")
            done, _ = await asyncio.wait([*parts, stop], return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            self._stand_by()
            if self._elector is not None:
                # At once: safety does not wait for passes in flight, and neither does the next.
                await asyncio.to_thread(self._elector.stop)
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._record_what_was_sent()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._notifier.stop()
            for task in parts:
                if task in done:
                    task.result()

    async def _record_what_was_sent(self) -> None:
        """Else the next operator would find messages that seem to have been cut off.

        Also by one that leads no more: no pass hands anything over now, and a status that
        somebody else has written since is left to them.
        """
        for uid in await self._in_thread(self._notifier.finish):
            for raw in self._cache.all(PROCESS):
                if parse.metadata(raw).get("uid") == uid:
                    key = Key(PROCESS.kind, parse.key_of(raw))
                    with contextlib.suppress(ApiError), about_key(key, self._cache):
                        await self._in_thread(self._reconciler.reconcile, key)

    def _wake(self, keys: set[Key]) -> None:
        """Work on keys soon; safe from any thread."""
        self._loop.call_soon_threadsafe(self._add, keys)

    def _written(
        self, process: TrainingProcess, status: TrainingProcessStatus, messages: Sequence[Message]
    ) -> None:
        self._metrics.written(process, status)
        self._notifier.written(process, status, messages)

    def _on_report(self, report: ProgressReport, key: Key) -> None:
        self._reports.put(report, utc_now())
        self._queue.add(key)

    def _add(self, keys: set[Key]) -> None:
        if not self._queueing:
            # A standby: whoever leads works on it, and a new leader works on everything.
            return
        for key in keys:
            self._queue.add(key)

    def _on_lead(self, _: bool) -> None:
        """The lead was won or lost; called from the elector's thread."""
        with contextlib.suppress(RuntimeError):  # The loop has ended; so has the lead.
            self._loop.call_soon_threadsafe(self._lead_changed.set)

    def _leads(self) -> bool:
        return self._elector is None or self._elector.leading

    def _may_decide(self) -> bool:
        return self._deciding.is_set() and self._leads()

    def _stand_by(self) -> None:
        """Decide nothing any more; passes in flight end by themselves."""
        self._queueing = False
        self._deciding.clear()
        self._queue.clear()

    async def _lead(self) -> None:
        """Begin to decide when the lead is won, stop when it is lost."""
        while True:
            await self._lead_changed.wait()
            self._lead_changed.clear()
            self._stand_by()
            if not self._leads():
                continue
            self._reports.listen_anew()
            # From now on no event is lost; what is decided first is decided from fresh LISTs.
            self._queueing = True
            try:
                await self._sync()
            except ApiError as error:
                log.warning("leading, but nothing can be listed yet: %s", error)
                await asyncio.sleep(LEAD_AGAIN_SECONDS)
                self._lead_changed.set()
            else:
                self._deciding.set()

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)

    async def _signals_again(self) -> None:
        """Take the signals back from kopf, which needs seconds to end: first goes the lead."""
        await self._kopf_ready.wait()
        self._health.watches_ready()
        self._take_signals()
        await self._stop.wait()

    async def _watch(self) -> None:
        """Watch until something ends kopf; then raise what did."""
        self._health.watches_started()
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(self._feed.event),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=True,
            ready_flag=self._kopf_ready,
            stop_flag=self._stop,
        )
        whole = asyncio.create_task(kopf.run_tasks(tasks, ignored=others), name="kopf")
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # One of them that ends is to end them all. But one that waits for credentials then
            # waits for ever, and does not let itself be cancelled (kopf 1.45.2).
            await asyncio.wait([whole], timeout=KOPF_ENDS_SECONDS)
        finally:
            whole.cancel()
            await asyncio.wait([whole], timeout=KOPF_ENDS_SECONDS)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        # A signal before it was ready ends it without a fault.
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
        """Replace the cache every so often: a watch may have lost a deletion.

        Soon after the start, too: what is deleted between our first LIST and that of a watch is
        told by nobody, and on a busy machine that takes a while.
        """
        wait = FIRST_RESYNC_SECONDS
        while True:
            await asyncio.sleep(min(wait, self._settings.resync_seconds))
            wait = min(wait * 2, self._settings.resync_seconds)
            try:
                await self._sync()
            except ApiError as error:
                log.warning("resync failed and is tried again: %s", error)

    async def _sync(self) -> None:
        await self._in_thread(self._feed.sync, utc_now)

    async def _look_at_locks(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_LOCKS_SECONDS)
            with contextlib.suppress(ApiError):  # The number stays what it was.
                await self._in_thread(self._feed.count_locks)

    async def _work(self, number: int) -> None:
        while True:
            await self._deciding.wait()
            key = await self._queue.get()
            if not self._may_decide():
                # The lead was lost; or it was just won, or its renewal is late: then the key stays.
                self._queue.done(key)
                if self._queueing:
                    self._queue.add(key)
                    await asyncio.sleep(LATE_RENEWAL_SECONDS)
                continue
            begun = time.monotonic()
            self._health.pass_begun(number, f"{key.kind} {key.key}")
            failure = None
            try:
                with about_key(key, self._cache):
                    failure = await self._pass(key)
            finally:
                self._health.pass_over(number)
                self._metrics.pass_over(key.kind, time.monotonic() - begun, failure)
                self._queue.done(key, failed=failure is not None)

    async def _pass(self, key: Key) -> str | None:
        """One pass over a key; why it failed, as the metrics call it."""
        try:
            again = await self._in_thread(self._reconciler.reconcile, key)
        except Conflict as error:
            log.debug("the pass is repeated: %s", error)
            return "conflict"
        except ApiError as error:
            log.warning("the pass is repeated: %s", error)
            return "api"
        except Exception:
            # One object must not stop the others; it is tried again, later each time.
            log.exception("the pass failed and is repeated")
            return "other"
        if again is not None:
            self._queue.add_after(key, again)
        return None

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        # With what is being worked on: lines that are printed there name it.
        here = contextvars.copy_context()
        return await self._loop.run_in_executor(self._pool, here.run, function, *arguments)

    @contextlib.asynccontextmanager
    async def _web(self) -> AsyncIterator[None]:
        """Progress service and health, each on its own port."""
        service = ProgressService(
            self._api,
            self._cache,
            self._on_report,
            self._settings.progress.max_body_bytes,
            self._leads,
            self._metrics.reported,
        )
        health = HealthService(self._health, self._metrics)
        runners = []
        for application, port in (
            (service.application(), self._settings.progress.port),
            (health.application(), self._settings.health_port),
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
