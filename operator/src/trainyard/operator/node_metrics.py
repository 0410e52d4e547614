"""What the cache shows of nodes, queues and objects at the moment of a scrape."""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trainyard.api.dataset import DatasetPhase
from trainyard.api.meta import Json
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.cluster import parse
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import DATASET, NODE, POD, PROCESS
from trainyard.decide.conditions import find, is_true
from trainyard.decide.facts import DecisionSettings, NodeFacts
from trainyard.decide.node import check_node
from trainyard.decide.queue import as_rival, waits
from trainyard.operator.auditor import Auditor, is_training
from trainyard.operator.transitions import waits_since

AVAILABLE = "Available"
NODE_STATES = (
    AVAILABLE,
    Reason.QUARANTINED,
    Reason.NODE_NOT_READY,
    Reason.NODE_CORDONED,
    Reason.NODE_TAINTED,
    Reason.NODE_NOT_ENABLED,
    Reason.NODE_NOT_FOUND,
)
"""States of a node; it is in one of them. All but the first are words of `NodeReserved`."""
_NO_TARGETS = (Reason.NODE_NOT_ENABLED, Reason.NODE_NOT_FOUND)
OTHER = "Other"
"""Instead of a reason that is none of ours: a status can be written by others."""
REASONS = frozenset(map(str, Reason))
_PHASES = {str(phase): phase for phase in ProcessPhase}


