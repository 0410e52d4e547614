"""Deleting any object finishes, and leaves nothing behind that was made for it."""

from __future__ import annotations

from support.waiting import eventually, never
from support.world import World

from trainyard.cluster.resources import DATASET, JOB, MODEL, PROCESS
from trainyard.stores import verify_manifest


def _traces(world: World, name: str) -> dict[str, int]:
    """What is there of a process."""
    return {
        "process": int(world.get(PROCESS, name) is not None),
        "jobs": len(world.jobs(name)),
        "pods": len(world.pods(name)),
        "config maps": len(world.config_maps(name)),
    }


def _gone(world: World, name: str) -> None:
    eventually(
        f"everything of {name} being gone",
        lambda: not any(_traces(world, name).values()),
        within=40,
        seen=lambda: _traces(world, name),
    )


def test_a_running_process_that_is_deleted_takes_everything_along_and_frees_its_node(
    world: World,
) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    assert all(_traces(world, "cats").values())
    world.delete(PROCESS, "cats")
    _gone(world, "cats")
    world.wait_released()
    world.process("next")
    world.succeeds("next")


def test_a_node_stays_taken_while_the_pod_of_a_deleted_process_still_lives(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    end = world.kubelet.linger(world.namespace, "cats")
    world.process("next")
    world.wait_reason("next", "NodeReserved", "WaitingForNode")
    world.delete(PROCESS, "cats")
    eventually("the Job being gone", lambda: not world.jobs("cats"), within=40)
    eventually(
        "the pod being told to end",
        lambda: [pod for pod in world.pods("cats") if "deletionTimestamp" in pod["metadata"]],
    )
    never("a pod of the next", lambda: world.pods("next"), during=3)
    assert world.lease() is not None
    end.set()
    _gone(world, "cats")
    world.succeeds("next")


def test_a_waiting_process_that_is_deleted_lets_those_behind_it_move_up(world: World) -> None:
    world.ready_inputs()
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    for name in ("a", "b"):
        world.process(name, priority=int(name == "a"))
        world.wait_reason(name, "NodeReserved", "WaitingForNode")
    eventually("b being second", lambda: world.status("b")["queue"]["position"] == 2)
    world.delete(PROCESS, "a")
    eventually("b being first", lambda: world.status("b")["queue"]["position"] == 1)
    hold.let_go.set()
    world.succeeds("b")


def test_a_finished_process_that_is_deleted_leaves_its_model_and_its_files(world: World) -> None:
    world.ready_inputs()
    world.process("cats")
    location = world.succeeds("cats")["artefacts"]["location"]
    world.delete(PROCESS, "cats")
    _gone(world, "cats")
    assert world.get(MODEL, "cats") is not None
    verify_manifest(world.store, location)


def test_a_dataset_that_is_deleted_takes_its_job_along_and_runs_wait_for_the_next_one(
    world: World,
) -> None:
    world.ready_inputs()
    world.delete(DATASET, "dev")
    eventually("the dataset being gone", lambda: world.get(DATASET, "dev") is None)
    world.process("cats")
    assert "Dataset dev" in world.wait_reason("cats", "Validated", "DatasetNotFound")["message"]
    world.dataset("dev")
    world.succeeds("cats")
    eventually(
        "only two snapshot Jobs being left",
        lambda: (
            len(
                world.api.list(
                    JOB, world.namespace, label_selector="trainyard.dev/role=snapshot"
                ).items
            )
            == 2
        ),
        within=40,
    )
