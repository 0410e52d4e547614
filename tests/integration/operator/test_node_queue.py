"""Several processes and one node: one runs, the others wait and are told for whom."""

from __future__ import annotations

from support.invariants import InvariantChecker
from support.waiting import eventually, never
from support.world import World

from trainyard.cluster import parse
from trainyard.cluster.resources import PROCESS


def test_of_two_processes_on_one_node_one_waits_is_told_for_whom_and_runs_after(
    world: World, checker: InvariantChecker
) -> None:
    world.ready_inputs()
    hold = world.process("first", held=True)
    assert hold.started.wait(60)
    world.process("second")
    condition = world.wait_reason("second", "NodeReserved", "WaitingForNode")
    holder = f"{world.namespace}/first"
    assert condition["message"] == (
        f"node {world.node} is held by {holder}; this process is 1st of 1 that wait"
    )
    status = world.status("second")
    assert status["phase"] == "Queued"
    assert status["queue"] == {"position": 1, "waitingFor": holder}
    row = world.row(PROCESS, "second")
    assert (row["QUEUE"], row["REASON"]) == (f"1st, after {holder}", "WaitingForNode")
    never("a Job for the second", lambda: world.jobs("second"), during=2)

    hold.let_go.set()
    first, second = world.succeeds("first"), world.succeeds("second")
    assert second.get("queue") is None
    assert first["attempts"][0]["finishTime"] <= second["attempts"][0]["startTime"]
    assert checker.most_live[world.node] == 1


def test_two_nodes_train_at_the_same_time(world: World) -> None:
    world.ready_inputs()
    holds = [
        world.process("one", held=True),
        world.process("two", held=True, targetNode=world.other_node),
    ]
    for hold in holds:
        assert hold.started.wait(60)
    for hold in holds:
        hold.let_go.set()
    world.succeeds("one")
    world.succeeds("two")


def test_priority_goes_before_age_and_age_before_nothing(world: World) -> None:
    world.ready_inputs()
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    order = [("old", 0), ("young", 0), ("urgent", 10)]
    for name, priority in order:
        world.process(name, priority=priority)
        world.wait_reason(name, "NodeReserved", "WaitingForNode")
    positions = ["urgent", "old", "young"]
    eventually(
        "the queue being in order",
        lambda: [world.status(name)["queue"]["position"] for name in positions] == [1, 2, 3],
        seen=lambda: [world.status(name).get("queue") for name in positions],
    )
    waiting_for = f"{world.namespace}/running"
    assert world.status("urgent")["queue"]["waitingFor"] == waiting_for
    assert "3rd of 3 that wait" in world.condition("young", "NodeReserved")["message"]
    hold.let_go.set()
    starts = [world.succeeds(name)["attempts"][0]["startTime"] for name in positions]
    assert starts == sorted(starts)


def test_a_changed_priority_moves_a_waiting_process(world: World) -> None:
    world.ready_inputs()
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    for name in ("a", "b"):
        world.process(name)
        world.wait_reason(name, "NodeReserved", "WaitingForNode")
    world.patch(PROCESS, "b", {"spec": {"priority": 5}})
    eventually(
        "b being first",
        lambda: (
            world.status("b")["queue"]["position"] == 1
            and world.status("a")["queue"]["position"] == 2
        ),
    )
    hold.let_go.set()
    world.succeeds("a")
    world.succeeds("b")


def test_many_processes_applied_at_once_run_one_after_the_other(
    world: World, checker: InvariantChecker
) -> None:
    names = [f"run-{number}" for number in range(5)]
    for name in names:
        world.process(name)
    world.inputs()
    for name in names:
        world.succeeds(name, within=60)
        assert len(world.jobs(name)) == 1
    assert checker.most_live[world.node] == 1


def test_a_process_of_another_namespace_waits_as_well(world: World) -> None:
    world.ready_inputs()
    hold = world.process("first", held=True)
    assert hold.started.wait(60)
    other = world.neighbour()
    try:
        other.ready_inputs()
        other.process("second", targetNode=world.node)
        message = other.wait_reason("second", "NodeReserved", "WaitingForNode")["message"]
        assert f"is held by {world.namespace}/first" in message
        hold.let_go.set()
        world.succeeds("first")
        other.succeeds("second")
    finally:
        other.demolish()


def test_a_process_that_cannot_run_yet_does_not_block_the_queue(world: World) -> None:
    world.ready_inputs()
    world.process("blocked", capability="missing", priority=100)
    world.wait_reason("blocked", "Validated", "CapabilityNotFound")
    world.process("ready")
    world.succeeds("ready")
    assert world.status("blocked")["phase"] == "Queued"


def test_the_job_is_pinned_suspended_first_and_can_make_one_pod_only(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    [job] = world.jobs("cats")
    spec = job["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 0)
    assert spec["podReplacementPolicy"] == "Failed"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert "nodeName" not in pod
    [term] = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": [world.node]}]
    }
    changed = {c["type"] for c in job["status"].get("conditions", [])}
    assert "Suspended" in changed, "it was created suspended"
    process = world.get(PROCESS, "cats") or {}
    assert parse.owner_uid(job) == process["metadata"]["uid"]
    hold.let_go.set()
    world.succeeds("cats")
