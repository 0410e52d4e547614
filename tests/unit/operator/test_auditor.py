"""Two live trainings on a node are counted each time, and said loudly."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import NODE, POD
from trainyard.operator.auditor import Auditor

_versions = itertools.count(1)


@dataclass
class Watched:
    """A cache and its auditor."""

    cache: Cache = field(default_factory=Cache)
    doubles: int = 0

    def __post_init__(self) -> None:
        self.auditor = Auditor(self.cache, self.count)

    def count(self) -> None:
        self.doubles += 1

    def shows(self, *pods: dict[str, Any]) -> int:
        """Events of pods; gives how many double placements were counted so far."""
        for raw in pods:
            self.cache.put(POD, raw)
            self.auditor.look(raw)
        return self.doubles


def pod(
    name: str, node: str = "gpu-1", phase: str = "Running", role: str = "training", **status: Any
) -> dict[str, Any]:
    running = phase == "Running"
    state = {"running": {}} if running else {"terminated": {"exitCode": 0}}
    return {
        "metadata": {
            "namespace": "demo",
            "name": name,
            "uid": name,
            "resourceVersion": str(next(_versions)),
            "labels": {"trainyard.dev/role": role},
            "annotations": {"trainyard.dev/target-node": "gpu-1"},
        },
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "containerStatuses": [{"state": state}], **status},
    }


def test_second_live_pod_of_a_node_counts_once_and_names_both(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()
    assert watched.shows(pod("a")) == 0
    assert watched.shows(pod("b")) == 1
    assert watched.shows(pod("a"), pod("b")) == 1, "news of the same pods are not another one"
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == "2 live training pods at once: demo/a, demo/b"


def test_a_third_one_counts_and_so_does_the_next_time() -> None:
    watched = Watched()
    assert watched.shows(pod("a"), pod("b")) == 1
    assert watched.shows(pod("c")) == 2
    assert watched.shows(pod("b", phase="Succeeded"), pod("c", phase="Succeeded")) == 2
    assert watched.shows(pod("d")) == 3


def test_pods_one_after_the_other_and_on_two_nodes_are_fine() -> None:
    watched = Watched()
    assert watched.shows(pod("a"), pod("a", phase="Succeeded"), pod("b")) == 0
    assert watched.shows(pod("c", node="gpu-2")) == 0


def test_pod_that_is_not_bound_yet_and_a_snapshot_are_no_second_one() -> None:
    watched = Watched()
    assert watched.shows(pod("a"), pod("b", node="", phase="Pending")) == 0
    assert watched.shows(pod("c", role="snapshot")) == 0


def test_pod_that_the_garbage_collector_calls_failed_is_still_live() -> None:
    watched = Watched()
    gone = pod(
        "a",
        phase="Failed",
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}],
    )
    assert watched.shows(gone, pod("b")) == 1


def test_a_pod_that_is_gone_from_the_api_does_not_count() -> None:
    watched = Watched()
    first = pod("a")
    watched.shows(first)
    watched.cache.drop(POD, first)
    watched.auditor.look(first)
    assert watched.shows(pod("b")) == 0


def test_look_at_all_finds_what_no_event_has_told() -> None:
    watched = Watched()
    watched.cache.replace(POD, [pod("a"), pod("b"), pod("c", node="gpu-2")], 1)
    watched.auditor.look_at_all()
    watched.auditor.look_at_all()
    assert watched.doubles == 1
    watched.cache.replace(POD, [], 10**9)
    watched.auditor.look_at_all()
    watched.shows(pod("d"), pod("e"))
    assert watched.doubles == 2


def test_live_pods_of_each_target_node_are_counted_pinned_ones_too() -> None:
    watched = Watched()
    for name, labels in {"gpu-1": {"trainyard.dev/target": "true"}, "plain": {}}.items():
        watched.cache.put(NODE, {"metadata": {"name": name, "uid": name, "labels": labels}})
    assert watched.auditor.live_pods() == {"gpu-1": 0}
    watched.shows(
        pod("a"),
        pod("b", node="", phase="Pending"),
        pod("c", phase="Succeeded"),
        pod("d", node="gpu-2"),
        pod("e", role="snapshot"),
    )
    assert watched.auditor.live_pods() == {"gpu-1": 2, "gpu-2": 1}
