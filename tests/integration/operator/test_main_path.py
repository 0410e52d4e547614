"""One run, from applied to a model in status, as a person sees it."""

from __future__ import annotations

from itertools import pairwise

from support.trainer import ACCURACY, fails
from support.waiting import eventually
from support.watching import Watch
from support.world import World

from trainyard.api.meta import LABEL_PROCESS
from trainyard.cluster import parse
from trainyard.cluster.resources import DATASET, MODEL, PROCESS, TEMPLATE
from trainyard.stores import verify_manifest

PHASES = ["Queued", "Starting", "Running", "Succeeded"]


def test_a_run_goes_from_applied_to_a_verified_model(world: World) -> None:
    phases: list[str] = []

    def note(kind: str, raw: dict[str, object]) -> None:
        if parse.key_of(raw) == f"{world.namespace}/cats":
            phase = (raw.get("status") or {}).get("phase")  # type: ignore[attr-defined]
            if phase and phases[-1:] != [phase]:
                phases.append(phase)

    watch = Watch(str(world.kubeconfig), PROCESS, note).start()
    world.inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60), world.explain("cats")

    running = world.wait_phase(PROCESS, "cats", "Running")
    told = {c["type"]: (c["status"], c["reason"]) for c in running["conditions"]}
    assert told == {
        "Suspended": ("False", "Started"),
        "Validated": ("True", "Valid"),
        "NodeReserved": ("True", "Reserved"),
        "Running": ("True", "PodsReady"),
    }
    [job], lease = world.jobs("cats"), world.lease()
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == job["metadata"]["uid"]
    [pod] = world.pods("cats")
    assert pod["spec"]["nodeName"] == world.node
    assert pod["metadata"]["labels"][LABEL_PROCESS] == "cats"
    row = world.row(PROCESS, "cats")
    assert (row["PHASE"], row["NODE"], row["REASON"]) == ("Running", world.node, "")

    hold.let_go.set()
    status = world.succeeds("cats")
    # The watch of the test may lag behind what a GET has shown.
    eventually("the last phase", lambda: phases[-1:] == PHASES[-1:], within=10)
    assert phases == PHASES
    told = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    assert told == {
        "Suspended": ("False", "Started"),
        "Validated": ("True", "Valid"),
        "NodeReserved": ("False", "Released"),
        "Running": ("False", "TrainingSucceeded"),
        "Complete": ("True", "TrainingSucceeded"),
        "Finished": ("True", "TrainingSucceeded"),
    }
    [attempt] = status["attempts"]
    assert (attempt["number"], attempt["node"]) == (1, world.node)
    assert attempt["reason"] == "TrainingSucceeded"
    assert status["evaluation"]["dev"]["samples"] == 2
    world.wait_released()

    location = status["artefacts"]["location"]
    assert attempt["location"] == location
    manifest = verify_manifest(world.store, location)
    files = {file.name: file for file in manifest.files}
    weights = status["artefacts"]["weights"]
    assert weights == {
        "uri": f"{location}/model.pth",
        "sha256": files["model.pth"].sha256,
        "sizeBytes": files["model.pth"].size_bytes,
    }
    assert status["artefacts"]["config"]["uri"] == f"{location}/config.yaml"

    model = world.get(MODEL, "cats")
    assert model is not None
    assert status["model"] == "cats"
    assert model["spec"]["artefacts"] == status["artefacts"]
    assert model["spec"]["fingerprint"] == status["resolved"]["fingerprint"]
    assert model["spec"]["lineage"]["node"] == world.node
    assert not model["metadata"].get("ownerReferences"), "a model outlives its process"

    print(world.kubectl("get", "tp", "-o", "wide"))
    row = world.row(PROCESS, "cats")
    assert row.pop("AGE")
    assert row == {
        "NAME": "cats",
        "PHASE": "Succeeded",
        "PROGRESS": "100% (4/4)",
        "ETA": "",
        "NODE": world.node,
        "QUEUE": "",
        "METRIC": f"top-1 {ACCURACY}",
        "CAPABILITY": "animals",
        "TEMPLATE": "small",
        "ATTEMPT": "1",
        "REASON": "TrainingSucceeded",
    }
    watch.stop()


