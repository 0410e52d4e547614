"""When a run that waits will start, told from the holder's estimate and from runs before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from support.trainer import progress_of
from support.waiting import eventually
from support.world import World

from trainyard.cluster import parse
from trainyard.cluster.resources import PROCESS

Json = dict[str, Any]


def _queue(world: World, name: str) -> Json:
    queue: Json = world.status(name).get("queue") or {}
    return queue


def _when(queue: Json, field: str) -> datetime:
    return parse.time(queue[field])


def test_who_waits_is_told_when_it_starts_and_idle_objects_are_not_rewritten(
    world: World,
) -> None:
    world.ready_inputs()
    world.process("before")
    world.succeeds("before")
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "running", "Running")
    assert hold.run is not None
    report = progress_of(hold.run.run_file(), 1, 4)
    hour = report.model_copy(update={"estimated_remaining_seconds": 3600})
    assert hold.run.report(hour) == 204
    for name in ("second", "third"):
        world.process(name)
    eventually(
        "both knowing their start",
        lambda: all("estimatedStartTime" in _queue(world, name) for name in ("second", "third")),
    )
    second, third = _queue(world, "second"), _queue(world, "third")
    told = parse.time(world.status("running")["progress"]["estimatedCompletionTime"])
    for queue in (second, third):
        assert queue["waitingFor"] == f"{world.namespace}/running"
        assert abs(_when(queue, "heldUntil") - told) <= timedelta(minutes=1)
    # The run before took seconds.
    assert (
        timedelta(0)
        <= _when(third, "estimatedStartTime") - _when(second, "estimatedStartTime")
        <= timedelta(minutes=2)
    )
    message = world.condition("third", "NodeReserved")["message"]
    assert message.startswith(
        f"node {world.node} is held by {world.namespace}/running until about "
    )
    assert "; this process is 2nd of 2 that wait, and starts at about " in message
    assert world.row(PROCESS, "third")["ETA"].startswith("starts ")

    versions = [_version(world, name) for name in ("second", "third")]
    for seconds in (3590, 3650, 3500):
        sent = hour.model_copy(update={"estimated_remaining_seconds": seconds})
        assert hold.run.report(sent) == 204
        _wait_for_remaining(world, seconds)
    assert [_version(world, name) for name in ("second", "third")] == versions

    soon = hour.model_copy(update={"estimated_remaining_seconds": 600})
    assert hold.run.report(soon) == 204
    _wait_for_remaining(world, 600)
    # Times alone are told a minute later; with a new place, at once.
    world.patch(PROCESS, "third", {"spec": {"priority": 5}})
    eventually(
        "the new estimates",
        lambda: all(
            _when(_queue(world, name), "heldUntil") < told - timedelta(minutes=30)
            for name in ("second", "third")
        ),
        within=30,
    )
    hold.let_go.set()
    world.succeeds("second")
    world.succeeds("third")


def _wait_for_remaining(world: World, seconds: int) -> None:
    eventually(
        f"the report of {seconds} s",
        lambda: world.status("running")["progress"]["estimatedRemainingSeconds"] == seconds,
    )


def _version(world: World, name: str) -> str:
    return str((world.get(PROCESS, name) or {})["metadata"]["resourceVersion"])
