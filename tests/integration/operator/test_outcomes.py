"""How a run can end: the trainer's words, its exit codes, its files, a hand on its Job."""

from __future__ import annotations

from support.trainer import Ending, PodRun, Script, fails, play
from support.world import World

from trainyard.cluster.resources import CONFIG_MAP, JOB, MODEL, PROCESS
from trainyard.stores import join

ENDINGS: dict[str, tuple[Script, str, str]] = {
    "bad-data": (
        fails(65, "BadData", "labels/a.txt:3: 4 columns, a box has 5"),
        "BadData",
        "labels/a.txt:3: 4 columns, a box has 5",
    ),
    "bad-data-mute": (fails(65), "BadData", "images or labels cannot be used"),
    "store": (fails(69), "StoreUnavailable", "the object store did not answer"),
    "stopped": (fails(75), "Interrupted", "was killed, and not by Kubernetes"),
    "bad-config": (fails(78), "InvalidRunFile", "run.yaml"),
    "no-gpu": (fails(80), "GPUNotVisible", "resources.gpus: 0"),
    "gpu-memory": (fails(81), "GPUOutOfMemory", "a smaller batchSize or imageSize"),
    "crash": (fails(1), "TrainerError", "the trainer ended with exit code 1; see kubectl logs"),
    "crash-words": (
        fails(70, "SomethingNew", "no such layer"),
        "TrainerError",
        "ended with exit code 70: no such layer",
    ),
    "memory": (fails(137, oom_killed=True), "OutOfMemory", "raise resources.memory"),
}


def test_each_way_a_trainer_can_end_becomes_a_reason_and_a_sentence(world: World) -> None:
    world.ready_inputs()
    nodes = (world.node, world.other_node)
    for number, (name, (script, _, _)) in enumerate(ENDINGS.items()):
        world.kubelet.script(world.namespace, name, script)
        world.process(name, targetNode=nodes[number % 2])
    wrong = []
    for name, (_, reason, says) in ENDINGS.items():
        status = world.wait_phase(PROCESS, name, "Failed", within=60)
        failed = world.condition(name, "Failed")
        [attempt] = status["attempts"]
        if failed["reason"] != reason or says not in failed["message"]:
            wrong.append((name, failed["reason"], failed["message"]))
        if (attempt["reason"], attempt["message"]) != (reason, failed["message"]):
            wrong.append((name, attempt["reason"], attempt["message"]))
        if world.row(PROCESS, name)["REASON"] != reason:
            wrong.append((name, "REASON", world.row(PROCESS, name)["REASON"]))
        if "artefacts" in status or world.get(MODEL, name) is not None:
            wrong.append((name, "artefacts", str(status.get("artefacts"))))
    assert wrong == []
    world.wait_released(*nodes)


def _then(change: str) -> Script:
    """A trainer whose files are spoiled after they were published."""

    def script(run: PodRun) -> Ending:
        ending = play(run)
        output = run.run_file().output
        if change == "other bytes":
            data = run.store.read_bytes(join(output, "model.pth"))
            run.store.write_bytes(join(output, "model.pth"), data[:-1] + b"X")
        elif change == "shorter":
            run.store.write_bytes(join(output, "config.yaml"), b"")
        elif change == "other manifest":
            data = run.store.read_bytes(join(output, "manifest.json"))
            run.store.write_bytes(join(output, "manifest.json"), data + b"\n")
        return ending

    return script


def _publishes_nothing(run: PodRun) -> Ending:
    return Ending(0)


def test_a_run_whose_files_are_not_what_they_should_be_never_succeeds(world: World) -> None:
    world.ready_inputs()
    spoiled = {
        "bytes": (_then("other bytes"), "model.pth has the SHA-256"),
        "size": (_then("shorter"), "config.yaml has 0 bytes, the manifest says"),
        "manifest": (_then("other manifest"), "but the trainer reported"),
        "nothing": (_publishes_nothing, "manifest.json does not exist: the run was not published"),
    }
    for number, (name, (script, _)) in enumerate(spoiled.items()):
        world.kubelet.script(world.namespace, name, script)
        world.process(name, targetNode=(world.node, world.other_node)[number % 2])
    for name, (_, says) in spoiled.items():
        message = world.fails(name, "ArtefactUploadFailed")
        assert says in message
        assert message.endswith("create a new process to train again")
        assert world.status(name).get("model") is None
        assert world.get(MODEL, name) is None
        assert world.condition(name, "Complete") == {}


def test_a_job_deleted_by_hand_ends_the_run_and_frees_the_node(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    world.process("next")
    [job] = world.jobs("cats")
    world.delete(JOB, job["metadata"]["name"])
    assert "was deleted: create a new process" in world.fails("cats", "JobDeleted")
    world.succeeds("next")


def test_an_oom_killed_container_with_last_words_is_still_out_of_memory(world: World) -> None:
    world.ready_inputs()
    script = fails(137, "TrainerError", "half a sentence", oom_killed=True)
    world.kubelet.script(world.namespace, "cats", script)
    world.process("cats")
    world.fails("cats", "OutOfMemory")


def test_a_config_map_of_the_run_cannot_be_changed(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    [config_map] = world.config_maps("cats")
    name = config_map["metadata"]["name"]
    refused = world.kubectl(
        "patch", "configmap", name, "--type=merge", '--patch={"data":{"run.yaml":"x"}}', check=False
    )
    assert "immutable" in refused
    assert world.get(CONFIG_MAP, name) == config_map
    hold.let_go.set()
    world.succeeds("cats")
