"""Which of several operators decides: the holder of one Lease.

For liveness only, never for safety: that no node gets two trainings, and that nothing is done
twice, follows from the locks of nodes and from preconditions of each write, however many operators
decide at once. Nobody needs to be sure that an old leader has stopped.

The Kubernetes Python client brings an election of its own (`kubernetes.leaderelection`, looked at
in v37). It is not used: it cannot be stopped and does not release its Lease, a connection that
fails ends it (only `ApiException` is caught), its requests have no time-out, and it compares wall
clocks, so a clock that jumps takes the lead from a healthy leader. This one follows client-go: a
standby measures with its own monotonic clock how long the Lease has not changed, and never
compares a time that another machine wrote.

A standby keeps its cache up to date (watches and resyncs), so that it can take over at once. It is
healthy and ready: readiness that follows the lead would make a roll-out with two replicas wait for
good. It answers reports of trainers with 503 and closes the connection, so that the next report,
seconds later, may reach the leader through the Service. Losing some never hurts a run.

Who loses the Lease stops deciding and stands by again, without a restart: nothing is kept from one
pass to the next, and an API server that is down for a while must not restart every operator.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from trainyard.api.meta import Json
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import AlreadyExists, ApiError, Conflict
from trainyard.cluster.resources import LEASE
from trainyard.operator.logs import about
from trainyard.operator.settings import LONGEST_LEASE_SECONDS, LeaderElectionSettings

log = logging.getLogger(__name__)

RELEASE_SECONDS = 5.0
"""For so long the end of the process waits for the Lease to be given back; else it runs out."""

Clock = Callable[[], float]
OnChange = Callable[[bool], None]
"""Called with whether this operator leads now, from the elector's thread."""


class Elector:
    """Takes, renews and gives back the Lease of the leader, in a thread of its own.

    Parameters
    ----------
    identity
        Unlike that of any other process, also an earlier one of the same pod.
    on_change
        Told each time the lead is won or lost.
    clock
        Seconds that never jump.
    """

    def __init__(
        self,
        api: ApiServer,
        settings: LeaderElectionSettings,
        identity: str,
        on_change: OnChange,
        clock: Clock = time.monotonic,
    ) -> None:
        self._api = api
        self._settings = settings
        self._namespace = settings.lease_namespace()
        self._name = f"{self._namespace}/{settings.name}"
        self._identity = identity
        self._on_change = on_change
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leader", daemon=True)
        self._lease: Json | None = None
        """As this operator wrote it last; only a leader has one."""
        self._renewed = 0.0
        self._told = False
        self._complaint = ""
        self._seen: tuple[Any, float] | None = None
        """What another's Lease said when it changed last, and when that was seen."""

    @property
    def leading(self) -> bool:
        """Whether this operator leads at this moment.

        False as soon as a renewal is overdue, also in a process that was paused and has not
        noticed yet.
        """
        return self._lease is not None and not self._overdue()

    def start(self) -> None:
        """Begin to take part."""
        self._thread.start()

    def stop(self) -> None:
        """Stop taking part and give the Lease back, so that the next one leads at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(RELEASE_SECONDS)

    def _run(self) -> None:
        with about(LEASE.kind, self._name):
            while not self._stop.is_set():
                self.step()
                self._stop.wait(self._settings.retry_seconds)
            self._release()

    def step(self) -> None:
        """One look: renew the Lease, or take it if nobody holds it any more."""
        try:
            if self._lease is None:
                self._try_to_take()
            else:
                self._renew(self._lease)
        except (Conflict, AlreadyExists):
            # Somebody else was faster: the next look shows who.
            self._lease = None
        except ApiError as error:
            self._complain(str(error))
        except Exception:
            # Without this thread nobody would ever lead here again.
            log.exception("the look failed")
        else:
            self._complain("")
        if self._lease is not None and self._overdue():
            log.warning("not renewed in time")
            self._lease = None
        self._tell()

    def _try_to_take(self) -> None:
        found = self._api.get(LEASE, self._settings.name, self._namespace)
        begun = self._clock()
        if found is None:
            spec = self._spec(transitions=0)
            body = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {"name": self._settings.name, "namespace": self._namespace},
                "spec": spec,
            }
            self._lease, self._renewed = self._api.create(LEASE, body, self._namespace), begun
            return
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder and holder != self._identity and not self._silent(spec, begun):
            return
        if holder and holder != self._identity:
            log.info("that of %s has run out", holder)
        transitions = spec.get("leaseTransitions")
        taken = self._spec(transitions=(transitions if isinstance(transitions, int) else 0) + 1)
        self._lease, self._renewed = self._api.replace(LEASE, {**found, "spec": taken}), begun

    def _silent(self, spec: Json, now: float) -> bool:
        """Whether another's Lease has not changed for as long as it was taken for."""
        if self._seen is None or self._seen[0] != spec:
            self._seen = (spec, now)
        seconds = spec.get("leaseDurationSeconds")
        if not isinstance(seconds, int) or not 0 < seconds <= LONGEST_LEASE_SECONDS:
            seconds = self._settings.lease_seconds
        return now - self._seen[1] >= seconds

    def _renew(self, lease: Json) -> None:
        begun = self._clock()
        if self._overdue():
            # It was paused: another one may have taken over.
            return
        spec = {**lease["spec"], "renewTime": micro_time()}
        try:
            self._lease, self._renewed = self._api.replace(LEASE, {**lease, "spec": spec}), begun
        except Conflict:
            # Also an answer that was lost, or a label that somebody set, makes ours old.
            found = self._api.get(LEASE, self._settings.name, self._namespace)
            if found is None or (found.get("spec") or {}).get("holderIdentity") != self._identity:
                raise
            spec = {**found["spec"], "renewTime": micro_time()}
            self._lease, self._renewed = self._api.replace(LEASE, {**found, "spec": spec}), begun

    def _overdue(self) -> bool:
        return self._clock() - self._renewed > self._settings.renew_seconds

    def _release(self) -> None:
        lease, self._lease = self._lease, None
        self._tell()
        if lease is None:
            return
        spec = {**lease["spec"], "holderIdentity": "", "renewTime": micro_time()}
        try:
            self._api.replace(LEASE, {**lease, "spec": spec})
        except ApiError as error:
            log.info("not given back, it runs out: %s", error)

    def _tell(self) -> None:
        leads = self._lease is not None
        if leads == self._told:
            return
        self._told = leads
        if leads:
            log.info("leading")
        else:
            log.warning("no longer leading, standing by")
        self._on_change(leads)

    def _spec(self, transitions: int) -> Json:
        now = micro_time()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._settings.lease_seconds,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _complain(self, complaint: str) -> None:
        """Log what is wrong, once for as long as it stays the same."""
        if complaint and complaint != self._complaint:
            log.warning("cannot be had now: %s", complaint)
        self._complaint = complaint


def micro_time() -> str:
    """The time as a Kubernetes MicroTime; for people, nobody decides by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
