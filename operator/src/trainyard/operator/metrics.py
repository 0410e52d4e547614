"""What Prometheus is told. Numbers of the cluster are counted from the cache at scrape time.

Labels are nodes, phases, kinds and a few outcomes: never names of objects or namespaces, whose
number has no bound. The list for people is `docs/metrics.md`.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from trainyard.api.process_status import NotificationChannel, NotificationState, ProcessPhase
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import PROCESS
from trainyard.operator import __version__
from trainyard.operator.auditor import Auditor

PASS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the histogram: most passes are a few reads, some hash a model."""
OUTCOMES = ("conflict", "api", "other")
"""Why a pass failed: the object had changed, the API server refused or did not answer, a bug."""


class Metrics:
    """All metrics of one operator, in a registry of its own.

    Parameters
    ----------
    queue_depth
        Objects that wait or are worked on.
    leading
        Whether this operator decides.

    Attributes
    ----------
    auditor
        Looks for two trainings on one node; to be shown every pod that changes.
    """

    def __init__(
        self, cache: Cache, queue_depth: Callable[[], int], leading: Callable[[], bool]
    ) -> None:
        self._registry = registry = CollectorRegistry()
        doubles = Counter(
            "trainyard_node_double_placements",
            "Times that a node was seen with more than one live training pod. Must stay 0.",
            registry=registry,
        )
        self.auditor = Auditor(cache, doubles.inc)
        self._quarantined = Gauge(
            "trainyard_nodes_quarantined",
            "Nodes whose lock is quarantined: nobody knows whether a training still runs there.",
            registry=registry,
        )
        self._notifications = Counter(
            "trainyard_notifications",
            "Messages about the end of a run that were sent, or given up.",
            ["channel", "state"],
            registry=registry,
        )
        for channel in NotificationChannel:
            for state in (NotificationState.SENT, NotificationState.FAILED):
                self._notifications.labels(channel, state)
        depth = Gauge(
            "trainyard_queue_depth",
            "Objects that wait to be reconciled or are being reconciled.",
            registry=registry,
        )
        depth.set_function(queue_depth)
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
        leader = Gauge(
            "trainyard_leader", "1 if this operator decides, 0 if it stands by.", registry=registry
        )
        leader.set_function(lambda: float(leading()))
        build = Info("trainyard_build", "The program that runs.", registry=registry)
        build.info({"version": __version__})
        registry.register(_Cluster(cache, self.auditor))
        ProcessCollector(registry=registry)

    def pass_over(self, kind: str, seconds: float, failure: str | None = None) -> None:
        """A pass over an object of a kind ended; `failure` is one of `OUTCOMES`."""
        self._seconds.labels(kind).observe(seconds)
        if failure is not None:
            self._errors.labels(kind, failure).inc()

    def notified(self, channel: NotificationChannel, state: NotificationState) -> None:
        """A message was sent or given up."""
        self._notifications.labels(channel, state).inc()

    def quarantined(self, nodes: int) -> None:
        """So many nodes are quarantined now."""
        self._quarantined.set(nodes)

    def text(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their content type, in the format that an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Cluster(Collector):
    """What the cache shows at this moment."""

    def __init__(self, cache: Cache, auditor: Auditor) -> None:
        self._cache = cache
        self._auditor = auditor

    def collect(self) -> Iterator[Metric]:
        """One gauge a node, one a phase."""
        pods = GaugeMetricFamily(
            "trainyard_node_live_training_pods",
            "Training pods bound or pinned to the node, without evidence that they are over.",
            labels=["node"],
        )
        for node, count in sorted(self._auditor.live_pods().items()):
            pods.add_metric([node], count)
        yield pods
        phases = Tally(
            (raw.get("status") or {}).get("phase") or ProcessPhase.CREATED
            for raw in self._cache.all(PROCESS)
        )
        processes = GaugeMetricFamily(
            "trainyard_training_processes", "TrainingProcesses by phase.", labels=["phase"]
        )
        for phase in ProcessPhase:
            processes.add_metric([phase], phases[phase])
        yield processes
