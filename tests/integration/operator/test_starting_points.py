"""What training starts from beside an architecture, and what is found out about a model later."""

from __future__ import annotations

import json
from typing import Any

from support.fixtures import ALLOWED_WEIGHTS
from support.waiting import eventually
from support.world import World

from trainyard.api.meta import ANNOTATION_EVALUATIONS
from trainyard.api.run import BaseWeights
from trainyard.cluster.resources import MODEL, PROCESS, TEMPLATE

Json = dict[str, Any]


def _weights(sha256: str) -> Json:
    return {"weights": {"uri": "s3://elsewhere/base.pth", "sha256": sha256}}


def test_weights_are_started_from_if_the_settings_allow_their_digest(world: World) -> None:
    world.ready_inputs()
    world.template("allowed", baseModel=_weights(ALLOWED_WEIGHTS))
    world.template("unknown", baseModel=_weights("6" * 64))
    hold = world.process("cats", template="allowed", held=True)
    world.process("dogs", template="unknown", targetNode=world.other_node)
    said = world.wait_reason("dogs", "Validated", "WeightsNotAllowed")["message"]
    assert "6" * 64 in said
    assert "have an administrator add it to trainer.allowedWeights" in said
    assert world.status("dogs")["phase"] == "Queued"
    assert world.jobs("dogs") == []

    assert hold.started.wait(60)
    assert hold.run is not None
    assert hold.run.run_file().base == BaseWeights(
        uri="s3://elsewhere/base.pth", sha256=ALLOWED_WEIGHTS
    )
    hold.let_go.set()
    resolved = world.succeeds("cats")["resolved"]
    assert resolved["base"] == {"name": "s3://elsewhere/base.pth", "digest": ALLOWED_WEIGHTS}
    assert world.row(TEMPLATE, "allowed")["MODEL"] == "base.pth"


def test_a_model_is_waited_for_and_started_from_when_its_run_has_made_it(world: World) -> None:
    world.ready_inputs()
    world.template("further", baseModel={"trainedModel": "first"})
    second = world.process("second", template="further", held=True)
    said = world.wait_reason("second", "Validated", "BaseModelNotFound")["message"]
    assert said == (
        "waiting for TrainedModel first, from which TrainingTemplate further starts and which does "
        f"not exist in namespace {world.namespace}: train or apply it"
    )
    world.process("first", targetNode=world.other_node)
    weights = world.succeeds("first")["artefacts"]["weights"]
    assert second.started.wait(60), world.explain("second")
    assert second.run is not None
    run = second.run.run_file()
    assert run.base == BaseWeights(uri=weights["uri"], sha256=weights["sha256"])
    assert run.template.base_model.trained_model == "first"
    second.let_go.set()
    resolved = world.succeeds("second")["resolved"]
    assert resolved["base"] == {"name": "first", "digest": weights["sha256"]}

    world.template("detector", engine="yolo-det", baseModel={"trainedModel": "first"})
    world.capability("things", type="DetectorElement")
    world.process("third", template="detector", capability="things")
    assert world.fails("third", "ValidationFailed") == (
        "TrainedModel first is of engine yolo-cls, and TrainingTemplate detector, which starts "
        "from it, has engine yolo-det: start from a model of the same engine"
    )
    assert world.condition("third", "Validated")["reason"] == "EngineMismatch"
    assert world.row(PROCESS, "third")["REASON"] == "EngineMismatch"
    assert world.jobs("third") == []


def _evaluate(world: World, plan: str, value: float) -> None:
    """Put an evaluation where the command line puts it."""
    location = (world.get(MODEL, "cats") or {})["spec"]["artefacts"]["location"]
    document = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "Evaluation",
        "plan": plan,
        "checkpointSha256": "6" * 64,
        "primaryMetric": "top-1",
        "test": {"metrics": {"top-1": value}, "samples": 9},
        "createdAt": "2026-11-25T09:30:00Z",
    }
    uri = f"{location}/evaluations/{plan}.json"
    world.store.write_bytes(uri, json.dumps(document).encode())


def _mark(world: World, value: str) -> None:
    world.patch(MODEL, "cats", {"metadata": {"annotations": {ANNOTATION_EVALUATIONS: value}}})

    def seen() -> bool:
        return world.status("cats", MODEL).get("observedEvaluations") == value

    eventually(f"the annotation {value}", seen)


def _plans(world: World) -> dict[str, str]:
    found = world.status("cats", MODEL)["evaluations"]
    return {item["plan"]: item["test"]["metrics"][0]["value"] for item in found}


def test_evaluations_in_the_store_are_listed_when_the_model_is_marked(world: World) -> None:
    world.ready_inputs()
    world.process("cats")
    world.succeeds("cats")
    eventually("the size of the model", lambda: world.row(MODEL, "cats")["SIZE"])
    before = world.row(MODEL, "cats")
    assert "evaluations" not in world.status("cats", MODEL)

    _evaluate(world, "plain", 0.9)
    _evaluate(world, "strict", 0.7)
    _mark(world, "one")
    assert _plans(world) == {"plain": "0.9", "strict": "0.7"}
    condition = world.condition("cats", "EvaluationsRead", MODEL)
    assert (condition["status"], condition["reason"]) == ("True", "EvaluationsListed")
    after = world.row(MODEL, "cats")
    assert {**after, "AGE": ""} == {**before, "AGE": ""}

    location = (world.get(MODEL, "cats") or {})["spec"]["artefacts"]["location"]
    world.store.write_bytes(f"{location}/evaluations/notes.json", b"no JSON")
    _evaluate(world, "plain", 0.8)
    _mark(world, "two")
    assert _plans(world) == {"plain": "0.8", "strict": "0.7"}
    condition = world.condition("cats", "EvaluationsRead", MODEL)
    assert (condition["status"], condition["reason"]) == ("False", "EvaluationsUnusable")
    assert condition["message"].startswith("notes.json is no evaluation: ")

    # Another restart of the operator reads and writes nothing.
    version = (world.get(MODEL, "cats") or {})["metadata"]["resourceVersion"]
    world.operator.kill()
    world.operator.start()
    world.process("dogs")
    world.succeeds("dogs")
    assert (world.get(MODEL, "cats") or {})["metadata"]["resourceVersion"] == version
