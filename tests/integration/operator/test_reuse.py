"""A run that was made before: restored objects do not train again, refused ones are told why."""

from __future__ import annotations

from support.waiting import eventually
from support.world import World

from trainyard.cluster.resources import DATASET, MODEL, PROCESS
from trainyard.stores import join


def test_an_object_that_comes_back_takes_the_model_that_it_made(world: World) -> None:
    world.ready_inputs()
    world.process("cats", onExistingRun="Reuse")
    first = world.succeeds("cats")
    assert world.condition("cats", "Complete")["reason"] == "TrainingSucceeded"
    for type_, name in ((PROCESS, "cats"), (DATASET, "train"), (DATASET, "dev")):
        world.delete(type_, name)
    eventually("the process being gone", lambda: world.get(PROCESS, "cats") is None)
    eventually("its Job being gone", lambda: not world.jobs())

    # As a backup or GitOps brings them back: without status, and with other UIDs.
    world.process("cats", onExistingRun="Reuse")
    for name in ("train", "dev"):
        world.dataset(name)
    again = world.succeeds("cats")
    complete = world.condition("cats", "Complete")
    assert complete["reason"] == "RunReused"
    assert complete["message"].startswith(
        "nothing was trained: TrainedModel cats has the same fingerprint"
    )
    assert world.jobs() == []
    assert again["resolved"]["fingerprint"] == first["resolved"]["fingerprint"]
    assert (again["model"], again["artefacts"]) == ("cats", first["artefacts"])
    assert again["evaluation"] == first["evaluation"]
    assert "attempts" not in again
    assert world.row(PROCESS, "cats")["PROGRESS"] == "100% (4/4)"
    assert len(world.api.list(MODEL, world.namespace).items) == 1

    # Other inputs are trained, and so are the same once a file is not what it was.
    world.process("longer", onExistingRun="Reuse", overrides={"hyperparameters": {"epochs": 5}})
    assert len(world.succeeds("longer")["attempts"]) == 1
    world.store.write_bytes(join(first["artefacts"]["location"], "model.pth"), b"other bytes")
    world.process("whole", onExistingRun="Reuse")
    assert len(world.succeeds("whole")["attempts"]) == 1


def test_with_the_setting_reject_a_machine_has_one_unfinished_process(world: World) -> None:
    world.ready_inputs()
    operator = world.operator
    operator.kill()
    operator.settings["onBusyNode"] = "Reject"
    operator.start()
    try:
        hold = world.process("first", held=True)
        assert hold.started.wait(60)
        world.wait_phase(PROCESS, "first", "Running")
        world.process("second")
        assert world.fails("second", "NodeBusy") == (
            f"node {world.node} has an unfinished TrainingProcess, {world.namespace}/first "
            "(Running), and the operator's setting onBusyNode is Reject: wait for its end or "
            "delete it, then create a new process, or use another node"
        )
        assert world.jobs("second") == []
        world.process("elsewhere", targetNode=world.other_node)
        world.succeeds("elsewhere")
        hold.let_go.set()
        world.succeeds("first")
        world.process("third")
        world.succeeds("third")
    finally:
        operator.kill()
        del operator.settings["onBusyNode"]
        operator.start()
