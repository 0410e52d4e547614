"""What may still come is waited for, by name, and the run starts when it has come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.waiting import never
from support.world import World

from trainyard.api.meta import LABEL_TARGET, STORE_SECRET
from trainyard.cluster.resources import DATASET, NODE, PROCESS, SECRET

Change = Callable[[World], None]


def _disable(world: World) -> None:
    world.patch_node({"metadata": {"labels": {LABEL_TARGET: None}}})


def _enable(world: World) -> None:
    world.patch_node({"metadata": {"labels": {LABEL_TARGET: "true"}}})


def _cordon(world: World) -> None:
    world.patch_node({"spec": {"unschedulable": True}})


def _uncordon(world: World) -> None:
    world.patch_node({"spec": {"unschedulable": None}})


def _taint(world: World) -> None:
    taint = {"key": "reserved", "value": "others", "effect": "NoSchedule"}
    world.patch_node({"spec": {"taints": [taint]}})


def _untaint(world: World) -> None:
    world.patch_node({"spec": {"taints": None}})


def _unready(world: World) -> None:
    world.kubelet.set_ready(world.node, ready=False)


def _ready(world: World) -> None:
    world.kubelet.set_ready(world.node, ready=True)


def _remove(world: World) -> None:
    world.kubelet.remove_node(world.node)


def _add(world: World) -> None:
    world.kubelet.add_node(world.node)


@pytest.mark.parametrize(
    ("spoil", "mend", "reason", "says"),
    [
        pytest.param(_remove, _add, "NodeNotFound", "which does not exist", id="missing"),
        pytest.param(
            _disable,
            _enable,
            "NodeNotEnabled",
            "to be enabled for trainings: kubectl label node {node} trainyard.dev/target=true",
            id="not-enabled",
        ),
        pytest.param(_cordon, _uncordon, "NodeCordoned", "kubectl uncordon {node}", id="cordoned"),
        pytest.param(
            _taint, _untaint, "NodeTainted", "the taint reserved=others:NoSchedule", id="tainted"
        ),
        pytest.param(_unready, _ready, "NodeNotReady", "which is not Ready", id="not-ready"),
    ],
)
def test_a_node_that_cannot_be_used_is_waited_for_by_name_and_used_when_mended(
    world: World, spoil: Change, mend: Change, reason: str, says: str
) -> None:
    world.ready_inputs()
    spoil(world)
    world.process("cats")
    message = world.wait_reason("cats", "NodeReserved", reason)["message"]
    assert world.node in message
    assert says.format(node=world.node) in message
    assert world.row(PROCESS, "cats")["REASON"] == reason
    assert world.status("cats")["phase"] == "Queued"
    assert world.jobs("cats") == []
    mend(world)
    world.succeeds("cats")


def test_what_a_run_refers_to_is_waited_for_by_name_and_the_run_starts_when_it_is_applied(
    world: World,
) -> None:
    world.process("cats")
    missing = world.wait_reason("cats", "Validated", "CapabilityNotFound")["message"]
    assert missing == (
        "waiting for Capability animals, which does not exist in namespace "
        f"{world.namespace}: apply it"
    )
    world.capability()
    assert (
        "TrainingTemplate small"
        in (world.wait_reason("cats", "Validated", "TemplateNotFound")["message"])
    )
    world.template()
    assert "Dataset train" in world.wait_reason("cats", "Validated", "DatasetNotFound")["message"]
    world.dataset("train", suspend=True)
    world.wait_phase(DATASET, "train", "Draft")
    draft = world.wait_reason("cats", "Validated", "DatasetNotReady")["message"]
    assert draft.startswith("waiting for Dataset train: a draft: set spec.suspend to false"), draft
    assert world.row(PROCESS, "cats")["REASON"] == "DatasetNotReady"
    world.dataset("dev")
    world.wait_phase(DATASET, "dev", "Ready")
    assert world.jobs("cats") == []
    world.patch(DATASET, "train", {"spec": {"suspend": False}})
    world.succeeds("cats")


def test_the_credentials_of_the_store_are_waited_for_by_datasets_and_by_runs(world: World) -> None:
    world.delete(SECRET, STORE_SECRET)
    world.inputs()
    world.process("cats")
    expected = (
        f"waiting for Secret trainyard-store in namespace {world.namespace}: create it with the "
        "keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    assert world.wait_reason("cats", "Validated", "StoreSecretMissing")["message"] == expected
    world.wait_phase(DATASET, "train", "Pending")
    assert world.condition("train", "Ready", DATASET)["message"] == expected
    world.create_secret()
    # No watch tells of Secrets: the operator may read this one only, and asks every 15 s.
    world.succeeds("cats", within=50)


def test_too_few_gpus_are_waited_for_and_then_end_the_run(world: World) -> None:
    world.ready_inputs()
    world.template("on-gpu", gpus=1)
    world.kubelet.set_gpus(world.node, 0)
    world.process("cats", template="on-gpu")
    condition = world.wait_reason("cats", "NodeReserved", "InsufficientGPUs")
    assert condition["status"] == "Unknown"
    assert world.status("cats")["phase"] == "Queued"
    message = world.fails("cats", "InsufficientGPUs")
    assert message.startswith(f"node {world.node} has 0 nvidia.com/gpu and the run asks for 1")
    assert world.jobs("cats") == []


def test_gpus_that_come_back_in_time_are_used(world: World) -> None:
    world.ready_inputs()
    world.template("on-gpu", gpus=1)
    world.kubelet.set_gpus(world.node, 0)
    world.process("cats", template="on-gpu")
    world.wait_reason("cats", "NodeReserved", "InsufficientGPUs")
    world.kubelet.set_gpus(world.node, 1)
    hold_status = world.succeeds("cats")
    [pod] = world.pods("cats")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert hold_status["gpuSeconds"] >= 0


def test_a_node_cordoned_after_the_start_does_not_disturb_the_run(world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    _cordon(world)
    world.process("next")
    world.wait_reason("next", "NodeReserved", "NodeCordoned")
    hold.let_go.set()
    world.succeeds("cats")
    never("a Job for the next", lambda: world.jobs("next"), during=1)
    _uncordon(world)
    world.succeeds("next")
    assert world.get(NODE, world.node)
