"""The operator ends in every way, in the middle of everything: what it did is not done twice."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from support.invariants import InvariantChecker
from support.trainer import progress_of
from support.waiting import eventually
from support.world import World

from trainyard.api.dataset import Dataset
from trainyard.cluster.objects import snapshot_bundle
from trainyard.cluster.resources import DATASET, JOB, PROCESS
from trainyard.decide.actions import CreateSnapshotJob
from trainyard.decide.dataset import decide_dataset
from trainyard.decide.facts import DatasetFacts
from trainyard.operator.settings import parse_settings
from trainyard.operator.wiring import decision_settings, pod_settings

KILLS = 3


def test_killed_in_the_middle_it_goes_on_and_two_are_never_live_on_the_node(
    world: World, checker: InvariantChecker
) -> None:
    world.ready_inputs()
    hold = world.process("first", held=True)
    assert hold.started.wait(60)
    world.process("second")
    world.wait_reason("second", "NodeReserved", "WaitingForNode")
    assert hold.run is not None
    assert hold.run.report(progress_of(hold.run.run_file(), 1, 4)) == 204
    eventually("the report in status", lambda: "progress" in world.status("first"))

    world.operator.kill()
    # It ends while nobody looks.
    hold.let_go.set()
    eventually(
        "the end of the first pod",
        lambda: all(pod["status"]["phase"] == "Succeeded" for pod in world.pods("first")),
    )
    assert world.status("first")["phase"] == "Running"
    world.operator.start()
    world.succeeds("first")
    world.succeeds("second")
    for name in ("first", "second"):
        assert len(world.jobs(name)) == 1
        assert len(world.pods(name)) == 1
        assert len(world.status(name)["attempts"]) == 1
    assert checker.most_live[world.node] == 1


def test_killed_while_a_run_is_under_way_it_finds_it_again_with_its_progress(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    assert hold.run is not None
    assert hold.run.report(progress_of(hold.run.run_file(), 2, 4)) == 204
    before = eventually(
        "the report in status",
        lambda: world.status("cats") if "progress" in world.status("cats") else None,
    )
    world.operator.kill()
    world.operator.start()
    time.sleep(1)
    after = world.status("cats")
    assert after == before, "a restart changes nothing"
    assert hold.run.report(progress_of(hold.run.run_file(), 3, 4)) == 204
    eventually("the next report", lambda: world.status("cats")["progress"]["epoch"] == 3)
    hold.let_go.set()
    world.succeeds("cats")


def test_killed_again_and_again_at_random_moments_all_runs_succeed_once(
    world: World, checker: InvariantChecker
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    names = [f"run-{number}" for number in range(4)]
    nodes = (world.node, world.other_node)
    world.inputs()
    for number, name in enumerate(names):
        world.process(name, targetNode=nodes[number % 2])
    for _ in range(KILLS):
        time.sleep(dice.uniform(0, 0.7))
        world.operator.kill()
        world.operator.launch()
        # Python takes a second or two to start: not every kill should hit that.
        if dice.random() < 0.7:
            world.operator.start()
    world.operator.start()
    for name in names:
        status = world.succeeds(name, within=60)
        assert len(world.jobs(name)) == 1, f"seed {seed}"
        assert len(world.pods(name)) == 1, f"seed {seed}"
        assert len(status["attempts"]) == 1, f"seed {seed}"
        assert len(world.config_maps(name)) == 1, f"seed {seed}"
    world.wait_released(*nodes)
    for node in nodes:
        assert checker.most_live[node] == 1, f"seed {seed}"


def test_what_was_cut_off_between_the_job_and_its_config_map_is_made_whole(world: World) -> None:
    world.inputs()
    world.wait_phase(DATASET, "dev", "Ready")
    world.wait_phase(DATASET, "train", "Ready")
    world.operator.kill()
    world.dataset("late")
    world.process("cats")
    settings = parse_settings(world.operator.settings_text(), "settings")
    late = Dataset.model_validate(world.get(DATASET, "late"))
    facts = DatasetFacts(dataset=late, settings=decision_settings(settings))
    (action,) = decide_dataset(facts, late.metadata.creation_timestamp or datetime.now(UTC)).actions
    assert isinstance(action, CreateSnapshotJob)
    job = snapshot_bundle(action.run, pod_settings(settings)).job
    world.api.create(JOB, job, world.namespace)
    world.operator.start()
    world.wait_phase(DATASET, "late", "Ready")
    world.succeeds("cats")


def test_a_process_deleted_while_no_operator_runs_frees_its_node_afterwards(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    world.operator.kill()
    world.delete(PROCESS, "cats")
    # Its end stays to be seen until an operator has seen it.
    eventually(
        "the pod having ended",
        lambda: all(pod["status"]["phase"] == "Failed" for pod in world.pods("cats")),
        within=40,
    )
    assert world.pods("cats")
    assert world.lease() is not None, "nobody was there to release it"
    world.process("next")
    world.operator.start()
    world.succeeds("next")
    assert world.pods("cats") == []


def test_asked_to_end_it_ends_soon_and_in_order(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    begun = time.monotonic()
    assert world.operator.terminate() == 0
    assert time.monotonic() - begun < 20
    assert "Traceback" not in world.operator.log()
    world.operator.start()
    hold.let_go.set()
    world.succeeds("cats")
