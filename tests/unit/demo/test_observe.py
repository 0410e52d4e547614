"""What the demo makes of what it reads from the cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trainyard_demo.follow import Followed
from trainyard_demo.observe import (
    PodLife,
    finished,
    overlaps,
    parse,
    succeeded,
    waiting,
)

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def process(*conditions: tuple[str, str, str], name: str = "digits") -> dict[str, Any]:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingProcess",
        "metadata": {"name": name, "namespace": "vision", "resourceVersion": "5"},
        "spec": {
            "capability": "c",
            "template": "t",
            "datasets": {"train": ["a"], "dev": ["b"]},
            "targetNode": "gpu-1",
        },
        "status": {
            "conditions": [
                {
                    "type": type_,
                    "status": status,
                    "reason": "R",
                    "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
                for type_, status, message in conditions
            ]
        },
    }


def dataset(phase: str, name: str = "digits-train") -> dict[str, Any]:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": name, "resourceVersion": "7"},
        "spec": {},
        "status": {"phase": phase},
    }


def pod(
    state: dict[str, Any], role: str = "training", node: str | None = "gpu-1"
) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "labels": {"trainyard.dev/role": role}},
        "spec": {"nodeName": node} if node else {},
        "status": {"containerStatuses": [{"name": "trainer", "state": state}]},
    }


RUNNING = {"running": {"startedAt": "2026-01-01T12:00:00Z"}}
ENDED = {"terminated": {"startedAt": "2026-01-01T12:00:00Z", "finishedAt": "2026-01-01T12:01:00Z"}}


def life(name: str, start: int, end: int | None, node: str = "gpu-1") -> PodLife:
    at = START + timedelta(seconds=start)
    return PodLife(name, name, node, at, None if end is None else START + timedelta(seconds=end))


@pytest.mark.parametrize(
    ("pods", "count"),
    [
        pytest.param([], 0, id="no pod"),
        pytest.param([life("a", 0, 10), life("b", 10, 20)], 0, id="one after the other"),
        pytest.param([life("a", 0, 11), life("b", 10, 20)], 1, id="a second together"),
        pytest.param([life("b", 10, 20), life("a", 0, 11)], 1, id="in any order"),
        pytest.param([life("a", 0, None), life("b", 10, 20)], 1, id="one that still runs"),
        pytest.param([life("a", 0, None), life("b", 5, None, "gpu-2")], 0, id="on two nodes"),
        pytest.param([life("a", 0, 90), life("b", 1, 2), life("c", 3, 4)], 2, id="two within one"),
    ],
)
def test_training_pods_that_were_live_together_on_a_node(pods: list[PodLife], count: int) -> None:
    assert len(overlaps(pods)) == count


def test_overlap_names_node_pods_and_times() -> None:
    assert overlaps([life("a", 0, 11), life("b", 10, 20)]) == [
        "two training pods were live together on node gpu-1: a ended at 12:00:11, and b started "
        "at 12:00:10"
    ]


def test_running_and_ended_training_pods_are_seen() -> None:
    assert [p.finished for p in parse([pod(RUNNING)]).pods] == [None]
    assert [p.finished for p in parse([pod(ENDED)]).pods] == [START + timedelta(minutes=1)]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(pod(RUNNING, role="snapshot"), id="a snapshot pod"),
        pytest.param(pod(RUNNING, node=None), id="a pod without a node"),
        pytest.param(pod({"waiting": {"reason": "ContainerCreating"}}), id="one not yet started"),
    ],
)
def test_other_pods_are_not_counted(item: dict[str, Any]) -> None:
    assert parse([item]).pods == ()


def test_process_that_waits_says_why() -> None:
    item = process(("Validated", "True", "ok"), ("NodeReserved", "False", "waiting for vision/a"))
    assert waiting(parse([item]).processes["digits"]) == "waiting for vision/a"


def test_what_keeps_it_from_being_valid_comes_before_the_node() -> None:
    item = process(("NodeReserved", "False", "later"), ("Validated", "False", "no dataset"))
    assert waiting(parse([item]).processes["digits"]) == "no dataset"


@pytest.mark.parametrize(
    ("conditions", "ends", "well"),
    [
        ([], False, False),
        ([("Complete", "True", ""), ("Finished", "True", "")], True, True),
        ([("Failed", "True", ""), ("Finished", "True", "")], True, False),
        ([("Finished", "False", ""), ("Complete", "False", "")], False, False),
    ],
)
def test_end_of_a_process(conditions: list[tuple[str, str, str]], ends: bool, well: bool) -> None:
    found = parse([process(*conditions)]).processes["digits"]
    assert (finished(found), succeeded(found)) == (ends, well)


def test_finished_process_waits_for_nothing() -> None:
    item = process(("Finished", "True", ""), ("NodeReserved", "False", "released"))
    assert waiting(parse([item]).processes["digits"]) is None


def test_failed_datasets_are_those_named_that_failed() -> None:
    sight = parse([dataset("Failed"), dataset("Ready", "digits-dev"), dataset("Failed", "mine")])
    assert sight.failed(["digits-train", "digits-dev", "nuclei-dev"]) == ["digits-train"]


def test_version_changes_with_processes_and_datasets_and_not_with_pods() -> None:
    before = parse([process(), dataset("Pending")]).version
    assert parse([dataset("Pending"), pod(RUNNING), process()]).version == before
    changed = process()
    changed["metadata"]["resourceVersion"] = "6"
    assert parse([changed, dataset("Pending")]).version != before


def test_each_wait_is_remembered_once_and_other_processes_are_left_alone() -> None:
    followed = Followed()
    sight = parse(
        [
            process(("NodeReserved", "False", "waiting")),
            process(("NodeReserved", "False", "waiting"), name="mine"),
        ]
    )
    assert followed.note(sight, START) == followed.note(sight, START) == ["digits: waiting"]
    assert followed.waits == ["digits: waiting"]
    assert list(followed.processes) == ["digits"]


def gone_after(seconds: float, other_starts: int) -> list[str]:
    """Overlaps when a running pod is seen until then, vanishes, and another one starts."""
    followed = Followed()
    running = pod(RUNNING)
    followed.note(parse([running]), START)
    followed.note(parse([running]), START + timedelta(seconds=seconds))
    later = pod({"running": {"startedAt": f"2026-01-01T12:00:{other_starts:02d}Z"}})
    later["metadata"] |= {"name": "q", "uid": "v"}
    followed.note(parse([later]), START + timedelta(seconds=30))
    return overlaps(followed.pods.values())


def test_pod_that_vanished_was_live_until_it_was_last_seen() -> None:
    assert gone_after(9.8, other_starts=20) == []
    assert gone_after(9.8, other_starts=9) == []
    assert len(gone_after(9.8, other_starts=8)) == 1


def test_two_pods_seen_running_at_one_moment_were_live_together() -> None:
    followed = Followed()
    second = pod({"running": {"startedAt": "2026-01-01T12:00:05Z"}})
    second["metadata"] |= {"name": "q", "uid": "v"}
    followed.note(parse([pod(RUNNING), second]), START + timedelta(seconds=6))
    followed.note(parse([]), START + timedelta(seconds=8))
    assert len(overlaps(followed.pods.values())) == 1
