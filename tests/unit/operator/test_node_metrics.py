"""What a scrape shows of nodes and their queues."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.unit.builders import NOW, SETTINGS, after, process
from tests.unit.operator.test_auditor import pod
from trainyard.api.process import TrainingProcess
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import DATASET, NODE, POD, PROCESS
from trainyard.operator.auditor import Auditor
from trainyard.operator.node_metrics import NODE_STATES, ClusterView

RULES = replace(SETTINGS, progress_url="http://trainyard:8080")


def condition(type_: str, status: str, since: datetime, reason: str = "X") -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": since.isoformat(),
    }


def with_raw_status(name: str, status: dict[str, Any], **spec: Any) -> TrainingProcess:
    wire = process(name, uid=name, **spec).to_wire()
    return TrainingProcess.model_validate({**wire, "status": status})


def waiting(
    name: str,
    node: str = "gpu-1",
    *,
    since: datetime = NOW,
    reason: str = "WaitingForNode",
    **status: Any,
) -> TrainingProcess:
    """A validated process in the queue of a node."""
    conditions = [
        condition("Validated", "True", since),
        condition("NodeReserved", "False", since, reason),
    ]
    whole = {
        "phase": "Queued",
        "conditions": conditions,
        "display": {"reason": reason},
        **status,
    }
    return with_raw_status(name, whole, targetNode=node)


def node(name: str = "gpu-1", *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "resourceVersion": "1",
            "labels": {"trainyard.dev/target": "true"},
        },
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


class Shown:
    """A cache, and what a scrape shows of it a minute after `NOW`."""

    def __init__(self, *nodes: dict[str, Any], progress_url: str | None = "http://t:8080") -> None:
        self.cache = Cache()
        self.quarantined: frozenset[str] = frozenset()
        self.view = ClusterView(
            self.cache,
            Auditor(self.cache, lambda: None),
            replace(SETTINGS, progress_url=progress_url),
            lambda: self.quarantined,
            lambda: after(60),
        )
        for raw in nodes or (node(),):
            self.cache.put(NODE, raw)

    def add(self, *processes: TrainingProcess) -> Shown:
        for item in processes:
            self.cache.put(PROCESS, item.to_wire())
        return self

    def __getitem__(self, name: str) -> dict[str, float]:
        """Value of each sample of a metric, by its labels joined with a slash."""
        (family,) = (item for item in self.view.collect() if item.name == f"trainyard_{name}")
        return {"/".join(sample.labels.values()): sample.value for sample in family.samples}


class TestQueue:
    def test_those_that_may_start_are_counted_by_node_and_the_longest_wait_is_told(self) -> None:
        shown = Shown(node(), node("gpu-2")).add(
            waiting("a", since=after(-600)), waiting("b", since=after(-30))
        )
        assert shown["node_queue_length"] == {"gpu-1": 2, "gpu-2": 0}
        assert shown["node_queue_oldest_wait_seconds"] == {"gpu-1": 660, "gpu-2": 0}

    def test_who_waits_for_a_node_that_cannot_be_used_is_counted_under_one_name(self) -> None:
        shown = Shown().add(waiting("a", "made-up-1"), waiting("b", "made-up-2"))
        assert shown["node_queue_length"] == {"Other": 2, "gpu-1": 0}

    def test_who_is_not_validated_or_backs_off_or_is_stopped_waits_for_no_node(self) -> None:
        unfit = waiting("unfit").to_wire()
        unfit["status"]["conditions"][0]["status"] = "False"
        stopped = waiting("stopped").to_wire()
        stopped["spec"]["suspend"] = True
        shown = Shown().add(
            TrainingProcess.model_validate(unfit),
            TrainingProcess.model_validate(stopped),
            waiting("tired", reason="BackingOff"),
        )
        assert shown["node_queue_length"] == {"gpu-1": 0}

    def test_a_wait_begins_again_after_an_attempt_and_after_a_stop(self) -> None:
        attempt = {
            "number": 1,
            "node": "gpu-1",
            "startTime": after(-500).isoformat(),
            "finishTime": after(-90).isoformat(),
            "reason": "Stopped",
        }
        again = waiting("again", since=after(-3600), attempts=[attempt])
        assert Shown().add(again)["node_queue_oldest_wait_seconds"] == {"gpu-1": 150}
        restarted = again.to_wire()
        restarted["status"]["conditions"].append(condition("Suspended", "False", after(-10)))
        shown = Shown().add(TrainingProcess.model_validate(restarted))
        assert shown["node_queue_oldest_wait_seconds"] == {"gpu-1": 70}

    def test_a_process_that_cannot_be_read_does_not_stop_the_others(self) -> None:
        broken = waiting("broken").to_wire()
        broken["spec"] = {"targetNode": "gpu-1"}
        shown = Shown().add(waiting("whole"))
        shown.cache.put(PROCESS, broken)
        assert shown["node_queue_length"] == {"gpu-1": 1}


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (node(), "Available"),
        (node(ready=False), "NodeNotReady"),
        (node(unschedulable=True), "NodeCordoned"),
        (node(taints=[{"key": "mine", "effect": "NoSchedule"}]), "NodeTainted"),
    ],
)
def test_a_node_is_in_one_state(raw: dict[str, Any], state: str) -> None:
    found = Shown(raw)["node_state"]
    assert {key for key, value in found.items() if value} == {f"gpu-1/{state}"}
    assert len(found) == len(NODE_STATES)


def test_quarantine_says_more_than_what_else_a_node_is_and_outlives_the_node() -> None:
    shown = Shown(node(ready=False))
    shown.quarantined = frozenset({"gpu-1", "gone"})
    assert {key for key, value in shown["node_state"].items() if value} == {
        "gone/Quarantined",
        "gpu-1/Quarantined",
    }


def test_nodes_without_the_label_are_nobodys_business() -> None:
    other = node("web-1")
    other["metadata"]["labels"] = {}
    assert Shown(other)["node_state"] == {}


def test_gpus_of_live_training_pods_are_in_use() -> None:
    shown = Shown(node(), node("gpu-2"))
    live, over = pod("live"), pod("over", phase="Succeeded")
    for raw in (live, over):
        limits = {"nvidia.com/gpu": "1", "cpu": "4"}
        raw["spec"]["containers"] = [{"resources": {"limits": limits}}]
        shown.cache.put(POD, raw)
    assert shown["node_gpus_in_use"] == {"gpu-1": 1, "gpu-2": 0}


class TestReportAge:
    def test_it_is_the_time_since_the_last_report(self) -> None:
        assert Shown().add(self.running(heard=after(20)))["node_report_age_seconds"] == {
            "gpu-1": 40
        }

    def test_before_the_first_report_it_is_the_time_that_the_run_runs(self) -> None:
        assert Shown().add(self.running())["node_report_age_seconds"] == {"gpu-1": 60}

    def test_a_report_of_an_earlier_attempt_does_not_count(self) -> None:
        shown = Shown().add(self.running(heard=after(-5000)))
        assert shown["node_report_age_seconds"] == {"gpu-1": 60}

    def test_nothing_is_said_where_trainers_do_not_report_or_the_node_is_silent(self) -> None:
        silent = Shown(progress_url=None).add(self.running())
        assert silent["node_report_age_seconds"] == {}
        lost = self.running().to_wire()
        lost["status"]["conditions"][0]["status"] = "Unknown"
        shown = Shown().add(TrainingProcess.model_validate(lost))
        assert shown["node_report_age_seconds"] == {}

    def running(self, heard: datetime | None = None) -> TrainingProcess:
        status: dict[str, Any] = {
            "phase": "Running",
            "conditions": [condition("Running", "True", NOW)],
        }
        if heard is not None:
            status["progress"] = {"percent": 1, "lastUpdatedTime": heard.isoformat()}
        return with_raw_status("cats", status)


def test_why_processes_have_not_ended_is_counted_by_reasons_of_ours_only() -> None:
    shown = Shown().add(
        waiting("a", reason="StoreUnavailable"),
        waiting("b", reason="StoreUnavailable"),
        waiting("c", reason="Made-up-by-a-user"),
        with_raw_status("d", {"phase": "Failed", "display": {"reason": "OutOfMemory"}}),
        process("new"),
    )
    assert shown["unfinished_processes"] == {"StoreUnavailable": 2, "Other": 1}


def test_datasets_are_counted_by_phase() -> None:
    shown = Shown()
    meta = {"namespace": "demo", "name": "train", "uid": "1", "resourceVersion": "1"}
    shown.cache.put(DATASET, {"metadata": meta, "spec": {}, "status": {"phase": "Ready"}})
    found = shown["datasets"]
    assert found.pop("Ready") == 1
    assert set(found.values()) == {0}