class ClusterView(Collector):
    """Counts afresh each time that it is asked; labels are nodes, phases and reasons.

    Parameters
    ----------
    rules
        What makes a node unfit for trainings, and under which name GPUs are requested.
    quarantined
        The nodes whose lock is quarantined. Locks are not watched: this is some seconds old.
    clock
        The time, with its zone.
    """

    def __init__(
        self,
        cache: Cache,
        auditor: Auditor,
        rules: DecisionSettings,
        quarantined: Callable[[], frozenset[str]],
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._auditor = auditor
        self._rules = rules
        self._quarantined = quarantined
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """All of them, at one time."""
        now, states = self._clock(), self._states()
        unfinished = [raw for raw in self._cache.all(PROCESS) if not _phase(raw).terminal]
        yield _by_node(
            "trainyard_node_live_training_pods",
            "Training pods bound or pinned to the node, without evidence that they are over.",
            self._auditor.live_pods(),
        )
        yield _by_node(
            "trainyard_node_gpus_in_use",
            "GPUs that the live training pods of the node ask for.",
            self._gpus(states),
        )
        yield _node_states(states)
        yield from self._queues(states, unfinished, now)
        yield self._report_ages(unfinished, now)
        yield _tally(
            "trainyard_training_processes",
            "TrainingProcesses by phase.",
            "phase",
            ProcessPhase,
            map(_phase, self._cache.all(PROCESS)),
        )
        shown = (
            str(((raw.get("status") or {}).get("display") or {}).get("reason") or "")
            for raw in unfinished
        )
        yield _tally(
            "trainyard_unfinished_processes",
            "TrainingProcesses that have not ended and show this reason.",
            "reason",
            (),
            (reason if reason in REASONS else OTHER for reason in shown if reason),
        )
        yield _tally(
            "trainyard_datasets",
            "Datasets by phase.",
            "phase",
            DatasetPhase,
            (
                str((raw.get("status") or {}).get("phase") or DatasetPhase.PENDING)
                for raw in self._cache.all(DATASET)
            ),
        )

    def nodes(self) -> list[str]:
        """The nodes that trainings may use."""
        return sorted(name for name, state in self._states().items() if state not in _NO_TARGETS)

    def _states(self) -> dict[str, str]:
        """The state of each node that trainings may use, or that is quarantined."""
        quarantined = self._quarantined()
        nodes: dict[str, NodeFacts | None] = dict.fromkeys(quarantined)
        for raw in self._cache.all(NODE):
            node = parse.node(raw)
            if node.enabled or node.name in quarantined:
                nodes[node.name] = node
        found = {}
        for name, known in sorted(nodes.items()):
            finding = check_node(name, known, 0, self._rules)
            if name in quarantined:
                found[name] = str(Reason.QUARANTINED)
            else:
                found[name] = AVAILABLE if finding is None else str(finding.reason)
        return found

    def _gpus(self, states: Iterable[str]) -> dict[str, int]:
        found = Tally(dict.fromkeys(states, 0))
        for raw in self._cache.all(POD):
            if is_training(raw):
                pod = parse.pod(raw)
                if not pod.over:
                    found[pod.node or pod.target_node] += _requested(
                        raw, self._rules.gpu_resource_name
                    )
        return dict(found)

    def _queues(
        self, states: Iterable[str], unfinished: list[Json], now: datetime
    ) -> Iterator[Metric]:
        since: defaultdict[str, list[datetime]] = defaultdict(list)
        for process in _typed(unfinished, ProcessPhase.QUEUED):
            if process.metadata.deletion_timestamp is None and waits(as_rival(process)):
                since[process.spec.target_node].append(waits_since(process))
        known = set(states)
        # Nodes that are named and cannot be used are few, and no object's name: but whoever may
        # make a process could make up any number of them.
        queued: Tally[str] = Tally(dict.fromkeys(known, 0))
        oldest: dict[str, float] = dict.fromkeys(known, 0.0)
        for name, times in since.items():
            node = name if name in known else OTHER
            queued[node] += len(times)
            age = max(0.0, (now - min(times)).total_seconds())
            oldest[node] = max(oldest.get(node, 0.0), age)
        yield _by_node(
            "trainyard_node_queue_length",
            "Validated TrainingProcesses that wait for the node.",
            queued,
        )
        yield _by_node(
            "trainyard_node_queue_oldest_wait_seconds",
            "How long the process that waits longest for the node has waited by now.",
            oldest,
        )

    def _report_ages(self, unfinished: list[Json], now: datetime) -> Metric:
        ages: dict[str, float] = {}
        # Without an address of the operator trainers do not report.
        told = unfinished if self._rules.progress_url is not None else []
        for process in _typed(told, ProcessPhase.RUNNING):
            running = find(process.status.conditions, ConditionType.RUNNING)
            if running is None or not is_true((running,), ConditionType.RUNNING):
                continue
            progress = process.status.progress
            heard = None if progress is None else progress.last_updated_time
            since = max(running.last_transition_time, heard or running.last_transition_time)
            ages[process.spec.target_node] = max(0.0, (now - since).total_seconds())
        return _by_node(
            "trainyard_node_report_age_seconds",
            "Time since the run on the node last reported, or since it began to run.",
            ages,
        )


def _phase(raw: Json) -> ProcessPhase:
    return _PHASES.get(str((raw.get("status") or {}).get("phase")), ProcessPhase.CREATED)


def _typed(raws: Iterable[Json], phase: ProcessPhase) -> Iterator[TrainingProcess]:
    """The processes of a phase that can be read."""
    for raw in raws:
        if _phase(raw) is phase:
            try:
                yield parse.typed(TrainingProcess, raw)
            except parse.UnreadableObject:
                continue


def _requested(pod: Json, resource: str) -> int:
    """GPUs that a pod asks for."""
    amounts = [
        str(((container.get("resources") or {}).get("limits") or {}).get(resource, ""))
        for container in (pod.get("spec") or {}).get("containers") or []
    ]
    return sum(int(amount) for amount in amounts if amount.isdecimal())


def _by_node(name: str, text: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["node"])
    for node, value in sorted(values.items()):
        family.add_metric([node], value)
    return family


def _node_states(states: dict[str, str]) -> Metric:
    family = GaugeMetricFamily(
        "trainyard_node_state",
        "1 for the state that the node is in, 0 for the others.",
        labels=["node", "state"],
    )
    for node, current in states.items():
        for state in NODE_STATES:
            family.add_metric([node, state], float(state == current))
    return family


def _tally(name: str, text: str, label: str, always: Iterable[str], found: Iterable[str]) -> Metric:
    counts = Tally(map(str, found))
    family = GaugeMetricFamily(name, text, labels=[label])
    for value in dict.fromkeys([*map(str, always), *sorted(counts)]):
        family.add_metric([value], counts[value])
    return family
