"""When a node may be released by a word, and what is shown before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.builders import LEASE, NODE, NOW, POD
from trainyard.cli.node_overview import Lock
from trainyard.cli.node_release import Holding, description, why_not
from trainyard.decide.facts import LeaseFacts, NodeFacts, PodFacts

QUARANTINED = replace(LEASE, quarantined="nobody knows whether the pod still runs")
AWAY = replace(NODE, ready=False)
OVER = replace(POD, phase="Failed", ended=True)


def holding(
    lease: LeaseFacts = LEASE,
    node: NodeFacts = NODE,
    pods: tuple[PodFacts, ...] | None = (POD,),
) -> Holding:
    return Holding(node, Lock(lease, NOW - timedelta(hours=5)), pods)


@pytest.mark.parametrize(
    ("case", "refused"),
    [
        pytest.param(holding(), "runs on it", id="the pod runs on a Ready node"),
        pytest.param(holding(pods=None), "you may not read pods", id="nothing is known"),
        pytest.param(holding(QUARANTINED), None, id="in quarantine"),
        pytest.param(holding(QUARANTINED, AWAY, None), None, id="in quarantine, pods unknown"),
        pytest.param(holding(node=AWAY), None, id="the node does not answer"),
        pytest.param(holding(pods=(OVER,)), None, id="the pod is over"),
        pytest.param(holding(pods=()), None, id="no pod is left"),
    ],
)
def test_a_lock_in_use_is_not_released(case: Holding, refused: str | None) -> None:
    objection = why_not(case)
    if refused is None:
        assert objection is None
    else:
        assert objection is not None
        assert refused in objection


def test_the_objection_says_how_to_stop_the_process() -> None:
    assert "trainyard stop digits -n demo" in str(why_not(holding()))


def test_what_is_known_is_shown_line_by_line() -> None:
    lease = replace(QUARANTINED, boot_id="before")
    shown = description(holding(lease, replace(AWAY, boot_id="after"), (POD, OVER)), NOW)
    assert shown == (
        "Node:       gpu-1, not Ready",
        "Held by:    TrainingProcess demo/digits, for 5h",
        "Quarantine: nobody knows whether the pod still runs",
        "Machine:    was started anew since the lock was taken",
        f"Pod:        demo/{POD.name}, Running, whether it has ended is not certain",
        f"Pod:        demo/{POD.name}, Failed, its end is certain",
    )


def test_what_is_not_known_is_said_too() -> None:
    assert "Pod:        unknown, you may not read pods" in description(holding(pods=None), NOW)
    assert any("none is left" in line for line in description(holding(pods=()), NOW))
