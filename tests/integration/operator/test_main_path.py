"""One run, from applied to a model in status, as a person sees it."""

from __future__ import annotations

from support.world import World

from trainyard.cluster.resources import DATASET, MODEL, PROCESS


def test_a_run_goes_from_applied_to_a_verified_model(world: World) -> None:
    world.inputs()
    world.process("cats-1")
    world.wait_phase(DATASET, "train", "Ready")
    status = world.succeeds("cats-1")
    print(world.kubectl("get", "tp", "-o", "wide"))
    print(world.kubectl("describe", "tp", "cats-1"))
    assert status["model"] == "cats-1"
    assert world.get(MODEL, "cats-1")
    assert world.get(PROCESS, "cats-1")
