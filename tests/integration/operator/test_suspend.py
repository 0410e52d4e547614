"""`spec.suspend` of a process that has not started, and of one that has."""

from __future__ import annotations

from support.waiting import eventually, never
from support.world import World

from trainyard.cluster import names
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE, PROCESS


def test_a_process_that_is_suspended_while_it_waits_leaves_the_queue_and_may_come_back(
    world: World,
) -> None:
    world.ready_inputs()
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    for name, priority in (("a", 1), ("b", 0)):
        world.process(name, priority=priority)
        world.wait_reason(name, "NodeReserved", "WaitingForNode")
    eventually("b being second", lambda: world.status("b")["queue"]["position"] == 2)
    world.patch(PROCESS, "a", {"spec": {"suspend": True}})
    eventually("b being first", lambda: world.status("b")["queue"]["position"] == 1)
    assert world.wait_reason("a", "Suspended", "Draft")["status"] == "True"
    status = world.status("a")
    assert (status["phase"], status.get("queue")) == ("Created", None)
    hold.let_go.set()
    world.succeeds("b")
    assert world.jobs("a") == []
    world.patch(PROCESS, "a", {"spec": {"suspend": False}})
    world.succeeds("a")


def test_a_started_run_goes_on_and_says_that_stopping_does_not_act_yet(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    world.patch(PROCESS, "cats", {"spec": {"suspend": True}})
    told = world.wait_reason("cats", "Suspended", "NotYetSupported")
    assert (told["status"], told["message"]) == (
        "False",
        "stopping a started run is not supported yet",
    )
    hold.let_go.set()
    world.succeeds("cats")


def test_a_lock_removed_by_hand_is_taken_again_before_anybody_else_gets_it(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    world.process("next")
    world.wait_reason("next", "NodeReserved", "WaitingForNode")
    lease = world.lease()
    assert lease is not None
    uid = lease["metadata"]["uid"]
    world.api.delete(LEASE, names.node_lease(world.node), LOCK_NAMESPACE, uid=uid)
    # Locks are not watched: any event about the node makes the operator look.
    world.patch(PROCESS, "next", {"spec": {"priority": 1}})
    never("a Job for the next", lambda: world.jobs("next"), during=2)
    world.patch(PROCESS, "cats", {"spec": {"priority": 2}})
    again = eventually("the lock being taken again", world.lease)
    assert again["spec"]["holderIdentity"] == lease["spec"]["holderIdentity"]
    hold.let_go.set()
    world.succeeds("cats")
    world.succeeds("next")
