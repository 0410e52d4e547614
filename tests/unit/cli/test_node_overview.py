"""The table of nodes: what it shows, and what it shows when not everything may be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.builders import LEASE, NODE, NOW, meta
from trainyard.api.process import TrainingProcess
from trainyard.cli.node_overview import Lock, Observed, rows

SINCE = NOW - timedelta(hours=3)


def process(
    name: str, phase: str | None, node: str = "gpu-1", *, validated: bool = True, **spec: Any
) -> TrainingProcess:
    condition = {
        "type": "Validated",
        "status": str(validated),
        "reason": "Valid",
        "lastTransitionTime": "2026-11-23T11:00:00Z",
    }
    return TrainingProcess.model_validate(
        {
            "metadata": meta(name),
            "spec": {
                "capability": "a",
                "template": "b",
                "datasets": {"train": ["x"], "dev": ["y"]},
                "targetNode": node,
                **spec,
            },
            "status": {"phase": phase, "conditions": [condition]},
        }
    )


def cells(seen: Observed) -> list[tuple[str, ...]]:
    return [row.cells(NOW) for row in rows(seen)]


def test_a_held_node_shows_its_holder_since_when_and_who_waits_in_which_order() -> None:
    seen = Observed(
        nodes=(replace(NODE, allocatable={"nvidia.com/gpu": 4, "example.org/disk": 2}),),
        locks=(Lock(LEASE, SINCE),),
        processes=(
            process("digits", "Running"),
            process("late", "Queued"),
            process("urgent", "Queued", priority=5),
            process("invalid", "Queued", validated=False),
            process("draft", "Created", suspend=True),
            process("stopped", "Queued", suspend=True),
            process("old", "Succeeded"),
        ),
    )
    assert cells(seen) == [
        ("gpu-1", "Ready", "yes", "4", "demo/digits", "3h", "2", "demo/urgent, demo/late")
    ]


def test_a_quarantined_node_says_so() -> None:
    [row] = rows(Observed((NODE,), (Lock(replace(LEASE, quarantined="nobody knows"), SINCE),), ()))
    assert row.cells(NOW)[1] == "Ready,quarantined"
    assert row.quarantined == "nobody knows"


def test_nodes_that_are_not_enabled_are_left_out_unless_something_is_on_them() -> None:
    other = replace(NODE, name="plain", enabled=False)
    held = replace(NODE, name="held", enabled=False, ready=False, cordoned=True)
    seen = Observed(
        nodes=(NODE, other, held),
        locks=(Lock(replace(LEASE, node="held"), None),),
        processes=(process("a", "Queued", node="nowhere"),),
    )
    assert [row[:5] for row in cells(seen)] == [
        ("gpu-1", "Ready", "yes", "0", "-"),
        ("held", "NotReady,cordoned", "no", "0", "demo/digits"),
        ("nowhere", "missing", "?", "?", "-"),
    ]


def test_without_the_right_to_read_locks_the_holder_is_the_process_that_runs() -> None:
    seen = Observed((NODE, replace(NODE, name="gpu-2")), None, (process("a", "Suspending"),))
    assert [(row.name, row.holder) for row in rows(seen)] == [("gpu-1", "demo/a"), ("gpu-2", None)]
    assert cells(seen)[1][4] == "?"


def test_without_the_right_to_read_nodes_those_that_processes_name_are_shown() -> None:
    seen = Observed(None, None, (process("a", "Queued"), process("b", "Running", node="gpu-2")))
    assert [row[:5] for row in cells(seen)] == [
        ("gpu-1", "?", "?", "?", "?"),
        ("gpu-2", "?", "?", "?", "demo/b"),
    ]


def test_a_long_queue_is_cut_off_with_its_length() -> None:
    waiting = tuple(process(f"p{number}", "Queued") for number in range(6))
    [row] = cells(Observed((NODE,), (), waiting))
    assert row[6:] == ("6", "demo/p0, demo/p1, demo/p2, 3 more")
