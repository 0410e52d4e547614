"""Stop and go on, fail and try again, run out of time."""

from __future__ import annotations

from typing import Any

import pytest
from support.trainer import Ending, Epochs, PodRun, checkpoint, fails
from support.waiting import eventually, never
from support.world import World

from trainyard.cluster import names
from trainyard.cluster.resources import (
    CAPABILITY,
    LEASE,
    LOCK_NAMESPACE,
    PROCESS,
    TEMPLATE,
    ResourceType,
)


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


def trains(world: World, name: str = "cats", **spec: Any) -> Epochs:
    """A process of four epochs whose trainer waits after the second."""
    trainer = Epochs(hold_after=2)
    world.kubelet.script(world.namespace, name, trainer)
    world.process(name, overrides={"hyperparameters": {"epochs": 4}}, **spec)
    assert trainer.holding.wait(60), world.explain(name)
    world.wait_phase(PROCESS, name, "Running")
    return trainer


def test_a_run_that_is_stopped_frees_its_node_and_goes_on_where_it_was(world: World) -> None:
    world.ready_inputs()
    trainer = trains(world)
    world.patch(PROCESS, "cats", {"spec": {"suspend": True}})
    stopped = world.wait_phase(PROCESS, "cats", "Suspended")
    assert world.jobs("cats") == []
    assert world.lease() is None
    [attempt] = stopped["attempts"]
    assert (attempt["reason"], attempt["number"]) == ("Stopped", 1)
    assert stopped["checkpoint"]["epoch"] == 2
    world.process("other")
    world.succeeds("other")

    # What is applied again under the same names changes nothing for a run that has begun.
    world.patch(TEMPLATE, "small", {"spec": {"hyperparameters": {"imageSize": 64}}})
    world.delete(CAPABILITY, "animals")
    world.patch(PROCESS, "cats", {"spec": {"suspend": False}})
    trainer.let_go.set()
    status = world.succeeds("cats")
    assert trainer.trained == {1: [1, 2], 2: [3, 4]}
    first, second = trainer.told[1], trainer.told[2]
    assert second.resume is not None and second.resume.epoch == 2
    back = {"attempt": 1, "output": first.output, "resume": None}
    assert second.model_copy(update=back).sealed() == first
    assert [item["reason"] for item in status["attempts"]] == ["Stopped", "TrainingSucceeded"]
    assert status["attempts"][1]["resumedFromEpoch"] == 2


def test_a_pod_that_is_evicted_goes_on_in_another_attempt_when_the_node_is_back(
    world: World,
) -> None:
    world.ready_inputs()
    trainer = trains(world)
    [pod] = world.pods("cats")
    world.patch_node({"spec": {"unschedulable": True}})
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": world.namespace},
    }
    evictions = ResourceType("", "v1", f"pods/{pod['metadata']['name']}/eviction", "Eviction")
    world.api.create(evictions, eviction, world.namespace)
    world.wait_reason("cats", "NodeReserved", "NodeCordoned")
    [attempt] = world.status("cats")["attempts"]
    assert attempt["reason"] == "Evicted"
    assert world.lease() is None
    world.patch_node({"spec": {"unschedulable": None}})
    trainer.let_go.set()
    world.succeeds("cats")
    assert trainer.trained == {1: [1, 2], 2: [3, 4]}


def test_a_failed_attempt_is_followed_by_another_that_goes_on_from_its_checkpoint(
    world: World,
) -> None:
    world.ready_inputs()

    def breaks(run: PodRun) -> Ending:
        checkpoint(run, 1)
        return Ending(70, "Traceback\nValueError: the end of the log")

    trainer = Epochs(endings={1: breaks})
    world.kubelet.script(world.namespace, "cats", trainer)
    world.process("cats", retry={"limit": 1}, overrides={"hyperparameters": {"epochs": 3}})
    world.wait_reason("cats", "NodeReserved", "BackingOff")
    [attempt] = world.status("cats")["attempts"]
    assert attempt["reason"] == "TrainerError"
    assert attempt["logTail"] == "Traceback\nValueError: the end of the log"
    world.succeeds("cats")
    assert trainer.trained == {1: [1], 2: [2, 3]}


def test_the_last_failure_that_the_limit_allows_names_both(world: World) -> None:
    world.ready_inputs()
    world.kubelet.script(world.namespace, "cats", fails(70, "TrainerError", "it broke"))
    world.process("cats", retry={"limit": 1})
    message = world.fails("cats", "RetriesExhausted")
    assert message.startswith(
        "attempt 2 failed too, and retry.limit is 1: TrainerError: the trainer failed with "
        "it broke; see kubectl logs "
    )
    world.wait_released()
    assert len(world.jobs("cats")) == 2


def test_jobs_of_a_finished_process_go_when_their_time_has_come_and_it_stays(
    world: World,
) -> None:
    world.ready_inputs()
    world.process("cats", ttlSecondsAfterFinished=2)
    status = world.succeeds("cats")
    eventually("the Job being removed", lambda: not world.jobs("cats"))
    eventually("the pod being removed", lambda: not world.pods("cats"))
    assert world.status("cats") == status
    never("another Job", lambda: world.jobs("cats"), during=2)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"activeDeadlineSeconds": 2}, "DeadlineExceeded"),
        ({"stallTimeoutSeconds": 2}, "Stalled"),
    ],
)
def test_a_run_that_takes_too_long_is_stopped_and_its_node_is_free(
    world: World, spec: dict[str, int], reason: str
) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True, **spec)
    assert hold.started.wait(60)
    world.fails("cats", reason)
    world.wait_released()
    eventually("its Job being removed", lambda: not world.jobs("cats"))


def test_a_run_that_never_starts_fails_at_its_deadline_and_says_what_it_waited_for(
    world: World,
) -> None:
    world.ready_inputs()
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    world.process("cats", startDeadlineSeconds=2)
    message = world.fails("cats", "StartDeadlineExceeded")
    assert f"{world.namespace}/running" in message
    hold.let_go.set()
    world.succeeds("running")


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
