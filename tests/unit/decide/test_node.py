"""What keeps a training off a node, in which order, with which sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import NODE, SETTINGS
from trainyard.api.reasons import Reason
from trainyard.decide.facts import NodeFacts, Taint
from trainyard.decide.node import NodeFinding, check_node, tolerated

GPU = "nvidia.com/gpu"


def test_ready_enabled_node_is_usable() -> None:
    assert check_node("gpu-1", NODE, 0, SETTINGS) is None


def test_node_with_a_free_gpu_is_usable_for_one() -> None:
    assert check_node("gpu-1", replace(NODE, allocatable={GPU: 1}), 1, SETTINGS) is None


CASES: dict[str, tuple[NodeFacts | None, Reason, str]] = {
    "no node of that name": (
        None,
        Reason.NODE_NOT_FOUND,
        "waiting for node gpu-1, which does not exist: kubectl get nodes lists those that do",
    ),
    "a node without the label": (
        replace(NODE, enabled=False, cordoned=True, ready=False),
        Reason.NODE_NOT_ENABLED,
        "waiting for node gpu-1 to be enabled for trainings: kubectl label node gpu-1 "
        "trainyard.dev/target=true",
    ),
    "a cordoned node": (
        replace(NODE, cordoned=True),
        Reason.NODE_CORDONED,
        "waiting for node gpu-1, which is cordoned: kubectl uncordon gpu-1",
    ),
    "a node that is not ready": (
        replace(NODE, ready=False),
        Reason.NODE_NOT_READY,
        "waiting for node gpu-1, which is not Ready: see kubectl describe node gpu-1",
    ),
    "a taint with a value": (
        replace(NODE, taints=(Taint("team", "a", "NoSchedule"),)),
        Reason.NODE_TAINTED,
        "waiting for node gpu-1, which has the taint team=a:NoSchedule: remove it, or tolerate it "
        "in the settings (trainer.tolerations)",
    ),
    "a taint without a value": (
        replace(NODE, taints=(Taint("team", "", "NoExecute"),)),
        Reason.NODE_TAINTED,
        "waiting for node gpu-1, which has the taint team:NoExecute: remove it, or tolerate it in "
        "the settings (trainer.tolerations)",
    ),
}


@pytest.mark.parametrize(("node", "reason", "message"), CASES.values(), ids=CASES)
def test_waits_without_a_limit(node: NodeFacts | None, reason: Reason, message: str) -> None:
    assert check_node("gpu-1", node, 0, SETTINGS) == NodeFinding(reason, message, bounded=False)


def test_too_few_gpus_are_waited_for_with_a_limit() -> None:
    assert check_node("gpu-1", NODE, 1, SETTINGS) == NodeFinding(
        Reason.INSUFFICIENT_GPUS,
        "node gpu-1 has 0 nvidia.com/gpu and the run asks for 1: install the device plugin, use "
        "another node, or set resources.gpus: 0 to train on the CPU",
        bounded=True,
    )


def test_gpus_are_counted_under_the_name_of_the_settings() -> None:
    settings = replace(SETTINGS, gpu_resource_name="amd.com/gpu")
    node = replace(NODE, allocatable={"amd.com/gpu": 1})
    assert check_node("gpu-1", node, 1, settings) is None
    assert check_node("gpu-1", node, 1, SETTINGS) is not None


@pytest.mark.parametrize(
    ("taint", "pairs", "expected"),
    [
        pytest.param(Taint("a", "", "NoSchedule"), set(), False, id="nothing is tolerated"),
        pytest.param(Taint("a", "", "PreferNoSchedule"), set(), True, id="a wish is no taint"),
        pytest.param(
            Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),
            set(),
            True,
            id="the taint of a cordon is told as a cordon",
        ),
        pytest.param(Taint("a", "", "NoSchedule"), {("a", "NoSchedule")}, True, id="exact"),
        pytest.param(Taint("a", "", "NoExecute"), {("a", "NoSchedule")}, False, id="other effect"),
        pytest.param(Taint("a", "", "NoExecute"), {("a", "")}, True, id="every effect of a key"),
        pytest.param(Taint("a", "", "NoExecute"), {("*", "NoExecute")}, True, id="every key"),
        pytest.param(Taint("a", "", "NoExecute"), {("*", "")}, True, id="everything"),
        pytest.param(Taint("b", "", "NoExecute"), {("a", "")}, False, id="other key"),
    ],
)
def test_toleration(taint: Taint, pairs: set[Any], expected: bool) -> None:
    assert tolerated(taint, replace(SETTINGS, tolerated_taints=frozenset(pairs))) is expected
