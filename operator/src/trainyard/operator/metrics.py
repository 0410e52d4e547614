"""What Prometheus is told. Numbers of the cluster are counted from the cache at scrape time.

Labels are nodes, phases, kinds and a few outcomes: never names of objects or namespaces, whose
number has no bound. The list for people is `docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import (
    NotificationChannel,
    NotificationState,
    TrainingProcessStatus,
)
from trainyard.api.reasons import Reason
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import OWN_KINDS
from trainyard.decide.facts import DecisionSettings
from trainyard.operator import __version__
from trainyard.operator.auditor import Auditor
from trainyard.operator.keys import NODE_LOCK
from trainyard.operator.node_metrics import OTHER, REASONS, ClusterView
from trainyard.operator.reports import ReportOutcome
from trainyard.operator.transitions import transitions

PASS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the histogram: most passes are a few reads, some hash a model."""
WAIT_SECONDS = (1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600)
"""Upper bounds of the histogram: from a free node to a run of days before."""
OUTCOMES = ("conflict", "api", "other")
"""Why a pass failed: the object had changed, the API server refused or did not answer, a bug."""
COMMON_ENDS = (
    Reason.TRAINING_SUCCEEDED,
    Reason.STOPPED,
    Reason.EVICTED,
    Reason.STALLED,
    Reason.NODE_LOST,
    Reason.OUT_OF_MEMORY,
    Reason.GPU_OUT_OF_MEMORY,
    Reason.TRAINER_ERROR,
)
"""They are there from the start, so that `increase` sees the first; the others when they happen."""


@dataclass(frozen=True)
class Vitals:
    """What the parts of the process say about themselves at the time of a scrape."""

    queue_depth: Callable[[], int]
    """Objects that wait or are worked on."""
    leading: Callable[[], bool]
    """Whether this operator decides."""
    healthy: Callable[[], bool]
    """Whether /healthz says so."""
    ready: Callable[[], bool]
    """Whether /readyz says so."""


class Metrics:
    """All metrics of one operator, in a registry of its own.

    Parameters
    ----------
    rules
        What makes a node unfit for trainings.
    clock
        The time, with its zone.

    Attributes
    ----------
    auditor
        Looks for two trainings on one node; to be shown every pod that changes.
    """

    def __init__(
        self, cache: Cache, vitals: Vitals, rules: DecisionSettings, clock: Callable[[], datetime]
    ) -> None:
        self._registry = registry = CollectorRegistry()
        doubles = Counter(
            "trainyard_node_double_placements",
            "Times that a node was seen with more than one live training pod. Must stay 0.",
            registry=registry,
        )
        self.auditor = Auditor(cache, doubles.inc)
        self._quarantined: frozenset[str] = frozenset()
        self._view = ClusterView(cache, self.auditor, rules, lambda: self._quarantined, clock)
        registry.register(self._view)
        self._waits = Histogram(
            "trainyard_node_wait_seconds",
            "How long processes had waited for the node when they got it.",
            ["node"],
            buckets=WAIT_SECONDS,
            registry=registry,
        )
        self._gpu_seconds = Counter(
            "trainyard_gpu_seconds",
            "GPU time of attempts on the node that have ended.",
            ["node"],
            registry=registry,
        )
        self._ends = Counter(
            "trainyard_attempts_ended",
            "Attempts that have ended, by how.",
            ["reason"],
            registry=registry,
        )
        for end in COMMON_ENDS:
            self._ends.labels(str(end))
        self._reports = Counter(
            "trainyard_progress_reports",
            "Reports of trainers that were accepted, or refused and why.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ReportOutcome:
            self._reports.labels(outcome)
        self._notifications = Counter(
            "trainyard_notifications",
            "Messages about the end of a run that were sent, or given up.",
            ["channel", "state"],
            registry=registry,
        )
        for channel in NotificationChannel:
            for state in (NotificationState.SENT, NotificationState.FAILED):
                self._notifications.labels(channel, state)
        self._passes_over(registry)
        self._about_itself(registry, vitals)

    def _passes_over(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "trainyard_reconcile_duration_seconds",
            "Time that a pass over one object took.",
            ["kind"],
            buckets=PASS_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "trainyard_reconcile_errors",
            "Passes that failed and are repeated.",
            ["kind", "reason"],
            registry=registry,
        )
        for kind in (NODE_LOCK, *(type_.kind for type_ in OWN_KINDS)):
            for failure in OUTCOMES:
                self._errors.labels(kind, failure)

    def _about_itself(self, registry: CollectorRegistry, vitals: Vitals) -> None:
        told: dict[str, tuple[str, Callable[[], float]]] = {
            "queue_depth": (
                "Objects that wait to be reconciled or are being reconciled.",
                vitals.queue_depth,
            ),
            "leader": ("1 if this operator decides, 0 if it stands by.", vitals.leading),
            "healthy": ("1 if /healthz says ok, 0 if only a restart helps.", vitals.healthy),
            "ready": ("1 if the cache is filled and the watches run.", vitals.ready),
        }
        for name, (text, value) in told.items():
            Gauge(f"trainyard_{name}", text, registry=registry).set_function(value)
        build = Info("trainyard_build", "The program that runs.", registry=registry)
        build.info({"version": __version__})
        ProcessCollector(registry=registry)

    def pass_over(self, kind: str, seconds: float, failure: str | None = None) -> None:
        """A pass over an object of a kind ended; `failure` is one of `OUTCOMES`."""
        self._seconds.labels(kind).observe(seconds)
        if failure is not None:
            self._errors.labels(kind, failure).inc()

    def written(self, process: TrainingProcess, status: TrainingProcessStatus) -> None:
        """The status of `process`, as it was read, was replaced by this one."""
        new = transitions(process, status)
        for attempt in new.ended:
            reason = str(attempt.reason)
            self._ends.labels(reason if reason in REASONS else OTHER).inc()
        if new.gpu_seconds:
            self._gpu_seconds.labels(new.node).inc(new.gpu_seconds)
        if new.waited_seconds is not None:
            self._waits.labels(new.node).observe(new.waited_seconds)

    def notified(self, channel: NotificationChannel, state: NotificationState) -> None:
        """A message was sent or given up."""
        self._notifications.labels(channel, state).inc()

    def reported(self, outcome: ReportOutcome) -> None:
        """A report of a trainer came."""
        self._reports.labels(outcome).inc()

    def quarantined(self, nodes: Iterable[str]) -> None:
        """These nodes are quarantined now."""
        self._quarantined = frozenset(nodes)

    def text(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their content type, in the format that an Accept header asks for."""
        for node in self._view.nodes():
            # There before anything happens, so that `increase` sees the first.
            self._gpu_seconds.labels(node)
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
