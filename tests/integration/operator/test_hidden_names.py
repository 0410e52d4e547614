"""hideOtherNamespaces: nothing in a namespace names the trainings of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.waiting import eventually
from support.world import World

from trainyard.cluster import names
from trainyard.cluster.parse import ANNOTATION_QUARANTINED
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE, PROCESS

ANOTHER = "a training of another namespace"


@pytest.fixture
def hiding(world: World) -> Iterator[World]:
    operator = world.operator
    operator.kill()
    operator.settings["hideOtherNamespaces"] = True
    operator.start()
    yield world
    operator.kill()
    del operator.settings["hideOtherNamespaces"]
    operator.start()


@pytest.fixture
def theirs(world: World) -> Iterator[World]:
    made = world.neighbour()
    yield made
    made.demolish()


def _everything(world: World) -> str:
    """All objects of the namespace, of every kind, events with them."""
    kinds = world.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    said = [world.kubectl("get", kind, "--output=yaml", "--ignore-not-found") for kind in kinds]
    return "\n".join(said) + world.kubectl("get", "trainingprocesses", "--output=wide")


def test_who_waits_for_the_trainings_of_another_namespace_is_not_told_which(
    hiding: World, theirs: World
) -> None:
    ours, node = hiding, hiding.node
    ours.ready_inputs()
    theirs.ready_inputs()
    hold = theirs.process("zebra-holder", held=True, targetNode=node)
    assert hold.started.wait(60)
    theirs.process("zebra-ahead", priority=9, targetNode=node)
    theirs.wait_reason("zebra-ahead", "NodeReserved", "WaitingForNode")
    for name in ("first", "second"):
        ours.process(name)
        ours.wait_reason(name, "NodeReserved", "WaitingForNode")
    eventually(
        "both behind the one that goes first",
        lambda: [ours.status(name)["queue"]["position"] for name in ("first", "second")] == [2, 3],
    )
    assert ours.status("second")["queue"]["waitingFor"] == ANOTHER
    assert ours.condition("second", "NodeReserved")["message"] == (
        f"node {node} is held by {ANOTHER}; this process is 3rd of 3 that wait"
    )
    assert ours.row(PROCESS, "second")["QUEUE"] == f"3rd, after {ANOTHER}"
    # Who may know is told as ever.
    said = theirs.condition("zebra-ahead", "NodeReserved")["message"]
    assert said.startswith(f"node {node} is held by {theirs.namespace}/zebra-holder")

    lock = names.node_lease(node)
    why = f"nobody knows whether pod {theirs.namespace}/tp-zebra-x still runs on node {node}"
    _mark(ours, lock, why)
    ours.patch(PROCESS, "second", {"spec": {"priority": 1}})
    told = ours.wait_reason("second", "NodeReserved", "Quarantined")["message"]
    assert told.startswith(f"nobody knows whether {ANOTHER} still runs on node {node}: ")
    _look_for(ours, theirs)
    _mark(ours, lock, None)

    hold.let_go.set()
    theirs.succeeds("zebra-holder")
    theirs.succeeds("zebra-ahead")
    ours.succeeds("second")
    assert ours.succeeds("first")["attempts"][0]["number"] == 1
    _look_for(ours, theirs)


def _mark(world: World, lock: str, why: str | None) -> None:
    annotations = {ANNOTATION_QUARANTINED: why}
    world.api.merge_patch(LEASE, lock, {"metadata": {"annotations": annotations}}, LOCK_NAMESPACE)


def _look_for(ours: World, theirs: World) -> None:
    everything = _everything(ours)
    assert "second" in everything and "kind: Event" in everything
    for word in (theirs.namespace, "zebra"):
        assert not [line for line in everything.splitlines() if word in line]