def test_the_events_of_a_run_tell_its_story_in_order(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    world.wait_phase(PROCESS, "cats", "Running")
    hold.let_go.set()
    world.succeeds("cats")
    reasons = eventually(
        "the last event",
        lambda: [
            reasons
            for reasons in [[item["reason"] for item in world.events("cats")]]
            if "Succeeded" in reasons
        ],
    )[0]
    assert [reason for reason in reasons if reason in PHASES] == PHASES
    assert not [pair for pair in pairwise(reasons) if pair[0] == pair[1]], reasons
    described = world.kubectl("describe", "tp", "cats")
    print(described)
    assert "trainyard.dev/operator" in described


def test_kubectl_wait_for_finished_returns_on_success_and_on_failure(world: World) -> None:
    world.ready_inputs()
    world.kubelet.script(world.namespace, "bad", fails(65, "BadData", "labels/a.txt:3: 4 columns"))
    world.process("good")
    world.process("bad", targetNode=world.other_node)
    for name, phase in (("good", "Succeeded"), ("bad", "Failed")):
        said = world.kubectl("wait", "--for=condition=Finished", f"tp/{name}", "--timeout=40s")
        assert "condition met" in said
        assert world.status(name)["phase"] == phase


def test_a_draft_stays_created_and_starts_when_suspend_becomes_false(world: World) -> None:
    world.ready_inputs()
    world.process("later", suspend=True)
    world.wait_phase(PROCESS, "later", "Created")
    assert world.condition("later", "Suspended")["reason"] == "Draft"
    world.process("now")
    world.succeeds("now")
    assert world.status("later")["phase"] == "Created"
    assert world.jobs("later") == []
    assert world.row(PROCESS, "later")["REASON"] == "Draft"
    world.patch(PROCESS, "later", {"spec": {"suspend": False}})
    world.succeeds("later")
    assert world.condition("later", "Suspended")["status"] == "False"


def test_what_runs_is_what_was_resolved_although_the_template_is_edited(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    before = world.wait_phase(PROCESS, "cats", "Running")["resolved"]
    world.patch(TEMPLATE, "small", {"spec": {"hyperparameters": {"epochs": 7}}})
    world.process("next")
    world.wait_reason("next", "NodeReserved", "WaitingForNode")
    hold.let_go.set()
    after = world.succeeds("cats")
    assert after["resolved"] == before
    assert after["progress"]["epochs"] == 4
    assert hold.run is not None
    assert hold.run.run_file().template.hyperparameters.epochs == 4
    later = world.succeeds("next")
    assert later["progress"]["epochs"] == 7
    assert later["resolved"]["template"]["digest"] != before["template"]["digest"]
    assert later["resolved"]["fingerprint"] != before["fingerprint"]


def test_overrides_change_single_fields_of_the_template(world: World) -> None:
    world.ready_inputs()
    world.process("cats", overrides={"hyperparameters": {"epochs": 2}})
    assert world.succeeds("cats")["progress"]["epochs"] == 2


def test_a_taken_model_name_gets_the_short_uid_of_the_process(world: World) -> None:
    world.ready_inputs()
    world.process("cats")
    first = world.succeeds("cats")
    world.delete(PROCESS, "cats")
    eventually("the process being gone", lambda: world.get(PROCESS, "cats") is None)
    world.process("cats")
    uid = (world.get(PROCESS, "cats") or {})["metadata"]["uid"]
    second = world.succeeds("cats")
    assert second["model"] == f"cats-{uid[:8]}"
    for status in (first, second):
        model = world.get(MODEL, status["model"])
        assert model is not None
        assert model["spec"]["artefacts"] == status["artefacts"]


def test_datasets_are_named_in_the_status_of_a_run_with_their_digests(world: World) -> None:
    world.ready_inputs()
    world.dataset("final", {"cat/x.png": b"final cat", "dog/y.png": b"final dog"})
    world.wait_phase(DATASET, "final", "Ready")
    world.process("cats", datasets={"train": ["train"], "dev": ["dev"], "test": ["final"]})
    resolved = world.succeeds("cats")["resolved"]
    assert {item["name"]: item["digest"] for item in resolved["datasets"]} == {
        name: world.status(name, DATASET)["snapshot"]["digest"]
        for name in ("train", "dev", "final")
    }
