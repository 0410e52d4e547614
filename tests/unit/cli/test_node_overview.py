"""The table of nodes: what it shows, and what it shows when not everything may be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.builders import LEASE, NODE, NOW, meta
from trainyard.api.process import TrainingProcess
from trainyard.cli.node_overview import Lock, Observed, rows
from trainyard.cli.node_rows import TITLES, WIDE_TITLES
from trainyard.decide.naming import ANOTHER

SINCE = NOW - timedelta(hours=3)
WHY = "nobody knows whether pod demo/tp-1 still runs on node gpu-1. Reboot the machine"


def at(**ahead: float) -> datetime:
    return NOW + timedelta(**ahead)


def condition(type_: str, value: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": type_,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-23T11:00:00Z",
    }


def process(
    name: str,
    phase: str | None,
    node: str = "gpu-1",
    *,
    validated: bool = True,
    reserved: tuple[str, str] = ("WaitingForNode", "node gpu-1 is held"),
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> TrainingProcess:
    conditions = [
        condition("Validated", str(validated), "Valid"),
        condition("NodeReserved", "False", *reserved),
    ]
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
            "status": {"phase": phase, "conditions": conditions, **(status or {})},
        }
    )


def trains(name: str = "digits", left: timedelta | None = None, **kept: Any) -> TrainingProcess:
    """A process that holds its node, and what its trainer says is left."""
    progress = {"percent": 42, "lastUpdatedTime": NOW}
    if left is not None:
        progress["estimatedCompletionTime"] = NOW + left
    attempt = {"number": 1, "node": "gpu-1", "startTime": at(hours=-3)}
    status = {"progress": progress, "attempts": [attempt]}
    return process(name, kept.pop("phase", "Running"), status=status, **kept)


def queued(name: str, **queue: Any) -> TrainingProcess:
    return process(name, "Queued", status={"queue": queue})


def cells(seen: Observed) -> list[tuple[str, ...]]:
    return [row.cells(NOW) for row in rows(seen)]


def queue_cells(seen: Observed, *, wide: bool = False) -> list[tuple[str, ...]]:
    return [cell for row in rows(seen) for cell in row.queue_cells(NOW, wide=wide)]


def test_a_held_node_shows_holder_what_is_left_and_who_waits_in_which_order() -> None:
    seen = Observed(
        nodes=(replace(NODE, allocatable={"nvidia.com/gpu": 4, "example.org/disk": 2}),),
        locks=(Lock(LEASE, SINCE),),
        processes=(
            trains(left=timedelta(minutes=42)),
            process("late", "Queued", status={"queue": {"estimatedStartTime": at(hours=5)}}),
            process("urgent", "Queued", priority=5),
            process("invalid", "Queued", validated=False),
            process("draft", "Created", suspend=True),
            process("stopped", "Queued", suspend=True),
            process("old", "Succeeded"),
        ),
    )
    assert cells(seen) == [("gpu-1", "Ready", "4", "demo/digits", "3h", "~42m", "2")]
    assert queue_cells(seen) == [
        ("gpu-1", "1st", "demo/urgent", "5", "?"),
        ("gpu-1", "2nd", "demo/late", "0", "Mon 17:00 UTC, in ~5h00m"),
    ]
    [row] = rows(seen)
    assert row.cells(NOW, wide=True)[len(TITLES) :] == ("Running", "42%", "Mon 12:42 UTC", "yes")
    assert len(WIDE_TITLES) == len(row.cells(NOW, wide=True))


def test_programs_get_all_of_a_node_under_names_that_stay() -> None:
    first = queued("late", position=1, waitingFor="demo/digits", estimatedStartTime=at(hours=5))
    seen = Observed((NODE,), (Lock(LEASE, SINCE),), (trains(left=timedelta(minutes=42)), first))
    [row] = rows(seen)
    assert row.document() == {
        "node": "gpu-1",
        "state": "Ready",
        "enabled": True,
        "gpus": 0,
        "held": True,
        "holder": "demo/digits",
        "heldSince": "2026-11-23T09:00:00+00:00",
        "heldUntil": "2026-11-23T12:42:00+00:00",
        "holderPhase": "Running",
        "holderPercent": 42,
        "quarantined": "",
        "queue": [
            {
                "process": "demo/late",
                "position": 1,
                "priority": 0,
                "estimatedStartTime": "2026-11-23T17:00:00+00:00",
                "reason": "",
            }
        ],
    }


@pytest.mark.parametrize(
    ("holder", "left"),
    [
        (trains(left=timedelta(seconds=20)), "~20s"),
        (trains(left=-timedelta(seconds=50)), "~0s"),
        (trains(left=-timedelta(minutes=2)), "overdue"),
        (trains(), "?"),
        (trains(left=timedelta(hours=1), phase="Suspending"), "Suspending"),
        (trains(left=timedelta(hours=1), phase="Failed"), "Failed"),
    ],
    ids=["soon", "now", "overdue", "no estimate", "being stopped", "over, the lock is still there"],
)
def test_what_is_left_for_a_holder(holder: TrainingProcess, left: str) -> None:
    [row] = cells(Observed((NODE,), (Lock(LEASE, SINCE),), (holder,)))
    assert row[5] == left


def test_what_an_earlier_attempt_said_was_left_does_not_count() -> None:
    before = {"percent": 42, "estimatedCompletionTime": at(hours=1), "lastUpdatedTime": SINCE}
    attempt = {"number": 2, "node": "gpu-1", "startTime": at(minutes=-1)}
    status = {"progress": before, "attempts": [attempt]}
    [row] = cells(Observed((NODE,), (), (process("digits", "Starting", status=status),)))
    assert row[3:6] == ("demo/digits", "", "?")


def test_those_who_wait_say_until_when_a_holder_that_may_not_be_read_has_the_node() -> None:
    lease = replace(LEASE, holder="other/secret")
    waits = queued("a", position=1, waitingFor="other/secret", heldUntil=at(minutes=10))
    [row] = cells(Observed((NODE,), (Lock(lease, SINCE),), (waits,), all_processes=False))
    assert row[3:6] == ("other/secret", "3h", "~10m")


def test_what_the_operator_told_counts_until_the_trainer_has_an_estimate() -> None:
    waits = queued("a", position=1, waitingFor="demo/digits", heldUntil=at(minutes=10))
    [row] = cells(Observed((NODE,), (Lock(LEASE, SINCE),), (trains(), waits)))
    assert row[3:6] == ("demo/digits", "3h", "~10m")


def test_who_reads_the_lock_sees_the_name_and_until_when_although_names_are_hidden() -> None:
    waits = queued("a", position=1, waitingFor=ANOTHER, heldUntil=at(minutes=10))
    lock = Lock(replace(LEASE, holder="other/secret"), SINCE)
    [row] = cells(Observed((NODE,), (lock,), (waits,), all_processes=False))
    assert row[3:6] == ("other/secret", "3h", "~10m")


@pytest.mark.parametrize("phase", ["Suspending", "Suspended"])
def test_a_holder_that_does_not_train_any_more_has_no_time_of_its_end(phase: str) -> None:
    holder = trains(left=timedelta(hours=1), phase=phase)
    [row] = rows(Observed((NODE,), (Lock(LEASE, SINCE),), (holder,)))
    assert row.cells(NOW, wide=True)[5:10] == (phase, "0", phase, "42%", "")


def test_what_was_told_of_an_earlier_holder_does_not_count() -> None:
    waits = queued("a", position=1, waitingFor="demo/earlier", heldUntil=at(minutes=10))
    [row] = cells(Observed((NODE,), (Lock(LEASE, SINCE),), (trains(), waits)))
    assert row[3:6] == ("demo/digits", "3h", "?")
    assert cells(Observed((NODE,), (), (waits,)))[0][3] == "-", "its lock is gone"


def test_without_the_right_to_read_locks_those_who_wait_say_for_whom() -> None:
    hidden = queued("a", position=2, waitingFor=ANOTHER, heldUntil=at(minutes=10))
    [row] = rows(Observed(None, None, (hidden,), all_processes=False))
    assert row.cells(NOW)[3:6] == (ANOTHER, "", "~10m")
    assert row.queue_cells(NOW)[0][1] == "2nd", "the operator knows the whole queue"
    next_one = queued("a", position=1, waitingFor="demo/gone")
    assert cells(Observed(None, None, (next_one,)))[0][3] == "demo/gone"


def test_who_goes_first_is_not_taken_for_the_holder() -> None:
    second = queued("a", position=2, waitingFor="other/first")
    [row] = rows(Observed(None, None, (second,), all_processes=False))
    assert row.cells(NOW)[3] == "?"
    assert row.document()["held"] is None


def test_what_keeps_the_next_one_from_starting_is_told_in_place_of_a_time() -> None:
    waits = process("a", "Queued", reserved=("NodeCordoned", "node gpu-1 is cordoned"))
    seen = Observed((replace(NODE, cordoned=True),), (), (waits,))
    assert queue_cells(seen) == [("gpu-1", "1st", "demo/a", "0", "NodeCordoned")]


def test_a_quarantined_node_says_so() -> None:
    lock = Lock(replace(LEASE, quarantined=WHY), SINCE)
    [row] = rows(Observed((NODE,), (lock,), (trains(left=timedelta(hours=1)),)))
    assert row.cells(NOW)[1] == "Ready,quarantined"
    assert row.cells(NOW)[5] == "?", "nobody knows when it will be over"
    assert row.document()["heldUntil"] is None
    assert row.quarantined == WHY


def test_who_may_not_read_locks_sees_a_quarantine_by_a_process_that_waits_for_its_end() -> None:
    waits = process("a", "Queued", reserved=("Quarantined", WHY))
    [row] = rows(Observed(None, None, (waits,)))
    assert (row.cells(NOW)[1], row.quarantined) == ("?,quarantined", WHY)
    [row] = rows(Observed(None, (), (waits,)))
    assert row.quarantined == "", "the lock is gone, and the operator has not told it yet"


def test_nodes_that_are_not_enabled_are_left_out_unless_something_is_on_them() -> None:
    other = replace(NODE, name="plain", enabled=False)
    held = replace(NODE, name="held", enabled=False, ready=False, cordoned=True)
    seen = Observed(
        nodes=(NODE, other, held),
        locks=(Lock(replace(LEASE, node="held"), None),),
        processes=(process("a", "Queued", node="nowhere"),),
    )
    assert [row[:4] for row in cells(seen)] == [
        ("gpu-1", "Ready", "0", "-"),
        ("held", "NotReady,cordoned,not-enabled", "0", "demo/digits"),
        ("nowhere", "missing", "?", "-"),
    ]


def test_without_the_right_to_read_locks_the_holder_is_the_process_that_runs() -> None:
    seen = Observed((NODE, replace(NODE, name="gpu-2")), None, (process("a", "Suspending"),))
    assert [row[:4] for row in cells(seen)] == [
        ("gpu-1", "Ready", "0", "demo/a"),
        ("gpu-2", "Ready", "0", "?"),
    ]


def test_without_the_right_to_read_nodes_those_that_processes_name_are_shown() -> None:
    seen = Observed(None, None, (process("a", "Queued"), process("b", "Running", node="gpu-2")))
    assert [row[:4] for row in cells(seen)] == [
        ("gpu-1", "?", "?", "?"),
        ("gpu-2", "?", "?", "demo/b"),
    ]


def test_a_long_queue_is_cut_off_with_its_length_unless_all_is_asked_for() -> None:
    seen = Observed((NODE,), (), tuple(process(f"p{number}", "Queued") for number in range(8)))
    assert cells(seen)[0][6] == "8"
    names = [f"demo/p{number}" for number in range(8)]
    assert [row[2] for row in queue_cells(seen)] == [*names[:5], "3 more"]
    assert [row[2] for row in queue_cells(seen, wide=True)] == names
